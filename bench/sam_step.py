"""(a) A SAM step against its floor: two plain gradients and one SGD update, of the same network on the same batch."""

import time
from collections.abc import Callable, Sequence
from importlib import metadata
from statistics import median

import torch
from measure import interleaved, machine, ratio
from pytorch_optimizer import SAM as OtherSAM
from reference import StockSAM, stock_step
from tables import markdown, milliseconds, times
from workloads import Workload, laptop_networks, smoothed_loss, step_spec, wrn_16_2, wrn_22_8

from sharpness.training.step import build_optimizer, build_step

FLOOR, OURS, OTHER, STOCK = "floor", "sharpness", "pytorch_optimizer", "stock"
TARGET = 1.02
BUILDS = 6


def measure(device: torch.device, budget: float = 15.0, workloads: Sequence[Workload] | None = None) -> dict:
    """Time every candidate on every workload.

    Args:
        device: where.
        budget: seconds for each workload.
        workloads: by default the laptop scale's networks, a WRN-16-2 and the report's WRN-22-8.
    """
    rows = []
    for workload in workloads or [*laptop_networks(), wrn_16_2(), wrn_22_8(8)]:
        seconds = _seconds(workload, device, budget)
        rows.append(
            {
                "network": workload.title,
                "image_size": workload.image_size,
                "batch_size": workload.batch_size,
                "rounds": len(seconds[FLOOR]),
                "seconds": {name: median(values) for name, values in seconds.items()},
                "ratio": {name: ratio(seconds, name, FLOOR) for name in seconds},
            }
        )
    return {
        "machine": machine(device),
        "pytorch_optimizer": metadata.version("pytorch_optimizer"),
        "target": TARGET,
        "rows": rows,
    }


def tables(result: dict) -> dict[str, str]:
    header = [
        "network",
        "images",
        "batch",
        "two gradients and update (ms)",
        "sharpness",
        "pytorch_optimizer",
        "stock loop",
    ]
    rows = [
        [
            row["network"],
            f"{row['image_size']}×{row['image_size']}",
            row["batch_size"],
            milliseconds(row["seconds"][FLOOR]),
            *(times(row["ratio"][name]) for name in (OURS, OTHER, STOCK)),
        ]
        for row in result["rows"]
    ]
    return {"sam_step": markdown(header, rows)}


def _seconds(workload: Workload, device: torch.device, budget: float) -> dict[str, list[float]]:
    """Rounds of all candidates, each built afresh BUILDS times where the budget allows.

    Where a network's tensors happen to be in memory changes a step of a few milliseconds by a few percent, as long as
    they are there.
    """
    seconds: dict[str, list[float]] = {}
    started = time.perf_counter()
    while not seconds or time.perf_counter() - started < budget:
        for name, values in interleaved(_candidates(workload, device), budget / BUILDS, device).items():
            seconds.setdefault(name, []).extend(values)
    return seconds


def _candidates(workload: Workload, device: torch.device) -> dict[str, Callable[[], object]]:
    loss, spec = smoothed_loss(), step_spec()
    descent = {"lr": spec["learning_rate"], "momentum": spec["momentum"], "weight_decay": spec["weight_decay"]}
    inputs, labels = workload.batch(device)
    plain, ours, other = (workload.build(device) for _ in range(3))

    sgd = build_optimizer(plain, step_spec("sgd"))

    def two_gradients_and_update() -> None:
        loss(plain(inputs), labels).backward()
        sgd.zero_grad(set_to_none=True)
        loss(plain(inputs), labels).backward()
        sgd.step()
        sgd.zero_grad(set_to_none=True)

    sam_step = build_step(ours, build_optimizer(ours, spec), loss, "fp32")
    other_sam = OtherSAM(other.parameters(), torch.optim.SGD, rho=spec["rho"], **descent)

    def other_step() -> None:
        loss(other(inputs), labels).backward()
        other_sam.first_step(zero_grad=True)
        loss(other(inputs), labels).backward()
        other_sam.second_step(zero_grad=True)

    default_layout = torch.contiguous_format
    stock = workload.build(device, default_layout)
    stock_sam_step = stock_step(stock, StockSAM(stock.parameters(), spec["rho"], **descent), spec["label_smoothing"])
    stock_batch = workload.batch(device, default_layout)

    return {
        FLOOR: two_gradients_and_update,
        OURS: lambda: sam_step(inputs, labels),
        OTHER: other_step,
        STOCK: lambda: stock_sam_step(*stock_batch),
    }

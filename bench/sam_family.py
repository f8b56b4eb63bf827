"""A step of each method of the family against its floor, two plain gradients and one SGD update, and its memory."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from measure import interleaved, machine, ratio
from tables import markdown, milliseconds, times
from workloads import Workload, laptop_networks, smoothed_loss, step_spec, wrn_16_2

from sharpness import SAM, Every, preset
from sharpness.optim import frozen_statistics
from sharpness.training.step import build_optimizer

FLOOR = "floor"
METHODS = {
    "sam": preset("sam"),
    "asam-as-run": preset("asam-as-run", rho=0.05),
    "asam": preset("asam", rho=0.05),
    "fisher": preset("fisher"),
    "linf": preset("linf"),
    "p = 3": {"rho": 0.05, "p": 3.0},
    "every 2nd": {"rho": 0.05, "when": Every(2)},
}
TARGET = 1.02
BUILDS = 4


def measure(device: torch.device, budget: float = 15.0, workloads: Sequence[Workload] | None = None) -> dict:
    """Time a step of each method on every workload.

    Args:
        device: where.
        budget: seconds for each workload.
        workloads: by default the laptop scale's networks and a WRN-16-2.
    """
    rows = []
    for workload in workloads or [*laptop_networks(), wrn_16_2()]:
        seconds = _seconds(workload, device, budget)
        rows.append(
            {
                "network": workload.title,
                "image_size": workload.image_size,
                "batch_size": workload.batch_size,
                "weights": sum(weight.numel() for weight in workload.build(device).parameters()),
                "rounds": len(seconds[FLOOR]),
                "seconds": {name: median(values) for name, values in seconds.items()},
                "ratio": {name: ratio(seconds, name, FLOOR) for name in seconds},
            }
        )
    return {"machine": machine(device), "target": TARGET, "rows": rows}


def tables(result: dict) -> dict[str, str]:
    header = ["network", "images", "batch", "weights", "two gradients and update (ms)", *METHODS]
    rows = [
        [
            row["network"],
            f"{row['image_size']}×{row['image_size']}",
            row["batch_size"],
            f"{row['weights']:,}",
            milliseconds(row["seconds"][FLOOR]),
            *(times(row["ratio"][name]) for name in METHODS),
        ]
        for row in result["rows"]
    ]
    return {"sam_family": markdown(header, rows)}


def _seconds(workload: Workload, device: torch.device, budget: float) -> dict[str, list[float]]:
    """Rounds of all methods, each built afresh BUILDS times where the budget allows (see sam_step)."""
    seconds: dict[str, list[float]] = {}
    started = time.perf_counter()
    while not seconds or time.perf_counter() - started < budget:
        for name, values in interleaved(_candidates(workload, device), budget / BUILDS, device).items():
            seconds.setdefault(name, []).extend(values)
    return seconds


def _candidates(workload: Workload, device: torch.device) -> dict[str, Callable[[], object]]:
    """Pairs of steps, so that a method which ascends in every second one shows its mean."""
    loss, spec = smoothed_loss(), step_spec("sgd")
    descent = {key: spec[key] for key in ("momentum", "weight_decay")} | {"lr": spec["learning_rate"], "fused": True}
    batch, labels = workload.batch(device)

    plain = workload.build(device)
    sgd = build_optimizer(plain, spec)

    def two_gradients_and_update() -> None:
        for _ in range(2):
            loss(plain(batch), labels).backward()
            sgd.zero_grad(set_to_none=True)
            loss(plain(batch), labels).backward()
            sgd.step()
            sgd.zero_grad(set_to_none=True)

    def sam_steps(settings: dict) -> Callable[[], None]:
        model = workload.build(device)
        optimizer = SAM(model.named_parameters(), torch.optim.SGD, **settings, **descent)
        frozen = frozen_statistics(model)

        def steps() -> None:
            for _ in range(2):
                loss(model(batch), labels).backward()
                if optimizer.ascends:
                    optimizer.first_step(zero_grad=True)
                    with frozen:
                        loss(model(batch), labels).backward()
                    optimizer.second_step(zero_grad=True)
                else:
                    optimizer.step()
                    optimizer.zero_grad()

        return steps

    return {FLOOR: two_gradients_and_update, **{name: sam_steps(settings) for name, settings in METHODS.items()}}

"""A SAM step on a GPU in each precision, memory layout, and as a CUDA graph or not: against its floor, the reference
loop and a matrix product."""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from statistics import median

import torch
from measure import interleaved, ratio, timed
from reference import StockSAM, stock_step
from tables import markdown, milliseconds, times
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from workloads import Workload, laptop_networks, scale_networks, smoothed_loss, step_spec

from sharpness.errors import is_out_of_memory
from sharpness.training.capture import CapturedStep
from sharpness.training.device import configure
from sharpness.training.step import Step, autocast, build_optimizer, build_step

LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
SIDES = {"full": 8192, "tiny": 128}
MOST_SECONDS = {"full": 20.0, "tiny": 0.5}  # for the rounds of one network in one precision
STOCK = "reference loop"


def workloads(size: str) -> list[Workload]:
    """The paper scale's WideResNet, ResNet and PyramidNet, and the laptop scale's WideResNet on digits."""
    if size == "tiny":
        return [replace(workload, batch_size=4) for workload in laptop_networks()[:2]]
    return [*(workload for workload in scale_networks("paper") if workload.network != "vgg"), laptop_networks()[0]]


def precisions(device: torch.device) -> tuple[str, ...]:
    return ("fp32", "tf32", "bf16") if device.type == "cuda" else ("fp32", "bf16")


def measure(device: torch.device, size: str, end: float) -> Iterator[dict]:
    """One row for each workload, precision, layout, and with and without a CUDA graph.

    Args:
        device: where.
        size: "full" or "tiny".
        end: when the clock (time.monotonic) says this, nothing more is begun.

    Yields:
        network, image_size, batch_size, precision, layout, graph; seconds of a SAM step; floor (its ratio to two plain
        gradients and an update, done in the same way), stock (the reference loop's seconds, its ratio to the step),
        images_per_second, flop_per_second, ceiling (of a matrix product in that precision) and share (of that: MFU).
        A workload that exhausts the GPU's memory gives one row with that as its error.
    """
    ceilings = {precision: matrix_product(device, precision, SIDES[size]) for precision in precisions(device)}
    groups = list(product(workloads(size), precisions(device)))
    for index, (workload, precision) in enumerate(groups):
        left = end - time.monotonic()
        if left < 0:
            return
        # Half of the share is for building, recording and the first calls.
        budget = min(MOST_SECONDS[size], left / (len(groups) - index) / 2)
        try:
            yield from _group(workload, device, precision, ceilings[precision], budget)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            yield {"network": workload.title, "precision": precision, "error": "out of memory"}
        gc.collect()  # recordings and their networks refer to each other
        if device.type == "cuda":
            torch.cuda.empty_cache()


def matrix_product(device: torch.device, precision: str, side: int, repeats: int = 20) -> float:
    """The floating-point operations a second of the product of two square matrices: the median of some."""
    configure(device, precision)
    left, right = (torch.randn(side, side, device=device, dtype=TYPES[precision]) for _ in range(2))
    seconds = [timed(lambda: left @ right, device) for _ in range(repeats)]
    return 2 * side**3 / median(seconds)


def tables(rows: list[dict]) -> dict[str, str]:
    header = [
        "SAM step",
        "images",
        "batch",
        "precision",
        "layout",
        "CUDA graph",
        "ms",
        "two gradients and update",
        STOCK,
    ]
    header += ["images a second", "TFLOP/s", "MFU"]
    return {
        "gpu_steps": markdown(
            header,
            [
                [
                    row["network"],
                    f"{row['image_size']}×{row['image_size']}",
                    row["batch_size"],
                    row["precision"],
                    row["layout"],
                    "yes" if row["graph"] else "no",
                    milliseconds(row["seconds"]),
                    times(row["floor"]),
                    times(row["stock"]),
                    f"{row['images_per_second']:.0f}",
                    f"{row['flop_per_second'] / 1e12:.3g}",
                    f"{row['share']:.0%}",
                ]
                for row in rows
            ],
        )
    }


def _group(workload: Workload, device: torch.device, precision: str, ceiling: float, budget: float) -> Iterator[dict]:
    configure(device, precision)
    graphs = (False, True) if device.type == "cuda" else (False,)
    ways = list(product(LAYOUTS, graphs))
    candidates: dict[object, Callable[[], object]] = {STOCK: _reference(workload, device, precision)}
    for layout, graph in ways:
        for name, make in (("sam", _sam_step), ("floor", _floor)):
            model = workload.build(device, LAYOUTS[layout])
            step, optimizer = make(model, precision)
            if graph:
                step = CapturedStep(step, model, optimizer)
            batch = workload.batch(device, LAYOUTS[layout])
            candidates[name, layout, graph] = lambda step=step, batch=batch: step(*batch)
    with FlopCounterMode(display=False) as counter:
        candidates["sam", "channels last", False]()
    seconds = interleaved(candidates, budget, device)
    for layout, graph in ways:
        own = ("sam", layout, graph)
        rate = counter.get_total_flops() / median(seconds[own])
        yield {
            "network": workload.title,
            "image_size": workload.image_size,
            "batch_size": workload.batch_size,
            "precision": precision,
            "layout": layout,
            "graph": graph,
            "rounds": len(seconds[own]),
            "seconds": median(seconds[own]),
            "floor": ratio(seconds, own, ("floor", layout, graph)),
            "stock": ratio(seconds, STOCK, own),
            "images_per_second": workload.batch_size / median(seconds[own]),
            "flop_per_second": rate,
            "ceiling": ceiling,
            "share": rate / ceiling,
        }


def _sam_step(model: nn.Module, precision: str) -> tuple[Step, torch.optim.Optimizer]:
    optimizer = build_optimizer(model, step_spec())
    return build_step(model, optimizer, smoothed_loss(), precision), optimizer


def _floor(model: nn.Module, precision: str) -> tuple[Step, torch.optim.Optimizer]:
    """Two plain gradients and one SGD update."""
    optimizer, loss = build_optimizer(model, step_spec("sgd")), smoothed_loss()

    def step(inputs: Tensor, labels: Tensor) -> Tensor:
        for _ in range(2):
            optimizer.zero_grad(set_to_none=True)
            with autocast(inputs.device, precision):
                logits = model(inputs)
            loss(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return logits.detach()

    return step, optimizer


def _reference(workload: Workload, device: torch.device, precision: str) -> Callable[[], object]:
    """The stock loop's step, channels first; in bf16 under autocast, as its users run it."""
    spec = step_spec()
    descent = {"lr": spec["learning_rate"], "momentum": spec["momentum"], "weight_decay": spec["weight_decay"]}
    model = workload.build(device, torch.contiguous_format)
    step = stock_step(model, StockSAM(model.parameters(), spec["rho"], **descent), spec["label_smoothing"])
    batch = workload.batch(device, torch.contiguous_format)

    def call() -> None:
        with autocast(device, precision):
            step(*batch)

    return call

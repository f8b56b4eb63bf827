"""(b) Images per second of SAM training, tests included, against the stock loop with its worker processes."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from measure import interleaved, machine, ratio
from pictures import cifar_sized, digits, on_device, statistics
from reference import loaders
from reference import train as train_stock
from tables import markdown, times
from workloads import sam_spec

from sharpness.networks import build_network
from sharpness.study import network_arguments
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.datasets import Arrays
from sharpness.training.loop import train

STOCK = "stock"
WORKERS = 2  # of each loader, as the stock example has by default


@dataclass(frozen=True)
class Case:
    """A training run to time.

    Attributes:
        title: what a table calls it.
        spec: of the run.
        arrays: its images.
        targets: by precision, how many times the stock loop's images per second it is meant to reach.
    """

    title: str
    spec: dict
    arrays: Arrays
    targets: dict[str, float]


def cases() -> list[Case]:
    """WRN-10-1 on the digits as the laptop scale trains it, and two WideResNets on few images of CIFAR-10's size."""
    paper = sam_spec("paper") | {"epochs": 1}
    return [
        Case("WRN-10-1, digits", sam_spec() | {"epochs": 3}, digits(), {"fp32": 3.0}),
        Case("WRN-16-2, 32×32", paper | {"network_depth": 16, "network_width": 2}, cifar_sized(256, 51), {}),
        Case("WRN-22-8, 32×32", paper | {"batch_size": 16}, cifar_sized(32, 6), {"fp32": 1.35, "bf16": 3.0}),
    ]


def measure(device: torch.device, budget: float = 20.0, chosen: list[Case] | None = None) -> dict:
    """Time whole runs: model, epochs, a test after each.

    Args:
        device: where.
        budget: seconds for each case.
        chosen: by default those of `cases`.
    """
    rows = []
    for case in chosen or cases():
        candidates = {precision: _ours(case, precision, device) for precision in ("fp32", "bf16")}
        seconds = interleaved({**candidates, STOCK: _stock(case, device)}, budget, device)
        images = case.spec["epochs"] * len(case.arrays.train_labels)
        rows.append(
            {
                "case": case.title,
                "batch_size": case.spec["batch_size"],
                "rounds": len(seconds[STOCK]),
                "images_per_second": {name: images / median(values) for name, values in seconds.items()},
                "speedup": {name: ratio(seconds, STOCK, name) for name in candidates},
                "target": case.targets,
            }
        )
    return {"machine": machine(device), "workers": WORKERS, "rows": rows}


def tables(result: dict) -> dict[str, str]:
    header = ["training", "batch", "stock loop (images/s)", "sharpness (images/s)", "speed-up", "with bf16 (images/s)", "speed-up"]
    rows = []
    for row in result["rows"]:
        speed = {name: f"{value:.3g}" for name, value in row["images_per_second"].items()}
        rows.append(
            [
                row["case"],
                row["batch_size"],
                speed[STOCK],
                *(cell for name in ("fp32", "bf16") for cell in (speed[name], times(row["speedup"][name]))),
            ]
        )
    return {"throughput": markdown(header, rows)}


def _ours(case: Case, precision: str, device: torch.device) -> Callable[[], object]:
    spec = case.spec | {"precision": precision}
    data = on_device(case.arrays, spec, device)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            train(spec, data, device, CheckpointFile(Path(folder) / "checkpoint", {"run_id": "bench"}))

    return run


def _stock(case: Case, device: torch.device) -> Callable[[], object]:
    spec, arrays = case.spec, case.arrays
    train_set, test_set = (arrays.train_images, arrays.train_labels), (arrays.test_images, arrays.test_labels)

    def run() -> None:
        network = build_network(
            spec["network"],
            in_channels=arrays.train_images.shape[3],
            image_size=arrays.train_images.shape[1],
            num_classes=len(arrays.classes),
            **network_arguments(spec),
        ).to(device)
        train_stock(network, *loaders(train_set, test_set, *statistics(arrays), spec, WORKERS), device, spec)

    return run

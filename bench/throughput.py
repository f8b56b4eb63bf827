"""(b) Images per second of SAM training, tests included, against the stock loop with its worker processes."""

import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from measure import interleaved, machine, ratio
from pictures import cifar_sized, digits, images_on_device
from reference import loaders
from reference import train as train_stock
from tables import markdown, times
from workloads import sam_spec

from sharpness.arrays import Arrays, channel_statistics
from sharpness.networks import build_network, network_arguments
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.device import configure
from sharpness.training.loop import train
from sharpness.training.process import skip_compiler_import

WORKERS = 2  # of each of the stock loop's loaders, as its example has by default
RUNS_ON_A_GPU = 4


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
    """WRN-10-1 on the digits as the laptop scale trains it, and two WideResNets on two batches of CIFAR-10's size.

    One batch would not do: what happens once in a run of thousands of batches, above all that memory is touched for the
    first time, would be a large part of it, and more so for the stock loop.
    """
    paper = sam_spec("paper") | {"epochs": 1}
    wrn_16_2 = paper | {"network_depth": 16, "network_width": 2, "batch_size": 64}
    return [
        Case("WRN-10-1, digits", sam_spec() | {"epochs": 3}, digits(), {"fp32": 3.0}),
        Case("WRN-16-2, 32×32", wrn_16_2, cifar_sized(128, 26), {}),
        Case("WRN-22-8, 32×32", paper | {"batch_size": 64}, cifar_sized(128, 26), {"fp32": 1.35, "bf16": 3.0}),
    ]


def measure(device: torch.device, budget: float = 20.0, chosen: list[Case] | None = None) -> dict:
    """Time whole runs (model, epochs, a test after each): one at a time on one thread, and on the whole machine.

    On the whole machine the project trains one run on each core (RUNS_ON_A_GPU at once on a GPU), as its workflow does,
    and the stock loop one run with as many threads as there are cores. The stock loop has a process to itself, which
    nothing of the project's has set up.

    Args:
        device: where.
        budget: seconds for each case.
        chosen: by default those of `cases`.
    """
    cores = os.cpu_count()
    at_once = RUNS_ON_A_GPU if device.type == "cuda" else cores
    precisions = ("fp32", "tf32", "bf16") if device.type == "cuda" else ("fp32", "bf16")
    rows = []
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(at_once, spawn, skip_compiler_import) as pool,
        ProcessPoolExecutor(1, spawn, _fork_workers) as stock_pool,
    ):
        for case in chosen or cases():

            def everywhere(precision: str, case: Case = case) -> None:
                done, _ = wait([pool.submit(_train, case, precision, device) for _ in range(at_once)])
                for future in done:
                    future.result()

            alone = {name: lambda name=name, case=case: _train(case, name, device) for name in precisions}
            together = {f"{name}, whole machine": lambda name=name: everywhere(name) for name in precisions}
            stock = {
                "stock": lambda case=case: stock_pool.submit(_train_stock, case, device, 1).result(),
                "stock, whole machine": lambda case=case: stock_pool.submit(_train_stock, case, device, cores).result(),
            }
            seconds = interleaved({**alone, **together, **stock}, budget, device)
            images = case.spec["epochs"] * len(case.arrays.train_labels)
            count = {name: images * (at_once if name in together else 1) for name in seconds}
            rows.append(
                {
                    "case": case.title,
                    "batch_size": case.spec["batch_size"],
                    "rounds": len(seconds["stock"]),
                    "images_per_second": {name: count[name] / median(values) for name, values in seconds.items()},
                    "speedup": {
                        name: count[name] / images * ratio(seconds, _rival(name), name) for name in [*alone, *together]
                    },
                    "target": case.targets,
                }
            )
    return {"machine": machine(device), "workers": WORKERS, "at_once": at_once, "rows": rows}


def tables(result: dict) -> dict[str, str]:
    """One table for one thread, one for the whole machine."""
    blocks = {}
    for block, where in (("throughput", ""), ("throughput_machine", ", whole machine")):
        precisions = [
            name for name in result["rows"][0]["speedup"] if name.endswith(where) and (where or "," not in name)
        ]
        header = ["training, images a second", "batch", f"stock loop{where}"]
        for name in precisions:
            header += [f"sharpness, {name}", "speed-up", "target"]
        rows = []
        for row in result["rows"]:
            speed = row["images_per_second"]
            cells = [row["case"], row["batch_size"], _rate(speed[f"stock{where}"])]
            for name in precisions:
                target = row["target"].get(name.removesuffix(where))
                cells += [_rate(speed[name]), times(row["speedup"][name]), f"{target:g} ×" if target else ""]
            rows.append(cells)
        blocks[block] = markdown(header, rows)
    return blocks


def _rival(name: str) -> str:
    return "stock, whole machine" if name.endswith("whole machine") else "stock"


def _rate(images_per_second: float) -> str:
    return f"{images_per_second:.0f}" if images_per_second >= 100 else f"{images_per_second:.1f}"


def _train(case: Case, precision: str, device: torch.device) -> None:
    spec = case.spec | {"precision": precision}
    configure(device, precision)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = CheckpointFile(Path(folder) / "checkpoint", {"run_id": "bench"})
        train(spec, images_on_device(case.arrays, spec, device), device, checkpoint)


def _fork_workers() -> None:
    """Let loaders fork their workers, as on Linux; in a spawned process they would spawn, each importing torch."""
    multiprocessing.set_start_method("fork", force=True)


def _train_stock(case: Case, device: torch.device, threads: int) -> None:
    spec, arrays = case.spec, case.arrays
    torch.set_num_threads(threads)
    network = build_network(
        spec["network"],
        network_arguments(spec),
        in_channels=arrays.train_images.shape[3],
        image_size=arrays.train_images.shape[1],
        num_classes=len(arrays.classes),
    ).to(device)
    train_set, test_set = (arrays.train_images, arrays.train_labels), (arrays.test_images, arrays.test_labels)
    train_stock(
        network, *loaders(train_set, test_set, *channel_statistics(arrays).values(), spec, WORKERS), device, spec
    )

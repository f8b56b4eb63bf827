"""What else a step could run on: other memory layouts, bfloat16, no oneDNN, torch.compile; and other test batches."""

import os
import tempfile
from collections.abc import Callable, Sequence
from statistics import median
from unittest import mock

import torch
from measure import interleaved, machine, ratio, timed
from pictures import digits, images_on_device
from tables import markdown, milliseconds, times
from workloads import Workload, laptop_networks, sam_spec, smoothed_loss, step_spec, wrn_16_2, wrn_22_8

from sharpness.training.step import build_optimizer, build_step

AS_IT_IS = "as it is"
TITLES = {
    "default layout": "default layout (NCHW)",
    "bf16": "bf16",
    "bf16, default layout": "bf16, default layout",
    "no oneDNN": "without oneDNN",
    "flushed": "denormals flushed",
}
TEST_BATCHES = (64, 128, 256, 512, 1285)


def measure(
    device: torch.device, budget: float = 6.0, workloads: Sequence[Workload] | None = None, compiled: bool = True
) -> dict:
    """Time SAM steps done otherwise, torch.compile's cost and gain, and a test at several batch sizes.

    Args:
        device: where.
        budget: seconds for each workload.
        workloads: by default the laptop scale's networks and small batches of a WRN-16-2 and the WRN-22-8.
        compiled: try torch.compile, which takes a minute.
    """
    workloads = workloads or [*laptop_networks(), wrn_16_2(16), wrn_22_8(4)]
    return {
        "machine": machine(device),
        "rows": [_step_otherwise(workload, device, budget) for workload in workloads],
        "compiled": _compiled(workloads[0], device, budget) if compiled else None,
        "tests": [_tested(workload, device, budget / 2) for workload in workloads if workload.image_size == 8],
    }


def tables(result: dict) -> dict[str, str]:
    names = [name for name in TITLES if name in result["rows"][0]["ratio"]]
    steps = [
        [
            f"{row['network']}, batch {row['batch_size']}",
            milliseconds(row["seconds"]),
            *(times(row["ratio"][name]) for name in names),
        ]
        for row in result["rows"]
    ]
    tests = [
        [row["network"], *(f"{row['images_per_second'][size]:.0f}" for size in row["images_per_second"])]
        for row in result["tests"]
    ]
    blocks = {
        "alternatives": markdown(["SAM step", "as it is (ms)", *(TITLES[name] for name in names)], steps),
        "test_batches": markdown(
            ["test images a second", *(f"batch {size}" for size in result["tests"][0]["images_per_second"])], tests
        ),
    }
    if compiled := result["compiled"]:
        blocks["compiled"] = markdown(
            [
                "SAM step",
                "plain (ms)",
                "compiled (ms)",
                "compiling (s)",
                "steps until it pays",
                "steps of a laptop run",
            ],
            [
                [
                    compiled["network"],
                    milliseconds(compiled["seconds"]["plain"]),
                    milliseconds(compiled["seconds"]["compiled"]),
                    f"{compiled['compile_seconds']:.0f}",
                    f"{compiled['steps_to_pay']:.0f}" if compiled["steps_to_pay"] else "never",
                    compiled["steps_of_a_run"],
                ]
            ],
        )
    return blocks


def _step(
    workload: Workload, device: torch.device, layout: torch.memory_format, precision: str, **compiling
) -> Callable[[], object]:
    network = workload.build(device, layout)
    called = torch.compile(network, **compiling) if compiling else network
    step = build_step(called, build_optimizer(network, step_spec()), smoothed_loss(), precision)
    batch = workload.batch(device, layout)
    return lambda: step(*batch)


def _step_otherwise(workload: Workload, device: torch.device, budget: float) -> dict:
    plain = _step(workload, device, torch.channels_last, "fp32")

    def without_onednn() -> None:
        with torch.backends.mkldnn.flags(enabled=False):
            plain()

    def flushed() -> None:
        torch.set_flush_denormal(True)
        plain()
        torch.set_flush_denormal(False)

    candidates = {
        AS_IT_IS: plain,
        "default layout": _step(workload, device, torch.contiguous_format, "fp32"),
        "bf16": _step(workload, device, torch.channels_last, "bf16"),
        "bf16, default layout": _step(workload, device, torch.contiguous_format, "bf16"),
    }
    if device.type == "cpu":
        candidates |= {"no oneDNN": without_onednn, "flushed": flushed}
    seconds = interleaved(candidates, budget, device)
    return {
        "network": workload.title,
        "batch_size": workload.batch_size,
        "rounds": len(seconds[AS_IT_IS]),
        "seconds": median(seconds[AS_IT_IS]),
        "ratio": {name: ratio(seconds, name, AS_IT_IS) for name in candidates if name != AS_IT_IS},
    }


def _compiled(workload: Workload, device: torch.device, budget: float) -> dict:
    """torch.compile from an empty cache, as a job on a new machine would have it."""
    with tempfile.TemporaryDirectory() as cache, mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=cache):
        compiled = _step(workload, device, torch.channels_last, "fp32", mode="default")
        first = timed(compiled, device)
        plain = _step(workload, device, torch.channels_last, "fp32")
        seconds = interleaved({"plain": plain, "compiled": compiled}, budget, device)
    medians = {name: median(values) for name, values in seconds.items()}
    gain = medians["plain"] - medians["compiled"]
    compile_seconds = first - medians["compiled"]
    spec = sam_spec()
    batches = -(-len(digits().train_labels) // spec["batch_size"])
    return {
        "network": workload.title,
        "rounds": len(seconds["plain"]),
        "seconds": medians,
        "compile_seconds": compile_seconds,
        "steps_to_pay": compile_seconds / gain if gain > 0 else None,
        "steps_of_a_run": spec["epochs"] * batches,
    }


def _tested(workload: Workload, device: torch.device, budget: float) -> dict:
    """Test images a second of the digits' test set, by batch size."""
    network = workload.build(device).eval()
    inputs = images_on_device(digits(), sam_spec(), device).test_inputs

    @torch.inference_mode()
    def test(size: int) -> None:
        for batch in inputs.split(size):
            network(batch)

    seconds = interleaved({str(size): lambda size=size: test(size) for size in TEST_BATCHES}, budget, device)
    return {
        "network": workload.title,
        "rounds": len(seconds["512"]),
        "images_per_second": {size: len(inputs) / median(values) for size, values in seconds.items()},
    }

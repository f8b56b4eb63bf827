"""What a scale would cost on this device, from a short calibration that takes real training steps on random images."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sharpness.arrays import Shape
from sharpness.datasets import prepared_shape
from sharpness.jobs import Job
from sharpness.training.device import configure
from sharpness.training.passes import backward_passes, steps_of
from sharpness.training.step import autocast, build_training, settings_in

# A timing is trusted if it takes this long (seconds): a slow device needs a few images for it, a fast one repetitions.
LONG_ENOUGH = 1.0

# What a job takes beside training and testing: imports, and reading the data set.
START_SECONDS = 3.0


@dataclass(frozen=True)
class Estimate:
    """The runs of one kind, a network under one optimizer.

    Attributes:
        kind: network and method.
        runs: how many the scale has.
        missing: how many of them have not been trained.
        seconds: of one run, wall clock.
        parameters: of the network.
    """

    kind: str
    runs: int
    missing: int
    seconds: float
    parameters: int


def estimate(jobs: list[Job], dataset: dict, data_dir: Path, device: torch.device) -> list[Estimate]:
    """Time one step and one test batch for each kind of run, and extrapolate to its epochs.

    Args:
        jobs: the training runs of a scale.
        dataset: its `dataset` settings.
        data_dir: folder of the prepared data sets.
        device: where to compute.

    Raises:
        UserError: a fault of the data set or a setting, or a precision that the device lacks.
    """
    shape = prepared_shape(dataset, data_dir)
    kinds: dict[str, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(kind_of(job), []).append(job)
    measured: dict[tuple, tuple[float, float, int]] = {}
    estimates = []
    for kind, runs in kinds.items():
        spec = {key: value for key, value in runs[0].spec.items() if not key.startswith("when_")}
        cost_class = (spec["network"], spec["optimizer"])  # every ascent step costs about the same
        if cost_class not in measured:
            with settings_in(runs[0].scale):
                measured[cost_class] = _epoch_seconds(spec, shape, device)
        training, testing, parameters = measured[cost_class]
        passes = [backward_passes(each, shape.train_images, spec["epochs"]) for each in (runs[0].spec, spec)]
        seconds = START_SECONDS + spec["epochs"] * (training * passes[0] / passes[1] + testing)
        missing = sum(not job.is_finished() for job in runs)
        estimates.append(Estimate(kind, len(runs), missing, seconds, parameters))
    return estimates


def kind_of(job: Job) -> str:
    """The kind of a training run: its network and its method."""
    return f"{job.spec['network']} {job.spec['method']}"


def runs_at_once(device: torch.device, runs_per_gpu: int) -> int:
    """How many runs `snakemake --cores all` trains at a time: one on each core, or runs_per_gpu on each visible GPU."""
    if device.type == "cuda":
        return runs_per_gpu * torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def describe(scale: str, estimates: list[Estimate], device: torch.device, at_once: int) -> str:
    """The estimate of a scale as text for a terminal, with `at_once` runs at a time."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {os.cpu_count()} cores"
    lines = [
        f"scale {scale} on {name}, {at_once} at a time (calibrated just now on random images):",
        f"{'network and method':40}{'runs':>6}{'to do':>7}{'each':>12}{'total':>12}",
    ]
    for entry in estimates:
        each, total = _duration(entry.seconds), _duration(entry.seconds * entry.missing)
        lines.append(f"{entry.kind:40}{entry.runs:6}{entry.missing:7}{each:>12}{total:>12}")
    missing = sum(entry.missing for entry in estimates)
    work = sum(entry.seconds * entry.missing for entry in estimates)
    longest = max((entry.seconds for entry in estimates if entry.missing), default=0.0)
    # Weights and momentum in float32, for each run at a time; a history takes some 20 kB.
    parameters = max(entry.parameters for entry in estimates)
    disk = min(at_once, missing) * parameters * 8 / 2**20 + missing * 0.02
    lines.append(
        f"{sum(entry.runs for entry in estimates)} runs, {missing} to do: "
        f"about {_duration(max(work / at_once, longest))}, {disk:.0f} MB of disk beside the data set"
    )
    return "\n".join(lines)


def _epoch_seconds(spec: dict, shape: Shape, device: torch.device) -> tuple[float, float, int]:
    """Seconds of an epoch's training and of testing, and the network's number of parameters."""
    configure(device, spec["precision"])
    steps = steps_of(spec["epochs"], shape.train_images, spec["batch_size"])
    model, _, _, step = build_training(spec, shape, steps, device)

    def train_on(images: int) -> None:
        step(_random_images(images, shape, device), torch.zeros(images, dtype=torch.int64, device=device))

    @torch.inference_mode()
    def test_on(images: int) -> None:
        with autocast(device, spec["precision"]):
            model(_random_images(images, shape, device))

    batch_size = spec["batch_size"]
    training = _seconds(train_on, batch_size, device) * shape.train_images / batch_size
    model.eval()
    testing = _seconds(test_on, batch_size, device) * shape.test_images / batch_size
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return training, testing, parameters


def _seconds(work: Callable[[int], None], batch_size: int, device: torch.device) -> float:
    """Seconds of `work(batch_size)`.

    The batch grows from two images until it is full, and is then timed several times; or until it takes long enough,
    and the line through its time and that of half of it leads to the full batch.
    """
    images, seconds = min(2, batch_size), 0.0
    work(images)  # the first call also loads kernels
    while True:
        half, seconds = seconds, _timed(work, images, 1, device)
        if images == batch_size:
            repeats = max(3, int(LONG_ENOUGH / seconds))
            return _timed(work, images, repeats, device) / repeats
        if half and seconds >= LONG_ENOUGH:
            per_image = max(seconds - half, 0.0) / (images - images // 2)
            return seconds + per_image * (batch_size - images)
        images = min(2 * images, batch_size)


def _timed(work: Callable[[int], None], images: int, repeats: int, device: torch.device) -> float:
    _wait_for(device)
    started = time.perf_counter()
    for _ in range(repeats):
        work(images)
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _random_images(images: int, shape: Shape, device: torch.device) -> Tensor:
    size = (images, shape.channels, shape.image_size, shape.image_size)
    return torch.randn(size, device=device).contiguous(memory_format=torch.channels_last)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"

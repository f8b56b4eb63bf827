"""Which device a run uses: the CPU, or a slot of a GPU."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from sharpness.errors import UserError
from sharpness.training.process import keep_freed_memory

POLL_SECONDS = 1.0


@contextmanager
def claim_device(name: str, runs_per_gpu: int = 1) -> Iterator[torch.device]:
    """Yield the CPU, or a GPU of which this process has a slot until the context ends.

    A slot is a file lock, which the operating system frees when the process ends, however it ends. If no slot is free,
    this waits for one.

    Args:
        name: "auto" (CUDA where there is a GPU), "cpu" or "cuda".
        runs_per_gpu: slots of each GPU.

    Raises:
        UserError: "cuda" was asked for and there is no GPU.
    """
    check_visible(name)
    if name == "cpu" or not torch.cuda.is_available():
        yield torch.device("cpu")
        return
    index, lock = _claim_slot(_visible_gpus(), runs_per_gpu)
    try:
        yield torch.device("cuda", index)
    finally:
        lock.release()


def check_visible(name: str) -> None:
    """Refuse "cuda" where there is no GPU.

    Raises:
        UserError: it was asked for.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("config/config.yaml: device is cuda, but no GPU is visible here; use device=auto or device=cpu")


def _visible_gpus() -> list[str]:
    """Each visible GPU's own name, the same in every process, however the process numbers them."""
    return [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]


def _claim_slot(gpus: list[str], slots: int) -> tuple[int, FileLock]:
    """Lock the first free slot; the emptiest GPUs come first."""
    while True:
        for slot in range(slots):
            for index, gpu in enumerate(gpus):
                lock = FileLock(Path(tempfile.gettempdir()) / f"sharpness-{os.getuid()}-gpu{gpu}-{slot}.lock")
                try:
                    lock.acquire(timeout=0)
                    return index, lock
                except Timeout:
                    continue
        time.sleep(POLL_SECONDS)


def configure(device: torch.device, precision: str) -> None:
    """Set this process up: one CPU thread, freed memory kept, deterministic algorithms, the given precision.

    Args:
        device: where the run computes.
        precision: "fp32", "tf32" (CUDA only) or "bf16" (autocast; weights and updates stay float32).

    Raises:
        UserError: tf32 without CUDA.
    """
    if precision == "tf32" and device.type != "cuda":
        raise UserError("precision tf32 exists on CUDA only; use fp32 or bf16 in the scale's file, or device=cuda")
    torch.set_num_threads(1)
    keep_freed_memory()
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.cuda.set_device(device)
        torch.use_deterministic_algorithms(True)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"


def describe(device: torch.device) -> dict:
    """The device's name and, for a GPU, the CUDA version, for a run's provenance."""
    if device.type == "cpu":
        return {"device": "cpu"}
    return {"device": torch.cuda.get_device_name(device), "cuda": torch.version.cuda, "driver": _driver_version()}


def _driver_version() -> str | None:
    try:
        return Path("/sys/module/nvidia/version").read_text(encoding="ascii").strip()
    except OSError:
        return None

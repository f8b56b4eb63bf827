"""Where a result came from and what it cost: the commit, the versions, the machine, the time and memory."""

import platform
import resource
import subprocess
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from sharpness.paths import shipped

PACKAGES = ("sharpness", "torch", "torchvision", "numpy", "pandas", "scipy", "matplotlib", "snakemake")


def origin(device: dict) -> dict:
    """Everything about where this process computes: commit, versions, machine and the given description of a device."""
    return {
        **commit(),
        "versions": versions(),
        "system": platform.platform(),
        "processor": _processor(),
        **device,
    }


def cost(seconds: float, earlier_cpu_seconds: float = 0.0, peak_gpu_memory: int = 0) -> dict:
    """What a job has used so far, and now as the time at which it finished (UTC); memory is this process's.

    Args:
        seconds: wall-clock time of the work itself, over all resumptions.
        earlier_cpu_seconds: CPU time of the processes that this one continues from.
        peak_gpu_memory: bytes.
    """
    return {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(earlier_cpu_seconds + time.process_time(), 3),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_gpu_memory_mb": round(peak_gpu_memory / 2**20, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def commit(root: Path | None = None) -> dict:
    """The git commit of a tree, and whether it had uncommitted changes; both None outside a repository.

    Args:
        root: the tree; without it the project's, or the code's where another project imports the workflow.
    """
    root = shipped(".") if root is None else root
    try:
        head = _git(root, "rev-parse", "HEAD")
        return {"commit": head, "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers and the pictures."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()

"""The project in a temporary folder, where its own commands can be timed from clean."""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MADE = shutil.ignore_patterns(
    ".git", ".venv", ".snakemake", "data", "build", "results", "figures", ".*_cache", "__pycache__"
)


@contextmanager
def clean_copy(root: Path = Path()) -> Iterator[Path]:
    """Yield a folder with the project as it stands in `root`, without anything that it has made."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(root, copy, ignore=MADE)
        yield copy


def run(folder: Path, module: str, *arguments: str) -> tuple[float, float]:
    """Run a Python module's command in a copy of the project and wait for it.

    Returns:
        Wall-clock seconds, and CPU seconds of it and its children.

    Raises:
        RuntimeError: it failed; the message holds the end of what it printed.
    """
    environment = os.environ | {"PYTHONPATH": str((folder / "src").resolve())}
    cpu, started = _cpu_seconds(), time.perf_counter()
    finished = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=folder, env=environment, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    if finished.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)}:\n{(finished.stdout + finished.stderr)[-2000:]}")
    return seconds, _cpu_seconds() - cpu


@contextmanager
def watched_cores(interval: float = 0.2) -> Iterator[list[tuple[float, float]]]:
    """Yield a list that grows until the context ends: the time.time(), and the CPU seconds of all cores so far.

    Args:
        interval: seconds between its entries.
    """
    entries: list[tuple[float, float]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(interval):
            times = psutil.cpu_times()
            entries.append((time.time(), times.user + times.nice + times.system + times.irq + times.softirq))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield entries
    finally:
        ended.set()
        watcher.join()


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

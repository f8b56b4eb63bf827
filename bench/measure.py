"""Timing alternatives against each other in one process: interleaved rounds, medians, and the machine they ran on."""

import os
import time
from collections.abc import Callable
from statistics import median

import torch

from sharpness import provenance
from sharpness.training.device import describe

# However little time there is, a median is taken of this many rounds.
FEWEST_ROUNDS = 3

CPU = torch.device("cpu")


def interleaved(
    candidates: dict[str, Callable[[], object]], budget: float, device: torch.device = CPU
) -> dict[str, list[float]]:
    """Wall-clock seconds of each candidate in each round, A B A B, after one call of each that does not count.

    Args:
        candidates: what to time, by name.
        budget: seconds to spend on the rounds; there are FEWEST_ROUNDS at least, and always an odd number of them.
        device: whose work is waited for before the clock is read.
    """
    for work in candidates.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    started = time.perf_counter()
    rounds = 0
    while rounds < FEWEST_ROUNDS or rounds % 2 == 0 or time.perf_counter() - started < budget:
        for name, work in candidates.items():
            seconds[name].append(timed(work, device))
        rounds += 1
    return seconds


def timed(work: Callable[[], object], device: torch.device = CPU) -> float:
    """Wall-clock seconds of one call, until the device has finished it."""
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ratio(seconds: dict[str, list[float]], name: str, base: str) -> float:
    """The median over the rounds of one candidate's time divided by another's in the same round."""
    return median(own / other for own, other in zip(seconds[name], seconds[base], strict=True))


def machine(device: torch.device) -> dict:
    """Where the numbers come from: commit, versions, processor, cores, how busy it was before, and the device."""
    return {
        **provenance.origin(describe(device)),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
    }

"""How many images a second 1, 2 and 4 runs train together on one GPU, and how busy they keep it."""

import multiprocessing
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from statistics import mean

import torch
from gpu_steps import workloads
from measure import wait_for
from tables import markdown, times
from workloads import Workload, smoothed_loss, step_spec

from sharpness.training.capture import CapturedStep
from sharpness.training.device import configure
from sharpness.training.process import skip_compiler_import
from sharpness.training.step import build_optimizer, build_step

RUNS = {"full": (1, 2, 4), "tiny": (1, 2)}
# What each case's steps may take (seconds), and all of them together of the time that there is: the rest is for the
# processes to start in, and to build networks.
MOST_SECONDS = {"full": 4.0, "tiny": 0.5}
STEPPING = 0.4
POLL_SECONDS = 0.25
STEPS_BETWEEN_LOOKS = 5  # at the clock, for which the GPU has to be waited for


def measure(device: torch.device, size: str, end: float) -> Iterator[dict]:
    """One row for each number of runs, workload, and on a GPU with and without a CUDA graph, all in fp32.

    Args:
        device, size, end: as for gpu_steps.measure.

    Yields:
        runs, network, batch_size, graph; images_per_second, of all runs together; utilisation, the mean share of the
        time in which the GPU computed, None where nothing tells it.
    """
    graphs = (False, True) if device.type == "cuda" else (False,)
    cases = list(product(workloads(size), graphs))
    seconds = min(MOST_SECONDS[size], STEPPING * (end - time.monotonic()) / (len(RUNS[size]) * len(cases)))
    for runs in RUNS[size]:
        if time.monotonic() > end or seconds <= 0:
            return
        yield from _together(runs, cases, device, seconds, end)


def tables(rows: list[dict]) -> dict[str, str]:
    alone = {(row["network"], row["graph"]): row["images_per_second"] for row in rows if row["runs"] == 1}
    header = ["runs at once", "network", "batch", "CUDA graph", "images a second", "against one run", "GPU busy"]
    return {
        "gpu_at_once": markdown(
            header,
            [
                [
                    row["runs"],
                    row["network"],
                    row["batch_size"],
                    "yes" if row["graph"] else "no",
                    f"{row['images_per_second']:.0f}",
                    times(row["images_per_second"] / alone[row["network"], row["graph"]]),
                    "" if row["utilisation"] is None else f"{row['utilisation']:.0%}",
                ]
                for row in rows
            ],
        )
    }


def _together(
    runs: int, cases: list[tuple[Workload, bool]], device: torch.device, seconds: float, end: float
) -> Iterator[dict]:
    """Start processes that go through the cases side by side, and add up what they report of each."""
    spawn = multiprocessing.get_context("spawn")
    barrier, reports = spawn.Barrier(runs), spawn.Queue()
    arguments = (cases, str(device), seconds, barrier, reports)
    processes = [spawn.Process(target=_train, args=arguments, daemon=True) for _ in range(runs)]
    for process in processes:
        process.start()
    try:
        for workload, graph in cases:
            with _utilisation(device) as samples:
                rates = [_next(reports, processes, end) for _ in range(runs)]
            if None in rates:
                return
            yield {
                "runs": runs,
                "network": workload.title,
                "batch_size": workload.batch_size,
                "graph": graph,
                "images_per_second": sum(rate for rate, _, _ in rates),
                "utilisation": _busy(samples, rates),
            }
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _next(reports, processes: list, end: float) -> tuple[float, float, float] | None:
    """The next report of a process, or None when the time is up.

    Raises:
        RuntimeError: a process has died.
    """
    while time.monotonic() < end:
        try:
            return reports.get(timeout=1.0)
        except queue.Empty:
            if codes := [process.exitcode for process in processes if process.exitcode]:
                raise RuntimeError(f"a run of several at once ended with status {codes[0]}") from None
    return None


def _train(cases: list[tuple[Workload, bool]], device_name: str, seconds: float, barrier, reports) -> None:
    """One process: for each case take SAM steps for some seconds beside the others, and report the images a second."""
    device = torch.device(device_name)
    configure(device, "fp32")
    skip_compiler_import()
    for workload, graph in cases:
        model, batch = workload.build(device), workload.batch(device)
        optimizer = build_optimizer(model, step_spec())
        step = build_step(model, optimizer, smoothed_loss(), "fp32")
        if graph:
            step = CapturedStep(step, model, optimizer)
        step(*batch)
        wait_for(device)
        barrier.wait()
        begun, steps = time.time(), 0
        while time.time() - begun < seconds:
            for _ in range(STEPS_BETWEEN_LOOKS):
                step(*batch)
            wait_for(device)
            steps += STEPS_BETWEEN_LOOKS
        ended = time.time()
        reports.put((steps * workload.batch_size / (ended - begun), begun, ended))
        barrier.wait()  # nobody builds the next network while another still counts


@contextmanager
def _utilisation(device: torch.device) -> Iterator[list[tuple[float, float]]]:
    """Meanwhile collect (time, share of the time in which the GPU computed) as nvidia-smi has it, where it is there."""
    samples: list[tuple[float, float]] = []
    if device.type != "cuda" or not shutil.which("nvidia-smi"):
        yield samples
        return
    gpu = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    command = ["nvidia-smi", "-i", gpu, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    stopped = threading.Event()

    def sample() -> None:
        while not stopped.wait(POLL_SECONDS):
            answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
            if answer.isdigit():
                samples.append((time.time(), int(answer) / 100))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        stopped.set()
        thread.join()


def _busy(samples: list[tuple[float, float]], rates: list[tuple[float, float, float]]) -> float | None:
    """The mean of the samples from when all processes were stepping."""
    begun, ended = max(begun for _, begun, _ in rates), min(ended for _, _, ended in rates)
    during = [share for moment, share in samples if begun < moment <= ended]
    return mean(during) if during else None

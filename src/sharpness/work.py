"""Training in a time box, without Snakemake: what a scale still lacks, several runs at a time, until the time is up.

It is for a machine that is there for a while only: a notebook service, a preemptible node, a borrowed GPU.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from sharpness import paths
from sharpness.datasets import prepare
from sharpness.errors import UNSAID, UserError
from sharpness.evidence.formatting import duration
from sharpness.jobs import Job
from sharpness.progress import AT_WORK, PATIENCE, is_running
from sharpness.source import environment
from sharpness.status import collect
from sharpness.study import Study
from sharpness.training.device import check_visible
from sharpness.training.process import StopRequest

# Before the end of the time runs are asked to stop, so that their checkpoints are written by then (seconds).
GRACE = 20.0
POLL_SECONDS = 0.2
# How a run ends that was asked to stop: with its checkpoint saved, or before it had anything to save.
STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)


def work(study: Study, minutes: float, at_once: int, config: dict) -> int:
    """Train the study's missing runs in its order until the time is up; SIGTERM, SIGINT and SIGHUP are its end.

    A run that a process trains already, left over from a `work` that was killed, is left to it.

    Args:
        study: the study at its scale.
        minutes: the time, its end included: runs that are not finished by then have saved their checkpoints.
        at_once: runs at a time.
        config: config/config.yaml's, for every run.

    Returns:
        How many runs failed; their logs say why.

    Raises:
        UserError: Snakemake or another `work` is running here, or no run could begin with this data or device.
    """
    grace = min(GRACE, 15 * minutes)
    end = time.monotonic() + 60 * minutes - grace
    failed = 0
    with alone():
        waiting = _begin(study, config)
        running: dict[str, subprocess.Popen] = {}
        done = sum(job.is_finished() for job in study.runs.values())
        show = tqdm(total=len(study.runs), initial=done, unit=" runs", disable=not _is_terminal())
        with StopRequest() as stop, show:
            while (waiting or running) and not stop.signal and time.monotonic() < end:
                while waiting and len(running) < at_once:
                    job = waiting.pop(0)
                    running[job.id] = _start(study, job, at_once, config)
                time.sleep(POLL_SECONDS)
                for identity in [identity for identity, process in running.items() if process.poll() is not None]:
                    code = running.pop(identity).returncode
                    failed += code != 0
                    show.update(code == 0)
                    tqdm.write(_outcome(study.runs[identity], code))
            failed += _stop(study, running, grace)
    print(remaining(study, at_once))
    return failed


def remaining(study: Study, at_once: int) -> str:
    """How many runs are finished and missing, and the time that these take at the speeds measured so far."""
    status = collect(study)
    missing = sum(not state.is_finished for state in status.runs)
    text = f"scale {study.scale}: {len(study.runs) - missing} of {len(study.runs)} runs are finished"
    if not missing:
        return text
    text += f", {missing} remain"
    seconds, unknown = status.seconds_left(at_once)
    if seconds:
        text += f"; about {duration(seconds)} left, {at_once} at a time"
    if unknown:
        text += f"; {unknown} are of kinds of which none has finished an epoch"
    return text


def _begin(study: Study, config: dict) -> list[Job]:
    """The runs to train, after a look at what they all need."""
    missing = [job for job in study.runs.values() if not job.is_finished()]
    if missing:
        check_visible(config["device"])
        prepare(study.settings["dataset"], Path(config["data_dir"]), _is_terminal())
    waiting = []
    for job in missing:
        if is_running(job):
            print(f"{job.id}: another process is training it")
        else:
            waiting.append(job)
    return waiting


def _stop(study: Study, running: dict[str, subprocess.Popen], grace: float) -> int:
    """Ask runs to save their checkpoints and end, all within so many seconds; how many failed instead."""
    for process in running.values():
        process.terminate()
    deadline = time.monotonic() + grace
    failed = 0
    for identity, process in running.items():
        try:
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            code = STOPPED[0]  # the checkpoint of its last epoch is there
        failed += code not in (0, *STOPPED)
        tqdm.write(_outcome(study.runs[identity], code))
    return failed


def _start(study: Study, job: Job, at_once: int, config: dict) -> subprocess.Popen:
    log = _log(job)
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "sharpness", "train", "--scale", study.scale, "--run", job.id]
    words += ["--data-dir", config["data_dir"], "--device", config["device"], "--runs-per-gpu", str(at_once)]
    words += ["--cuda-graph" if config["cuda_graph"] else "--no-cuda-graph", "--tracking", config["tracking"]]
    with log.open("w") as output:
        return subprocess.Popen(
            words,
            env=os.environ | environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process, which stops its runs
        )


def _outcome(job: Job, code: int) -> str:
    if code in STOPPED:
        return f"{job.id}: stopped; the next call continues it"
    if code == UNSAID:
        return f"{_log(job)}: cannot be written: the disk or quota is full; free some space"
    lines = _log(job).read_text(encoding="utf-8", errors="replace").splitlines()
    last = lines[-1] if lines else f"ended with status {code} and said nothing"
    return last if last.startswith(f"{job.id}: ") else f"{job.id}: {last}"


def _log(job: Job) -> Path:
    return paths.log(job.scale, job.id)  # where `sharpness status` looks, at whichever scale the run is


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def alone() -> AbstractContextManager:
    """Hold the lock that Snakemake holds, too: two trainings of one run would share a checkpoint.

    Raises:
        UserError: it is held.
    """
    AT_WORK.parent.mkdir(exist_ok=True)
    try:
        return FileLock(AT_WORK).acquire(timeout=PATIENCE)
    except Timeout:
        raise UserError(f"snakemake or another `sharpness work` is running in {os.getcwd()}; wait for it") from None

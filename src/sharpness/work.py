"""Training in a time box, without Snakemake: what a scale still lacks, several runs at a time, until the time is up.

It is for a machine that is there for a while only: a notebook service, a preemptible node, a borrowed GPU.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager

from filelock import FileLock, Timeout
from tqdm import tqdm

from sharpness import paths
from sharpness.errors import UNSAID, UserError
from sharpness.evidence.formatting import duration
from sharpness.jobs import Job
from sharpness.progress import AT_WORK, PATIENCE
from sharpness.source import environment
from sharpness.status import collect
from sharpness.study import Study
from sharpness.training.process import StopRequest

# Before the end of the time runs are asked to stop, so that their checkpoints are written by then (seconds).
GRACE = 20.0
POLL_SECONDS = 0.2
# How a run ends that was asked to stop: with its checkpoint saved, or before it had anything to save.
STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)


def work(study: Study, minutes: float, at_once: int, options: list[str]) -> int:
    """Train the study's missing runs in its order until the time is up; SIGTERM and SIGINT are the end of the time.

    Args:
        study: the study at its scale.
        minutes: the time, its end included: runs that are not finished by then have saved their checkpoints.
        at_once: runs at a time.
        options: of `sharpness train`, for every run.

    Returns:
        How many runs failed; their logs say why.

    Raises:
        UserError: Snakemake or another `work` is running here.
    """
    end = time.monotonic() + 60 * minutes - min(GRACE, 15 * minutes)
    waiting = [job for job in study.runs.values() if not job.is_finished()]
    running: dict[str, subprocess.Popen] = {}
    failed = 0
    show = tqdm(total=len(study.runs), initial=len(study.runs) - len(waiting), unit=" runs", disable=not _is_terminal())
    with _alone(), StopRequest() as stop, show:
        while (waiting or running) and not stop.signal and time.monotonic() < end:
            while waiting and len(running) < at_once:
                job = waiting.pop(0)
                running[job.id] = _start(study, job, at_once, options)
            time.sleep(POLL_SECONDS)
            for identity in [identity for identity, process in running.items() if process.poll() is not None]:
                code = running.pop(identity).returncode
                failed += code != 0
                show.update(code == 0)
                tqdm.write(_outcome(study, identity, code))
        for process in running.values():
            process.terminate()
        for identity, process in running.items():
            try:
                code = process.wait(GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                code = STOPPED[0]  # the checkpoint of its last epoch is there
            failed += code not in (0, *STOPPED)
            tqdm.write(_outcome(study, identity, code))
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


def _start(study: Study, job: Job, at_once: int, options: list[str]) -> subprocess.Popen:
    log = paths.log(study.scale, job.id)
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "sharpness", "train", "--scale", study.scale, "--run", job.id]
    with log.open("w") as output:
        return subprocess.Popen(
            [*words, "--runs-per-gpu", str(at_once), *options],
            env=os.environ | environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process, which stops its runs
        )


def _outcome(study: Study, identity: str, code: int) -> str:
    if code in STOPPED:
        return f"{identity}: stopped; the next call continues it"
    if code == UNSAID:
        return f"{paths.log(study.scale, identity)}: cannot be written: the disk or quota is full; free some space"
    lines = paths.log(study.scale, identity).read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-1] if lines else f"{identity}: ended with status {code} and said nothing"


def _is_terminal() -> bool:
    return sys.stderr.isatty()


def _alone() -> AbstractContextManager:
    """Hold the lock that Snakemake holds, too: two trainings of one run would share a checkpoint."""
    AT_WORK.parent.mkdir(exist_ok=True)
    try:
        return FileLock(AT_WORK).acquire(timeout=PATIENCE)
    except Timeout:
        raise UserError(f"snakemake or another `sharpness work` is running in {os.getcwd()}; wait for it") from None

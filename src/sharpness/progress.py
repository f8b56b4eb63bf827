"""What a training run shows before it is finished: that its process lives, how far it is, its curve so far."""

import fcntl
import json
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from sharpness import files, records
from sharpness.jobs import Job

# Held by Snakemake, and by `sharpness work`, while it works here.
AT_WORK = Path(".snakemake/running.lock")

# `is_locked` holds a lock for an instant: only one that is still held after this long is another's (seconds).
PATIENCE = 1.0


class Progress:
    """In this context, this process is the one that trains the run. If it fails, what it has shown stays.

    The operating system frees the lock when the process ends, however it ends: a run without results whose lock is free
    has been stopped or killed, or has failed.

    Args:
        job: the run.
    """

    def __init__(self, job: Job):
        self.job = job
        self._lock = FileLock(_lock(job))

    def __enter__(self) -> "Progress":
        self.job.unfinished.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=PATIENCE, poll_interval=0.02)
        except Timeout:
            print(f"sharpness: warning: another process is training {self.job.id} as well", file=sys.stderr)
        except OSError as error:  # not every network file system has locks
            print(f"sharpness: warning: {_lock(self.job)}: no lock ({error.strerror}), no status", file=sys.stderr)
        return self

    def update(self, history: str, epoch: int, seconds: float, test_accuracy: float | None) -> None:
        """Show the epochs that are complete.

        Args:
            history: the text of history.csv as it would be if the run ended here.
            epoch: how many epochs that is.
            seconds: what they took.
            test_accuracy: after the last of them; None before the first.
        """
        shown = {"epoch": epoch, "seconds": round(seconds, 3), "test_accuracy": test_accuracy}
        for path, text in ((_history(self.job), history), (_progress(self.job), json.dumps(shown))):
            with files.replacing(path, sync=False) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()
        if error is None:
            shutil.rmtree(self.job.unfinished, ignore_errors=True)
        elif read_progress(self.job) is None:  # nothing is left of a run that could not begin
            _lock(self.job).unlink(missing_ok=True)
            with suppress(OSError):
                os.removedirs(self.job.unfinished)


def is_running(job: Job) -> bool:
    """Whether a process trains the run now."""
    return is_locked(_lock(job))


def is_locked(path: Path) -> bool:
    """Whether a process holds a file lock."""
    try:
        with path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is none
        return False
    return False


def read_progress(job: Job) -> dict | None:
    """What an unfinished run showed last: epoch, seconds and test_accuracy as in `Progress.update`.

    None: nothing, or it cannot be used; the next epoch shows it again.
    """
    try:
        return records.parse(_progress(job).read_bytes(), records.PROGRESS, sealed=False)
    except (OSError, ValueError):
        return None


def _lock(job: Job) -> Path:
    return job.unfinished / "lock"


def _progress(job: Job) -> Path:
    return job.unfinished / "progress.json"


def _history(job: Job) -> Path:
    return job.unfinished / job.data.name

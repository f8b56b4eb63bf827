"""How far a scale is: the state of each job, and the time that the rest takes at the speeds measured so far."""

import statistics
from collections import defaultdict
from dataclasses import dataclass

from sharpness import paths
from sharpness.errors import UserError
from sharpness.jobs import COMPLETED, DIVERGED, TRAINING, Job
from sharpness.progress import is_running, read_progress
from sharpness.study import Study

# Beside COMPLETED and DIVERGED; a stopped run was asked to stop or was killed, and continues when it is started again.
RUNNING, WAITING, STOPPED, FAILED = "running", "waiting", "stopped", "failed"
LOG_TAIL = 20_000  # bytes


@dataclass(frozen=True)
class State:
    """One job's.

    Attributes:
        job: the job.
        name: COMPLETED, DIVERGED, RUNNING, WAITING, STOPPED or FAILED.
        epoch: complete epochs of a training run.
        seconds: what they took.
        test_accuracy: after the last of them.
        reason: why it has stopped or failed.
    """

    job: Job
    name: str
    epoch: int = 0
    seconds: float = 0.0
    test_accuracy: float | None = None
    reason: str = ""

    @property
    def is_finished(self) -> bool:
        return self.name in (COMPLETED, DIVERGED)

    @property
    def kind(self) -> tuple:
        """Runs of one kind need about the same time an epoch."""
        when = (value for key, value in self.job.spec.items() if key.startswith("when_"))
        return self.job.spec["network"], self.job.spec["optimizer"], *when


@dataclass(frozen=True)
class Status:
    """A scale's: the states of its training runs and of its toy problems, in the study's order."""

    scale: str
    runs: list[State]
    problems: list[State]

    @property
    def all(self) -> list[State]:
        return [*self.runs, *self.problems]

    def of(self, *names: str) -> list[State]:
        """The runs in one of some states."""
        return [state for state in self.runs if state.name in names]

    @property
    def is_complete(self) -> bool:
        return all(state.is_finished for state in self.all)

    def seconds_left(self, at_once: int) -> tuple[float, int]:
        """The time that the runs still take that have not failed.

        A run's own epochs say how long its others take, or else the median of the runs of its kind.

        Args:
            at_once: runs at a time.

        Returns:
            The time in seconds, and how many runs it leaves out because none of their kind has finished an epoch.
        """
        measured = defaultdict(list)
        for state in self.runs:
            if state.epoch:
                measured[state.kind].append(state.seconds / state.epoch)
        seconds, unknown = [0.0], 0
        for state in self.of(RUNNING, WAITING, STOPPED):
            if state.kind in measured:
                speed = state.seconds / state.epoch if state.epoch else statistics.median(measured[state.kind])
                seconds.append((state.job.spec["epochs"] - state.epoch) * speed)
            else:
                unknown += 1
        return max(sum(seconds) / at_once, max(seconds)), unknown


def collect(study: Study, before: Status | None = None) -> Status:
    """The state of every job of the study.

    Args:
        study: the study at its scale.
        before: an earlier status, from which jobs that had finished by then are taken.
    """
    known = {state.job.id: state for state in before.all if state.is_finished} if before else {}
    runs, problems = (
        [known.get(job.id) or _state(job) for job in jobs] for jobs in (study.runs.values(), study.problems.values())
    )
    return Status(study.scale, runs, problems)


def _state(job: Job) -> State:
    if job.is_finished():
        return _finished(job)
    shown = read_progress(job) or {}
    if is_running(job):
        return State(job, RUNNING, **shown)
    if job.is_finished():  # by now
        return _finished(job)
    name, reason = _end(job)
    return State(job, name, **shown, reason=reason)


def _finished(job: Job) -> State:
    try:
        run = job.read()
    except UserError as error:
        return State(job, FAILED, reason=str(error))
    if job.kind != TRAINING:
        return State(job, run["status"], seconds=run["cost"]["seconds"])
    header, *_, last = job.data.read_text(encoding="utf-8").splitlines()
    row = dict(zip(header.split(","), map(float, last.split(",")), strict=True))
    return State(job, run["status"], run["epochs"], run["cost"]["seconds"], row["test_accuracy"])


def _end(job: Job) -> tuple[str, str]:
    """Why a job is neither finished nor running, by what it printed last."""
    path = paths.log(job.scale, job.id if job.kind == TRAINING else f"{job.kind}/{job.id}")
    try:
        with path.open("rb") as log:
            log.seek(max(path.stat().st_size - LOG_TAIL, 0))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        text = ""
    text = "".join(character if character.isprintable() or character == "\n" else " " for character in text)
    last = "".join(text.rstrip().splitlines()[-1:]).strip()
    if last.startswith("sharpness: error: "):
        return FAILED, last.removeprefix("sharpness: error: ")
    if "Traceback (most recent call last)" in text:
        return FAILED, last
    if last.startswith(f"sharpness: {job.id}: stopped by "):
        return STOPPED, last.removeprefix(f"sharpness: {job.id}: ").partition(";")[0]
    if job.unfinished.exists():
        return STOPPED, "killed, or out of memory"
    return WAITING, ""

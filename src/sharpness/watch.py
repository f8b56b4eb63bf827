"""Showing how far a scale is: a table at a terminal, lines elsewhere; once, or until all is done."""

import sys
import time
from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sharpness.evidence.formatting import counted, duration
from sharpness.jobs import COMPLETED, DIVERGED, TRAINING
from sharpness.progress import AT_WORK, is_locked
from sharpness.status import FAILED, RUNNING, STOPPED, WAITING, State, Status, collect
from sharpness.study import Study

POLL_SECONDS = 1.0
IDLE_SECONDS = 5.0  # between one run and the next, for a moment nothing runs
COLOURS = {RUNNING: "green", STOPPED: "yellow", FAILED: "red"}


def show(study: Study) -> None:
    """Print how far the scale is."""
    status = collect(study)
    if sys.stdout.isatty():
        Console().print(_view(status))
    else:
        _print(_summary(status), *map(_line, _shown(status)))


def follow(study: Study) -> bool:
    """Show how far the scale is until all its jobs are done, or until nothing works on them any longer.

    At a terminal that is a table that changes, elsewhere a line whenever a run starts or ends.

    Returns:
        Whether all are done.
    """
    if sys.stdout.isatty():
        with Live(auto_refresh=False) as live:
            for status in _until_done(study):
                live.update(_view(status, live.console.height), refresh=True)
    else:
        show(study)
        names: dict[str, str] = {}
        for status in _until_done(study):
            _print(*(_line(state) for state in status.all if names.get(state.job.id, state.name) != state.name))
            names = {state.job.id: state.name for state in status.all}
        _print(_summary(status))
    return status.is_complete


def _until_done(study: Study) -> Iterator[Status]:
    """The status, again and again."""
    status, worked_at = collect(study), time.monotonic()
    while True:
        yield status
        if status.of(RUNNING) or is_locked(AT_WORK):
            worked_at = time.monotonic()
        if status.is_complete or time.monotonic() - worked_at > IDLE_SECONDS:
            return
        time.sleep(POLL_SECONDS)
        status = collect(study, status)


def _shown(status: Status) -> list[State]:
    """What a reader wants to see by name, the more urgent ones first."""
    return [state for name in (FAILED, RUNNING, STOPPED) for state in status.all if state.name == name]


def _summary(status: Status) -> str:
    diverged = len(status.of(DIVERGED))
    text = f"scale {status.scale}: {len(status.of(COMPLETED)) + diverged} of {len(status.runs)} runs done"
    text += f" ({diverged} diverged)" if diverged else ""
    text += "".join(f", {n} {name}" for name in (RUNNING, WAITING, STOPPED, FAILED) if (n := len(status.of(name))))
    at_once = max(len(status.of(RUNNING)), 1)
    seconds, unknown = status.seconds_left(at_once)
    if seconds:
        text += f"; about {duration(seconds)} left, {at_once} at a time"
        text += f", without {unknown} of a kind of which no epoch is done" if unknown else ""
    if status.problems:
        done = sum(state.is_finished for state in status.problems)
        text += f"; {done} of {len(status.problems)} toy problems done"
    return text


def _line(state: State) -> str:
    return ": ".join(filter(None, [state.job.id, state.name, _detail(state)]))


def _detail(state: State) -> str:
    if state.name == FAILED or state.job.kind != TRAINING:
        return state.reason
    if state.is_finished:
        return f"{counted(state.epoch, 'epoch')}, test accuracy {state.test_accuracy:.4f}, {duration(state.seconds)}"
    if state.name == WAITING:
        return ""
    parts = [f"epoch {state.epoch} of {state.job.spec['epochs']}"]
    if state.epoch:
        parts += [f"{duration(state.seconds / state.epoch)} an epoch", f"test accuracy {state.test_accuracy:.4f}"]
    return ", ".join(filter(None, [*parts, state.reason]))


def _view(status: Status, height: int | None = None) -> Group:
    """The summary, and a table of what a reader wants to see by name: as much of it as fits a terminal's height."""
    table = Table("run", "state", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for title in ("epoch", "an epoch", "test accuracy"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold")
    shown = _shown(status)
    rows = shown if height is None else shown[: max(height - 6, 1)]
    for state in rows:
        of = f"{state.epoch} of {state.job.spec['epochs']}" if state.job.kind == TRAINING else ""
        measured = (duration(state.seconds / state.epoch), f"{state.test_accuracy:.4f}") if state.epoch else ("", "")
        table.add_row(Text(state.job.slug), Text(state.name, COLOURS[state.name]), of, *measured, Text(state.reason))
    more = [Text(f"and {len(shown) - len(rows)} more")] if len(rows) < len(shown) else []
    return Group(Text(_summary(status)), *([Text(), table] if rows else []), *more)


def _print(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)

"""A figure before its runs are finished: from those that are, and from the epochs so far of the others.

It goes to figures/<scale>/partial/, which neither the report nor verify nor Snakemake reads, and says in large letters
what it is.
"""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from sharpness.errors import UserError
from sharpness.evidence import style
from sharpness.evidence.artifact import Figure
from sharpness.evidence.style import Drawing
from sharpness.jobs import TRAINING, Job
from sharpness.progress import read_progress
from sharpness.study import Study

PARTIAL = "partial"  # the status of an unfinished run, beside COMPLETED and DIVERGED


class UnfinishedRun(Job):
    """A run whose history is the one that it has shown so far."""

    @property
    def folder(self) -> Path:
        return self.unfinished

    def read(self) -> dict:
        try:
            pd.read_csv(self.data, dtype=float)
        except (OSError, ValueError):
            raise UserError(
                f"{self.data}: cannot be read; delete {self.folder}, the run shows itself again with its next epoch"
            ) from None
        return {"id": self.id, "status": PARTIAL}


def draw_partial(study: Study, name: str) -> Path:
    """Draw a figure of training runs from what there is of them.

    Returns:
        Its SVG; the PDF and the PNG are beside it.

    Raises:
        UserError: it is not such a figure, all of its runs are finished, none has finished an epoch, or another job
            that it shows is missing.
    """
    figure = study.artifact(name)
    runs = [job for job in figure.jobs(study) if job.kind == TRAINING]
    if not isinstance(figure, Figure) or not runs:
        raise UserError(f"--partial: {name} is no figure of training runs; leave it out")
    if all(job.is_finished() for job in runs):
        raise UserError(f"--partial: all runs of {name} are finished; leave it out")
    so_far = {job.id: _so_far(job) for job in study.runs.values()}
    if not any(so_far[job.id] for job in runs):
        raise UserError(f"--partial: no run of {name} has finished an epoch yet; wait for one")
    shown = replace(
        study,
        experiments={
            experiment: [so_far[job.id] for job in jobs if so_far[job.id]]
            for experiment, jobs in study.experiments.items()
        },
    )
    folder = figure.folder(study.scale) / "partial"
    with style.paper():
        drawing = figure.draw(shown, figure.data(shown))
        _mark(drawing, _extent(runs))
        style.settle(drawing)
        for suffix in figure.suffixes:
            style.save(drawing, folder / f"{name}.{suffix}")
    return folder / f"{name}.svg"


def _so_far(job: Job) -> Job | None:
    """The run with the history that it has so far, or None if no epoch is complete."""
    if job.is_finished():
        return job
    if (read_progress(job) or {"epoch": 0})["epoch"]:
        return UnfinishedRun(job.kind, job.spec, job.semantics, job.slug, job.scale)
    return None


def _extent(runs: list[Job]) -> str:
    """How much of some runs there is."""
    unfinished = [job for job in runs if not job.is_finished()]
    epochs = sorted((read_progress(job) or {"epoch": 0})["epoch"] for job in unfinished)
    reached = f"{epochs[0]}" if epochs[0] == epochs[-1] else f"{epochs[0]} to {epochs[-1]}"
    finished = f"{len(runs) - len(unfinished)} of {len(runs)} runs finished"
    return f"PARTIAL: {finished}, the others at epoch {reached} of {runs[0].spec['epochs']}"


def _mark(drawing: Drawing, extent: str) -> None:
    style.title(drawing, "\n".join(filter(None, [extent, drawing.get_suptitle()])))
    drawing.text(
        0.5, 0.5, "PARTIAL", fontsize=44, rotation=35, color=style.VERMILION, alpha=0.25,
        horizontalalignment="center", verticalalignment="center",
    )  # fmt: skip

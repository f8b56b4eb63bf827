"""What the figures, tables and quantities of toy problems share, such as measured points beside predicted lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sharpness.evidence import style, titles
from sharpness.evidence.artifact import Artifact
from sharpness.evidence.hover import Series, panel
from sharpness.evidence.quantity import Quantity, Results
from sharpness.evidence.runs import read_problem
from sharpness.evidence.style import Artist, Axes, Drawing
from sharpness.jobs import Job
from sharpness.settings import require_known
from sharpness.study import Study

LAWS = titles.STEPS | {
    "interpolation": "Interpolation",
    "monge": "Monge SAM",
    "damped": "Damped SAM",
    "sam-l2": "L2-SAM",
    "sam-linf": "L∞-SAM",
}
# A line without points is theory, points without a line are measured: that shows in grey too.
PREDICTED = {"color": "black", "linewidth": 0.9, "zorder": 2}
MEASURED = {"linestyle": "none", "markersize": 3.6, "markeredgecolor": "white", "markeredgewidth": 0.4, "zorder": 3}


@dataclass(frozen=True, kw_only=True)
class ShowsProblem(Artifact):
    """A table or figure of one toy problem, which may be split into jobs.

    Attributes:
        problem: which one of config/study.yaml.
    """

    problem: str

    kind: ClassVar[str]

    def check(self, study: Study) -> None:
        study.jobs_of(self.problem, self.kind)

    def jobs(self, study: Study) -> list[Job]:
        return study.jobs_of(self.problem, self.kind)

    def spec(self, study: Study) -> dict:
        """The settings that all jobs share."""
        return self.jobs(study)[0].spec

    def frame(self, study: Study) -> pd.DataFrame:
        """What its jobs have computed, one below the other."""
        return read(self.jobs(study))


@dataclass(frozen=True, kw_only=True)
class OfProblem(Quantity):
    """A quantity of one toy problem.

    Attributes:
        problem: which one of config/study.yaml.
        law: the radial law, or the method, that is looked at.
        what: what is measured, in plain words.
    """

    problem: str
    law: str
    what: str

    def check(self, study: Study) -> None:
        require_known("problem", self.problem, study.parts)
        require_laws([study.problems[part] for part in study.parts[self.problem]], (self.law,))

    def describe(self, study: Study) -> str:
        return f"{self.what}, {LAWS[self.law]}"

    def rows(self, results: Results) -> pd.DataFrame:
        """What its jobs have computed of the law."""
        frame = results.problem(self.problem)
        return frame[frame["law" if "law" in frame else "method"] == self.law]


def read(jobs: list[Job]) -> pd.DataFrame:
    """What some jobs of one problem have computed, one below the other."""
    return pd.concat([read_problem(job) for job in jobs], ignore_index=True)


def require_laws(jobs: list[Job], laws: tuple[str, ...]) -> None:
    """Check that the jobs of a problem have these laws.

    Raises:
        SettingError: one is missing.
    """
    known = [law for job in jobs for law in job.spec.get("laws", job.spec.get("methods", []))]
    for law in laws:
        require_known("law", law, known)


def predicted_key(label: str = "predicted") -> Artist:
    """The legend's entry for what is predicted."""
    return style.key(label=label, **PREDICTED)


def law_keys(markers: Mapping[str, str]) -> list[Artist]:
    """The legend's entries for the measured points of each law, in its colour."""
    return [
        style.key(color=colours(markers)[law], marker=marker, label=f"{LAWS[law]}, measured", **MEASURED)
        for law, marker in markers.items()
    ]


def draw_border(axes: Axes, across: ArrayLike, up: ArrayLike, **look: object) -> None:
    """Draw a predicted line between cells or points: on white, so that it shows on dark ones too."""
    axes.plot(across, up, color="white", linewidth=1.7, zorder=2)
    axes.plot(across, up, **PREDICTED | look)


def colours(laws: Iterable[str]) -> dict[str, str]:
    """The colour of each law: gradient descent has that of SGD."""
    others = [law for law in dict.fromkeys(laws) if law != "gd"]
    return style.method_colours(others) | {"gd": style.METHOD_COLOURS["sgd"]}


def shades(values: list[float]) -> dict[float, str]:
    """A colour for each of some values, the larger the darker."""
    ramp = style.shades(style.BLUE, range(len(values)))  # by place: no value here is the study's main radius
    return dict(zip(values, ramp.values(), strict=True))


def rate_keys(rates: Sequence[float]) -> list[Artist]:
    """The legend's entries for the measured points of each step size, a marker and a shade each."""
    colours = shades(list(rates))
    return [
        style.key(color=colours[rate], marker=marker, label=f"measured, η = {rate:g}", **MEASURED)
        for rate, marker in style.markers(rates).items()
    ]


def hover_curve(
    label: str, colour: str, points: pd.DataFrame, across: str, measured: str, predicted: str | None = None
) -> Series:
    """Measured points as the page shows them under a pointer, with what theory says of each.

    Args:
        label, colour: of the curve that they belong to.
        points: their columns.
        across, measured, predicted: the columns of their positions, their heights, and these by theory.
    """
    points = points[np.isfinite(points[measured])]
    text = [f"{value:.4g}" for value in points[measured]]
    if predicted is not None:
        text = [f"{value} (predicted {line:.4g})" for value, line in zip(text, points[predicted], strict=True)]
    return Series(label, colour, points.set_index(across)[measured], text)


def hover_by_rate(drawing: Drawing, data: pd.DataFrame, title: str) -> list[dict]:
    """The measured losses over the radius, a curve for each step size in its shade, with their predictions."""
    colours = shades(sorted(data["learning_rate"].unique()))
    series = [
        hover_curve(f"η = {rate:g}", colours[rate], points, "rho", "loss", "predicted")
        for rate, points in data.groupby("learning_rate")
    ]
    return [panel(drawing, drawing.axes[0], title, series)]

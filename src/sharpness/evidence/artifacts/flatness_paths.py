"""Over-parametrised matrix sensing: how far from X*, and how flat, each law is along its way."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.hover import panel
from sharpness.evidence.style import Drawing
from sharpness.settings import require
from sharpness.study import Study

PANELS = {"flatness": "trace over the flattest", "distance": "distance to X*"}


@dataclass(frozen=True, kw_only=True)
class FlatnessPaths(theory.ShowsProblem, Figure):
    """The trace of the Hessian over that of the flattest solution, and the distance to X*, by step.

    Attributes:
        scale: the start's, of the problem.
        rho: the radius, of the problem.
    """

    scale: float
    rho: float

    kind = "sensing_flatness"

    def check(self, study: Study) -> None:
        super().check(study)
        theory.require_laws(self.jobs(study), ("gd",))
        for name in ("scale", "rho"):
            value, known = getattr(self, name), self.spec(study)[name]
            require(value in known, f"{name} is {value:g}; choose from: {', '.join(f'{item:g}' for item in known)}")

    def data(self, study: Study) -> pd.DataFrame:
        """The columns law, rho, scale, step, draws, and medians over the draws of loss, distance and flatness (the
        trace of the Hessian over that of the flattest solution); missing where more than half of the draws have
        diverged.
        """
        frame = self.frame(study)
        frame = frame.assign(flatness=frame["trace"] / frame["flattest"])
        values = ["loss", "distance", "flatness"]
        frame[values] = frame[values].astype(float).where(np.isfinite(frame[values]).all(axis=1), np.inf)
        groups = frame.groupby(["law", "rho", "scale", "step"], sort=False)
        medians = groups.agg(draws=("draw", "count"), **{name: (name, "median") for name in values}).reset_index()
        return medians.replace(np.inf, np.nan)

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The ends: by scale, then a row for each law and radius."""
        last = data[data["step"] == data["step"].max()]
        return {
            "scales": {f"{scale:g}": rows for scale, rows in last.groupby("scale")},
            "draws": int(data["draws"].iloc[0]),
            "steps": int(data["step"].max()),
        }

    def caption(self, study: Study) -> str:
        return (
            f"{self.title}, from a start of scale {self.scale:g} at ρ = {self.rho:g}: medians over "
            f"{counted(self.spec(study)['draws'], 'draw')}. The line below is where the trace-flattest solution is, "
            "which is X* itself."
        )

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        shown = self._shown(data)
        colours = theory.colours(shown["law"])
        panels = []
        for axes, (name, title) in zip(drawing.axes, PANELS.items(), strict=True):
            paths = shown.groupby("law", sort=False)
            series = [theory.hover_curve(theory.LAWS[law], colours[law], path, "step", name) for law, path in paths]
            panels.append(panel(drawing, axes, f"{title}, step ", series))
        return panels

    def _shown(self, data: pd.DataFrame) -> pd.DataFrame:
        """The steps that are drawn."""
        return data[(data["scale"] == self.scale) & data["rho"].isin([0.0, self.rho]) & (data["step"] > 0)]

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        drawing = style.figure(
            3.2, f"Over-parametrised matrix sensing, start of scale {self.scale:g}, ρ = {self.rho:g}"
        )
        panels = drawing.subplots(2, 1, sharex=True)
        shown = self._shown(data)
        colours = theory.colours(shown["law"])
        handles = []
        for axes, name, aim in zip(panels, PANELS, (1.0, 0.0), strict=True):
            axes.axhline(aim, **theory.PREDICTED)
            for index, (law, path) in enumerate(shown.groupby("law", sort=False)):
                every = max(len(path) // 5, 1)
                look = {"marker": style.MARKERS[index], "markevery": (index * every // 3, every), "linewidth": 0.8}
                [line] = axes.plot(path["step"], path[name], color=colours[law], label=theory.LAWS[law], **look)
                if name == "flatness":
                    handles.append(line)
        panels[0].set(ylabel="Trace over the flattest", ylim=(0.9, None))
        panels[1].set(ylabel="Distance to X*", xlabel="Step", ylim=(-0.05, None))
        drawing.align_ylabels()
        style.legend(drawing, handles, [theory.predicted_key("flattest solution")])
        return drawing


KIND = FlatnessPaths

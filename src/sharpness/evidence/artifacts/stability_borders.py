"""The largest eigenvalue at which a descent on the quadratic comes back from far out, by radius."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.dynamics.quadratic import border
from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.hover import panel
from sharpness.evidence.style import Drawing
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class StabilityBorders(theory.ShowsProblem, Figure):
    """A line and its points for each law and step size, in the (ρ, λ) plane.

    Attributes:
        laws: those that are shown.
    """

    laws: tuple[str, ...]

    kind = "stability_border"

    def check(self, study: Study) -> None:
        super().check(study)
        theory.require_laws(self.jobs(study), self.laws)

    def data(self, study: Study) -> pd.DataFrame:
        """The columns of the problem, for the laws shown."""
        frame = self.frame(study)
        return frame[frame["law"].isin(self.laws)].reset_index(drop=True)

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The largest relative error, and the smallest share of gradient descent's border that another law has."""
        share = (data["eigenvalue"] * data["learning_rate"] / 2).min()
        return {"error": data["error"].max(), "cells": len(data), "lowest": share}

    def caption(self, study: Study) -> str:
        return f"{self.title}, found by bisection, and ηλ(1 + ρλ) = 2 (USAM) and ηλ = 2 (gradient descent) as lines."

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        colours = theory.colours(self.laws)
        series = [
            theory.hover_curve(_name(law, rate), colours[law], points, "rho", "eigenvalue", "predicted")
            for (law, rate), points in data.groupby(["law", "learning_rate"], sort=False)
        ]
        return [panel(drawing, drawing.axes[0], "largest eigenvalue, ρ = ", series)]

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        drawing = style.figure(2.4, "Descents come back below the line, and not above it")
        axes = drawing.subplots()
        colours, markers = theory.colours(self.laws), style.markers(self.laws)
        rho = np.geomspace(data["rho"].min(), data["rho"].max(), 60)
        for (law, rate), points in data.groupby(["law", "learning_rate"], sort=False):
            look = {"color": colours[law], "marker": markers[law], **theory.MEASURED}
            axes.plot(rho, [border(law, radius, rate) for radius in rho], **theory.PREDICTED)
            axes.plot(points["rho"], points["eigenvalue"], label=_name(law, rate), **look)
            if law == self.laws[0]:
                end = points.iloc[-1]
                axes.annotate(f"η = {rate:g}", (end["rho"], end["predicted"]), (4, -2), textcoords="offset points",
                              fontsize=6.5)  # fmt: skip
        axes.set(xscale="log", yscale="log", xlabel="Radius ρ", ylabel="Eigenvalue λ")
        ticks = np.array([1, 2, 5, 10, 20, 50, 100, 200])
        style.frame(axes, data["eigenvalue"], ticks)
        axes.set_xlim(data["rho"].min() / 1.6, data["rho"].max() * 6)
        style.legend(drawing, theory.law_keys(markers), [theory.predicted_key()])
        return drawing


def _name(law: str, rate: float) -> str:
    return f"{theory.LAWS[law]}, η = {rate:g}"


KIND = StabilityBorders

"""The quadratic: the loss at which SAM ends, by radius and step size, on the lines of the closed form."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.style import Drawing
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class QuadraticFloors(theory.ShowsProblem, Figure):
    """A line and its points for each step size."""

    kind = "quadratic_floor"

    def check(self, study: Study) -> None:
        super().check(study)
        theory.require_laws(self.jobs(study), ("sam",))

    def data(self, study: Study) -> pd.DataFrame:
        """The columns learning_rate, rho, starts, loss (median over the starts), predicted, error (the largest)."""
        frame = self.frame(study)
        groups = frame[frame["law"] == "sam"].groupby(["learning_rate", "rho"], sort=False)
        return groups.agg(
            starts=("start", "count"), loss=("loss", "median"), predicted=("predicted", "first"), error=("error", "max")
        ).reset_index()

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The largest relative error of any start, and how many cells and starts there are."""
        return {"error": data["error"].max(), "cells": len(data), "starts": int(data["starts"].iloc[0])}

    def caption(self, study: Study) -> str:
        starts = counted(self.spec(study)["starts"], "start")
        return f"{self.title}: the median over {starts}, and η²ρ²λ³/(2(2 − ηλ)²) as a line."

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        return theory.hover_by_rate(drawing, data, "loss at the end, ρ = ")

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        drawing = style.figure(
            2.4, f"SAM ends on the predicted loss, here ½wᵀHw with λ₁ = {self.spec(study)['eigenvalues'][0]:g}"
        )
        axes = drawing.subplots()
        eigenvalue, rates = self.spec(study)["eigenvalues"][0], sorted(data["learning_rate"].unique())
        colours = theory.shades(rates)
        rho = np.geomspace(data["rho"].min() / 1.5, data["rho"].max() * 1.5, 50)
        for rate, marker in style.markers(rates).items():
            line = rate**2 * rho**2 * eigenvalue**3 / (2 * (2 - rate * eigenvalue) ** 2)
            axes.plot(rho, line, **theory.PREDICTED)
            points = data[data["learning_rate"] == rate]
            axes.plot(points["rho"], points["loss"], color=colours[rate], marker=marker, **theory.MEASURED)
            axes.annotate(f"η = {rate:g}", (rho[-1], line[-1]), (3, -2), textcoords="offset points", fontsize=6.5)
        axes.set(xscale="log", yscale="log", xlabel="Radius ρ", ylabel="Loss at the end", xlim=(rho[0], rho[-1] * 2.2))
        style.legend(drawing, theory.rate_keys(rates), [theory.predicted_key()])
        return drawing


KIND = QuadraticFloors

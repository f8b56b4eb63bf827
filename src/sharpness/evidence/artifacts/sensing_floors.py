"""Matrix sensing: the loss at which SAM ends against its radius, on the floor of the quadratic."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.style import Drawing
from sharpness.study import Study

APART = 0.25  # of the floor: so far from it the loss is not on it


@dataclass(frozen=True, kw_only=True)
class SensingFloors(theory.ShowsProblem, Figure):
    """A line and its points for each step size at which the solution is stable."""

    kind = "sensing_map"

    def check(self, study: Study) -> None:
        super().check(study)
        theory.require_laws(self.jobs(study), ("sam",))

    def data(self, study: Study) -> pd.DataFrame:
        """The columns learning_rate, rho, draws, loss, low and high (its median and quartiles), predicted (median) and
        error (the median over the draws for which theory's assumptions hold), of SAM where ηλ < 2 in every draw.
        """
        frame = self.frame(study)
        frame = frame[frame["law"] == "sam"]
        stable = frame.groupby("learning_rate")["at_solution"].transform("max") * frame["learning_rate"] < 2
        frame = frame[stable].assign(holds=frame["error"].where(frame["assumed"] == 1))
        return (
            frame.groupby(["learning_rate", "rho"], sort=False)
            .agg(
                draws=("draw", "count"),
                loss=("loss", "median"),
                low=("loss", lambda losses: losses.quantile(0.25, interpolation="nearest")),
                high=("loss", lambda losses: losses.quantile(0.75, interpolation="nearest")),
                predicted=("predicted", "median"),
                error=("holds", "median"),
            )
            .reset_index()
        )

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The largest median error of a cell within theory's assumptions, and the slopes of log loss in log ρ there;
        the smallest radius beyond them at which the loss is off the floor.
        """
        held = data.dropna(subset="error")
        slopes = [
            np.polyfit(np.log(cells["rho"]), np.log(cells["loss"]), 1)[0]
            for _, cells in held.groupby("learning_rate")
            if len(cells) > 1
        ]
        apart = data[(data["loss"] / data["predicted"] - 1).abs() > APART]
        apart = apart[apart["rho"] > study.jobs_of(self.problem, self.kind)[0].spec["small_rho"]]
        return {
            "error": held["error"].max(),
            "cells": len(held),
            "slopes": slopes,
            "apart": apart["rho"].min(),
        }

    def caption(self, study: Study) -> str:
        draws = counted(self.spec(study)["draws"], "draw")
        return (
            f"{self.title}, median and quartiles over {draws}, and the quadratic's floor "
            "at the largest Hessian eigenvalue of the solution as a line: nothing is fitted."
        )

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        return theory.hover_by_rate(drawing, data, "loss at the end, ρ = ")

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        drawing = style.figure(2.4, "SAM on matrix sensing: the loss at the end, and the quadratic's floor")
        axes = drawing.subplots()
        rates = sorted(data["learning_rate"].unique())
        colours = theory.shades(rates)
        for rate, marker in style.markers(rates).items():
            points = data[data["learning_rate"] == rate]
            axes.plot(points["rho"], points["predicted"], **theory.PREDICTED)
            axes.vlines(points["rho"], points["low"], points["high"], color=colours[rate], linewidth=0.8)
            axes.plot(points["rho"], points["loss"], color=colours[rate], marker=marker, **theory.MEASURED)
            end = points.iloc[-1]
            axes.annotate(
                f"η = {rate:g}", (end["rho"], end["predicted"]), (3, -2), textcoords="offset points", fontsize=6.5
            )
        axes.set(xscale="log", yscale="log", xlabel="Radius ρ", ylabel="Loss at the end")
        axes.set_xlim(data["rho"].min() / 1.5, data["rho"].max() * 4)
        style.legend(drawing, theory.rate_keys(rates), [theory.predicted_key()])
        return drawing


KIND = SensingFloors

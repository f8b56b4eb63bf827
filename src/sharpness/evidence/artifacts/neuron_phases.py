"""The single neuron: the sharpness at which each law ends over radii and step sizes, and the predicted line."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sharpness.evidence import theory
from sharpness.evidence.artifact import Figure
from sharpness.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

WITHIN = 0.02  # what counts as agreement


@dataclass(frozen=True, kw_only=True)
class NeuronPhases(theory.ShowsProblem, Figure):
    """Above, a map of ηy² for each law; below, ηy² against ρ/η for every cell, on the curve of the prediction.

    Attributes:
        laws: two of them, the first of which has the predicted curve.
    """

    laws: tuple[str, str]

    kind = "neuron_phase"

    def check(self, study: Study) -> None:
        super().check(study)
        theory.require_laws(study, self.jobs(study), self.laws)

    def data(self, study: Study) -> pd.DataFrame:
        """The columns loss, law, learning_rate, rho, ratio, starts, sharpness and predicted (medians), share (the median
        of η y²), assumed (starts for which theory's assumptions hold), error (the largest of these; all: of every start).
        """
        frame = self.frame(study)
        frame = frame[frame["law"].isin(self.laws)]
        frame = frame.assign(
            share=frame["learning_rate"] * frame["sharpness"],
            holds=frame["error"].where(frame["assumed"] == 1),
        )
        groups = frame.groupby(["loss", "law", "learning_rate", "rho", "ratio"], sort=False)
        return groups.agg(
            starts=("start", "count"),
            sharpness=("sharpness", "median"),
            predicted=("predicted", "median"),
            share=("share", "median"),
            assumed=("assumed", "sum"),
            error=("holds", "max"),
            all=("error", "max"),
        ).reset_index()

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """By law: the starts within theory's assumptions and the largest error of these; the cells beyond 2 %."""
        laws = {}
        for law, group in data.groupby("law", sort=False):
            failing = group[group["all"] > WITHIN]
            cells = failing.groupby("learning_rate")["ratio"].agg(lambda ratios: sorted(set(ratios)))
            laws[law] = {
                "assumed": int(group["assumed"].sum()),
                "starts": int(group["starts"].sum()),
                "error": group["error"].max(),
                "cells": len(group),
                "failing": len(failing),
                "where": [{"rate": rate, "ratios": ratios} for rate, ratios in cells.items()],
                "lowest": group["share"].min(),
                "highest": group["share"].max(),
            }
        return {"laws": laws}

    def caption(self, study: Study) -> str:
        spec = self.spec(study)
        return (
            f"{self.title}, medians over {spec['starts']} starts after {spec['steps']} steps. Above: ηy² over ρ and η "
            f"({spec['losses'][0]}). Below: ηy² against ρ/η, with λ* for USAM as the falling line, and the median start as "
            "the level one."
        )

    def draw(self, study: Study, data: pd.DataFrame) -> "Drawing":
        from matplotlib.figure import Figure as Drawing
        from matplotlib.lines import Line2D

        from sharpness.evidence import style

        drawing = Drawing(figsize=(style.COLUMN, 4.0), layout="constrained")
        grid = drawing.add_gridspec(2, 2, height_ratios=(1, 1.35))
        spec = self.spec(study)
        style.title(drawing, f"Single neuron, ηy² at the end; a start has {spec['gamma'][0]:g} to {spec['gamma'][1]:g}")
        rates, ratios = (sorted(data[name].unique()) for name in ("learning_rate", "ratio"))
        top = max(2.0, float(data["share"].replace(np.inf, np.nan).max()))
        for index, law in enumerate(self.laws):
            axes = drawing.add_subplot(grid[0, index])
            cells = data[(data["law"] == law) & (data["loss"] == spec["losses"][0])]
            values = cells.pivot(index="learning_rate", columns="ratio", values="share").loc[rates, ratios].to_numpy()
            image = axes.imshow(values, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=top)
            for row, column in np.ndindex(values.shape):
                value = values[row, column]
                tone = "white" if value < 0.55 * top else "black"
                text = f"{value:.2f}".lstrip("0") if value >= 0.005 else "0"
                axes.text(column, row, text, ha="center", va="center", fontsize=5.5, color=tone)
            axes.set(title=theory.LAWS[law], xlabel="ρ/η", ylabel="" if index else "Step size η")
            axes.set_xticks(range(len(ratios)), [f"{ratio:g}" for ratio in ratios])
            axes.set_yticks(range(len(rates)), [] if index else [f"{rate:g}" for rate in rates])
            axes.grid(visible=False)
            axes.tick_params(length=0)
        del image
        axes = drawing.add_subplot(grid[1, :])
        line = np.geomspace(min(ratios) / 1.6, max(ratios) * 1.6, 100)
        axes.plot(line, 4 / (1 + np.sqrt(1 + 8 * line)), **theory.PREDICTED)
        axes.axhline(sum(spec["gamma"]) / 2, **theory.PREDICTED | {"linestyle": (0, (4, 2))})
        colours = style.METHOD_COLOURS
        for index, law in enumerate(self.laws):
            for rate in rates:
                cells = data[(data["law"] == law) & (data["learning_rate"] == rate)]
                faded = {"alpha": 1.0 if rate <= spec["small_rate"] else 0.35}
                axes.plot(cells["ratio"], cells["share"], color=colours[law], marker=style.MARKERS[index],
                          **theory.MEASURED, **faded)  # fmt: skip
        axes.set(xscale="log", xlabel="Radius over step size, ρ/η", ylabel="ηy² at the end", ylim=(-0.05, 2.05))
        shown = [
            Line2D([], [], color=colours[law], marker=marker, **theory.MEASURED, label=f"{theory.LAWS[law]}, measured")
            for law, marker in zip(self.laws, style.MARKERS, strict=False)
        ]
        dashed = Line2D([], [], **theory.PREDICTED | {"linestyle": (0, (4, 2))}, label="median start")
        style.legend(drawing, shown, [*theory.keys(predicted="USAM's edge ηλ*")[:1], dashed])
        return drawing


KIND = NeuronPhases

"""The single neuron: the sharpness at which each law ends over radii and step sizes, and the predicted line."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.dynamics.neuron import drifted
from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.hover import Spots, scatter
from sharpness.evidence.style import Axes, Drawing
from sharpness.settings import require
from sharpness.study import Study

WITHIN = 0.02  # what counts as agreement
FADED = 0.35


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
        require(self.laws == ("usam", "sam"), "laws: its curves are those of USAM and SAM; write [usam, sam]")
        theory.require_laws(self.jobs(study), self.laws)

    def data(self, study: Study) -> pd.DataFrame:
        """The columns loss, law, learning_rate, rho, ratio, starts, sharpness and predicted (medians), share and start
        (medians of η y² at the end and of η (y² − x²) at the start), assumed (starts for which theory's assumptions
        hold), error (the largest of these; all: of every start).
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
            start=("gamma", "median"),
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
        starts, steps = counted(spec["starts"], "start"), counted(spec["steps"], "step")
        return (
            f"{self.title}, medians over {starts} after {steps}. Above: ηy² over ρ and η "
            f"({spec['losses'][0]}). Below: both losses, USAM against ρ/η on min(ηλ₀, ηλ*), SAM against ηρ² times "
            "the steps on the solution of its drift, from the median start λ₀."
        )

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        """Each cell of the maps, and each point below."""
        first = self.spec(study)["losses"][0]
        rates, ratios = (sorted(data[name].unique()) for name in ("learning_rate", "ratio"))
        data = data.assign(
            column=data["ratio"].map(ratios.index),
            row=data["learning_rate"].map(rates.index),
            time=_times(data, self.spec(study)),
        )
        panels = []
        for index, law in enumerate(self.laws):
            cells = data[data["law"] == law]
            places = [(cells[cells["loss"] == first], "column", "row"), (cells, ("ratio", "time")[index], "share")]
            panels += [
                scatter(drawing, axes, [_spots(shown, law, shown[[across, up]])])
                for axes, (shown, across, up) in zip(drawing.axes[index::2], places, strict=True)
            ]
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        drawing = style.figure(3.6, "ηy² at the end: USAM keeps what ρ/η allows, SAM drifts to 0")
        grid = drawing.add_gridspec(2, 2, height_ratios=(1, 1.35))
        spec = self.spec(study)
        rates, ratios = (sorted(data[name].unique()) for name in ("learning_rate", "ratio"))
        top = _top(data)
        for index, law in enumerate(self.laws):
            axes = drawing.add_subplot(grid[0, index])
            cells = data[(data["law"] == law) & (data["loss"] == spec["losses"][0])]
            values = cells.pivot(index="learning_rate", columns="ratio", values="share").loc[rates, ratios].to_numpy()
            axes.imshow(values, origin="lower", aspect="auto", cmap="viridis", vmin=0, vmax=top)
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
        self._draw_lines(drawing.add_subplot(grid[1, 0]), drawing.add_subplot(grid[1, 1]), data, spec)
        small = f"η ≤ {spec['small_rate']:g}"
        shown = [
            style.key(marker="o", **theory.MEASURED, label=f"measured, {small}"),
            style.key(marker="o", alpha=FADED, **theory.MEASURED, label="measured, larger η"),
        ]
        style.legend(drawing, shown, [theory.predicted_key()])
        return drawing

    def _draw_lines(self, left: Axes, right: Axes, data: pd.DataFrame, spec: dict) -> None:
        """ηy² of each law against what alone decides it by theory: ρ/η for USAM, ηρ² times the steps for SAM."""
        start = data["start"].iloc[0]
        data = data.assign(time=_times(data, spec))
        ratios, times = (
            np.geomspace(data[across].min() / 2, data[across].max() * 2, 100) for across in ("ratio", "time")
        )
        left.plot(ratios, np.minimum(start, 4 / (1 + np.sqrt(1 + 8 * ratios))), **theory.PREDICTED)
        right.plot(times, drifted(start, np.sqrt(times), 1.0, 1), **theory.PREDICTED)
        top = _top(data)
        for axes, law, across in ((left, self.laws[0], "ratio"), (right, self.laws[1], "time")):
            for rate, cells in data[data["law"] == law].groupby("learning_rate"):
                alpha = 1.0 if rate <= spec["small_rate"] else FADED
                look = {
                    "color": style.METHOD_COLOURS[law],
                    "marker": style.MARKERS[self.laws.index(law)],
                    "alpha": alpha,
                }
                axes.plot(cells[across], cells["share"], **look, **theory.MEASURED)
            axes.set(xscale="log", ylim=(-0.04 * top, 1.04 * top))
            axes.minorticks_off()
        shown = sorted(data["ratio"].unique())
        left.set_xticks(shown, [f"{ratio:g}" for ratio in shown])
        left.set(xlabel="ρ/η", ylabel="ηy² at the end")
        right.set(xlabel="ηρ² × steps")
        right.tick_params(labelleft=False)


def _top(cells: pd.DataFrame) -> float:
    """The largest ηy² of the start and of the ends that did not diverge."""
    return float(np.nanmax([cells["start"].max(), cells["share"].replace(np.inf, np.nan).max()]))


def _times(cells: pd.DataFrame, spec: dict) -> pd.Series:
    """What alone decides where SAM is by theory: ηρ² times the steps."""
    return cells["learning_rate"] * cells["rho"] ** 2 * spec["steps"]


def _spots(cells: pd.DataFrame, law: str, points: pd.DataFrame) -> Spots:
    stops = [
        f"{theory.LAWS[law]}, {loss}, ρ/η = {ratio:g}, η = {rate:g}"
        for loss, ratio, rate in zip(cells["loss"], cells["ratio"], cells["learning_rate"], strict=True)
    ]
    predicted = cells["predicted"] * cells["learning_rate"]
    text = [f"{share:.3g} (predicted {line:.3g})" for share, line in zip(cells["share"], predicted, strict=True)]
    return Spots("ηy²", theory.colours([law])[law], points.to_numpy(), stops, text)


KIND = NeuronPhases

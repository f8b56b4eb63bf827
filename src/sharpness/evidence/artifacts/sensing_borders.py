"""Matrix sensing over radii and step sizes: which share of the draws diverges, and the loss at which the others end."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sharpness.dynamics.laws import AT_INFINITY
from sharpness.dynamics.quadratic import edge
from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.hover import Spots, scatter
from sharpness.evidence.style import Artist, Axes, Drawing
from sharpness.settings import require
from sharpness.study import Study

DIVERGED = 0.5  # a cell has diverged if this share of its draws has
SOLVED = 1e-3  # and solved if its median loss is below this; the first is about the rank
AT_START = {"linestyle": (0, (4, 2))}
# A cell is shaded by log₁₀ of its loss, and darker than any loss where it diverges.
LIGHTEST, DARKEST = -8, 2
SHADES, DARK = ("#ffffff", "#8c8c8c"), "#404040"
CROSS = {"color": "white", "marker": "x", "markersize": 3.5, "linestyle": "none", "zorder": 4}


@dataclass(frozen=True, kw_only=True)
class SensingBorders(theory.ShowsProblem, Figure):
    """A map for each law: the shade is log₁₀ of the median loss, a cross is a cell that diverges; lines are borders.

    Attributes:
        laws: two of them.
    """

    laws: tuple[str, str]

    kind = "sensing_map"

    def check(self, study: Study) -> None:
        super().check(study)
        apart = self.laws[0] != self.laws[1] and "gd" not in self.laws
        require(apart, "laws: give two that differ, beside gd, which has no radius")
        theory.require_laws(self.jobs(study), (*self.laws, "gd"))

    def data(self, study: Study) -> pd.DataFrame:
        """The columns law, learning_rate, rho, draws, diverged (the share), loss (the median, inf: diverged), at_start
        and at_solution (median eigenvalues), for the laws shown and gradient descent.
        """
        frame = self.frame(study)
        frame = frame[frame["law"].isin([*self.laws, "gd"])]
        groups = frame.assign(diverged=np.isinf(frame["loss"])).groupby(["law", "learning_rate", "rho"], sort=False)
        return groups.agg(
            draws=("draw", "count"),
            diverged=("diverged", "mean"),
            loss=("loss", "median"),
            at_start=("at_start", "median"),
            at_solution=("at_solution", "median"),
        ).reset_index()

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """By law: the cells that solve the problem, diverge, do neither; how the borders at the solution sort them."""
        laws = {}
        for law, cells in data.groupby("law", sort=False):
            solved, diverged = cells["loss"] < SOLVED, cells["diverged"] > DIVERGED
            stable = cells["at_solution"] < edge(cells["rho"] * AT_INFINITY[law], cells["learning_rate"])
            from_start = cells["at_start"] < edge(cells["rho"] * AT_INFINITY[law], cells["learning_rate"])
            laws[law] = {
                "cells": len(cells),
                "solved": int(solved.sum()),
                "diverged": int(diverged.sum()),
                "solved_within": int((solved & stable).sum()),
                "within": int(stable.sum()),
                "diverged_within_start": int((diverged & from_start).sum()),
                "within_start": int(from_start.sum()),
                "beyond_start": int((~from_start).sum()),
                "diverged_beyond_start": int((diverged & ~from_start).sum()),
            }
        rates = data[data["law"] == "gd"].set_index("learning_rate")
        stable = rates.index[rates["loss"] < SOLVED]
        return {
            "laws": laws,
            "at_start": data["at_start"].median(),
            "at_solution": data["at_solution"].median(),
            "gd_stable": max(stable) if len(stable) else None,
            "draws": int(data["draws"].iloc[0]),
        }

    def caption(self, study: Study) -> str:
        spec = self.spec(study)
        draws, steps = counted(spec["draws"], "draw"), counted(spec["steps"], "step")
        return (
            f"{self.title}: log₁₀ of the median loss over {draws} after {steps}, × where more than half "
            "of them diverge. Lines: what the largest Hessian eigenvalue predicts as the border of stability, "
            "at the solution (solid) and at the start (dashed)."
        )

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        """Each cell: its loss, the draws that diverge, and the predicted border at its radius."""
        rates, radii = (sorted(data.loc[data["law"] != "gd", name].unique()) for name in ("learning_rate", "rho"))
        panels = []
        for axes, law in zip(drawing.axes[:2], self.laws, strict=True):
            cells = data[data["law"] == law]
            settings = cells[["rho", "learning_rate"]].to_numpy()
            places = [(radii.index(rho), rates.index(rate)) for rho, rate in settings]
            stops = [f"{theory.LAWS[law]}, ρ = {rho:g}, η = {rate:g}" for rho, rate in settings]
            borders = _border(cells, "at_solution", law, cells["rho"].to_numpy())
            text = [
                f"{cell.loss:.2g}, {cell.diverged:.0%} of {counted(cell.draws, 'draw')} diverge; "
                f"the border at the solution is η = {border:.3g}"
                for cell, border in zip(cells.itertuples(), borders, strict=True)
            ]
            spots = Spots("median loss", theory.colours([law])[law], np.array(places), stops, text)
            panels.append(scatter(drawing, axes, [spots]))
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        drawing = style.figure(2.5, "Matrix sensing: the loss at the end, × where it diverges")
        panels = drawing.subplots(1, 2, sharey=True)
        for axes, law in zip(panels, self.laws, strict=True):
            image = _draw_panel(axes, data[data["law"] == law], law)
        panels[0].set_ylabel("Step size η")
        drawing.colorbar(image, ax=panels, label="log₁₀ of the loss at the end", extend="both")
        lines = [
            style.key(**theory.PREDICTED, label="predicted at the solution"),
            style.key(**theory.PREDICTED | AT_START, label="predicted at the start"),
        ]
        style.legend(drawing, lines[:1], lines[1:])
        return drawing


def _draw_panel(axes: Axes, cells: pd.DataFrame, law: str) -> Artist:
    from matplotlib.colors import LinearSegmentedColormap

    rates, radii = (sorted(cells[name].unique()) for name in ("learning_rate", "rho"))
    cells = cells.assign(log=np.log10(cells["loss"].where(cells["diverged"] <= DIVERGED)))
    values = cells.pivot(index="learning_rate", columns="rho", values="log").loc[rates, radii].to_numpy()
    shades = LinearSegmentedColormap.from_list("loss", SHADES)
    image = axes.imshow(values, origin="lower", aspect="auto", cmap=shades, vmin=LIGHTEST, vmax=DARKEST)
    axes.set_facecolor(DARK)
    rows, columns = np.nonzero(np.isnan(values))
    axes.plot(columns, rows, **CROSS)
    fine = np.geomspace(radii[0] / 10, radii[-1] * 10, 200)
    across = _places(np.log(fine), np.log(radii))
    for name, look in (("at_solution", {}), ("at_start", AT_START)):
        up = _places(_border(cells, name, law, fine), rates)
        theory.draw_border(axes, across, up, **look)
    axes.set(title=theory.LAWS[law], xlabel="Radius ρ", ylim=(-0.5, len(rates) - 0.5), xlim=(-0.5, len(radii) - 0.5))
    every = 1 + len(radii) // 5
    axes.set_xticks(range(0, len(radii), every), [f"{rho:g}" for rho in radii[::every]])
    axes.set_yticks(range(len(rates)), [f"{rate:g}" for rate in rates])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    return image


def _places(values: np.ndarray, grid: ArrayLike) -> np.ndarray:
    """Positions on a map's axis, which counts the cells of a grid: linear between two cells, and one cell beyond."""
    wider = np.pad(grid, 1, mode="reflect", reflect_type="odd")
    return np.interp(values, wider, np.arange(len(wider)) - 1)


def _border(cells: pd.DataFrame, place: str, law: str, rho: np.ndarray) -> np.ndarray:
    """The largest stable step size at each radius, by the median of the largest eigenvalues at a place."""
    eigenvalue = cells[place].median()
    return 2 / (eigenvalue * (1 + rho * AT_INFINITY[law] * eigenvalue))


KIND = SensingBorders

"""Paths of gradient descent, SAM and USAM in two planes, and their predicted ends; the page computes them live."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.dynamics import neuron, quadratic
from sharpness.dynamics.quadratic import edge
from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.hover import Spots, scatter
from sharpness.evidence.style import Drawing
from sharpness.jobs import Job
from sharpness.settings import require, require_above_zero
from sharpness.study import Study

METHODS = ("gd", "usam", "sam")
# Of a path the first points are drawn, and then one in an odd number of them, which shows both sides of a cycle.
FIRST, EVERY = 50, 9
LAST = 3  # points of a path, among them both sides of a cycle
STYLES = {"gd": (0, (1, 1.2)), "usam": (0, (4, 1.5)), "sam": "-"}


@dataclass(frozen=True)
class Plane:
    """The descents in one plane: their step size, their radii, where they start and how long they are."""

    learning_rate: float
    rho: tuple[float, float, float]
    start: tuple[float, float]
    steps: int

    def __post_init__(self) -> None:
        require_above_zero(self, "learning_rate", "steps")
        require(self.steps <= 10**5, f"steps is {self.steps}; a path has 100000 at most")
        require(0 < self.rho[0] < self.rho[1] < self.rho[2] <= 1e6, "rho: give three radii above 0 that rise")
        require(all(0 < abs(value) <= 1e6 for value in self.start), "start: give two coordinates up to 1e6, neither 0")


@dataclass(frozen=True, kw_only=True)
class TheoryPaths(Figure):
    """A row for each problem, a column for each radius.

    Attributes:
        cycle, phases: the problems whose measured ends the page shows beside a path.
        eigenvalues: of the quadratic in the plane, the larger first.
        loss: the neuron's, of sharpness.dynamics.neuron.
        quadratic, neuron: the descents.
    """

    cycle: str
    phases: str
    eigenvalues: tuple[float, float]
    loss: str
    quadratic: Plane
    neuron: Plane

    def check(self, study: Study) -> None:
        for name, kind in (("cycle", "quadratic_floor"), ("phases", "neuron_phase")):
            theory.require_laws(study.jobs_of(getattr(self, name), kind), METHODS)
        known = study.jobs_of(self.phases, "neuron_phase")[0].spec["losses"]
        require(self.loss in known, f"loss is '{self.loss}'; choose from: {', '.join(known)}")
        first, second = self.eigenvalues
        require(first > second > 0, f"eigenvalues is {first:g} and {second:g}; give two above 0, the larger first")
        edge_of_descent = f"quadratic.learning_rate is {self.quadratic.learning_rate:g}; stay below {2 / first:g}"
        require(self.quadratic.learning_rate < 2 / first, edge_of_descent)
        x, y = self.neuron.start
        require(0 < x < y, f"neuron.start is {x:g} and {y:g}; give x and y with 0 < x < y")

    def jobs(self, study: Study) -> list[Job]:
        return [*study.jobs_of(self.cycle, "quadratic_floor"), *study.jobs_of(self.phases, "neuron_phase")]

    def data(self, study: Study) -> pd.DataFrame:
        """The columns problem, law, learning_rate, rho, step, x, y (the quadratic's w₁, w₂), for the steps drawn."""
        frames = []
        for problem, plane in self._planes():
            for rho in plane.rho:
                for law in METHODS:
                    path = self._path(problem, plane, law, rho)
                    columns = {"problem": problem, "law": law, "learning_rate": plane.learning_rate, "rho": rho}
                    frame = pd.DataFrame({**columns, "step": range(len(path)), "x": path[:, 0], "y": path[:, 1]})
                    steps = frame["step"]
                    frames.append(frame[(steps < FIRST) | (steps % EVERY == 0) | (steps == plane.steps)])
        return pd.concat(frames, ignore_index=True)

    def _planes(self) -> tuple[tuple[str, Plane], ...]:
        return ("quadratic", self.quadratic), ("neuron", self.neuron)

    def _path(self, problem: str, plane: Plane, law: str, rho: float) -> np.ndarray:
        points = [np.array([plane.start])]
        for _ in range(plane.steps):
            if problem == "quadratic":
                values = np.array(self.eigenvalues)
                points.append(quadratic.descend(values, points[-1], law, rho, plane.learning_rate, 1))
            else:
                points.append(neuron.descend(self.loss, law, points[-1], rho, plane.learning_rate, 1))
        return np.concatenate(points)

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """What the page needs for its live plates: the settings of each plane, and the ends that were measured."""
        cycle = theory.read(study.jobs_of(self.cycle, "quadratic_floor"))
        phases = theory.read(study.jobs_of(self.phases, "neuron_phase"))
        phases = phases[phases["loss"] == self.loss].assign(
            share=lambda rows: rows["sharpness"] * rows["learning_rate"]
        )
        by = ["law", "learning_rate", "rho"]
        cells = {
            "quadratic": cycle[cycle["law"].isin(METHODS)].groupby(by)["loss"].median(),
            "neuron": phases[phases["law"].isin(METHODS)].groupby(by)["share"].median(),
        }
        plates = {}
        for problem, plane in self._planes():
            rates = sorted(cells[problem].index.unique("learning_rate"))
            plates[problem] = {
                "rate": plane.learning_rate,
                "rates": [min(rates), max(rates)],
                "rho": plane.rho[1],
                "radii": [0.0, plane.rho[-1]],  # as in the figure, whose view all ends are within
                "start": plane.start,
                "steps": plane.steps,
                "cells": [[*key, value] for key, value in cells[problem].items()],
            }
        plates["quadratic"]["eigenvalues"] = self.eigenvalues
        plates["neuron"]["loss"] = self.loss
        return {"plate": plates}

    def caption(self, study: Study) -> str:
        first, second = self.quadratic, self.neuron
        return (
            f"{self.title}. Above: ½wᵀHw with eigenvalues {self.eigenvalues[0]:g} and {self.eigenvalues[1]:g}, η = "
            f"{first.learning_rate:g}, {counted(first.steps, 'step')}. Below: L(x, y) = ℓ(xy), η = "
            f"{second.learning_rate:g}, {counted(second.steps, 'step')}. Points: where each ends. × and +: where "
            "theory says that SAM and USAM end."
        )

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        """Where each path is at its first steps and at the last one, and its predicted end."""
        colours = theory.colours(METHODS)
        places = [(problem, plane, rho) for problem, plane in self._planes() for rho in plane.rho]
        data = data[(data["step"] < FIRST) | (data["step"] == data.groupby("problem")["step"].transform("max"))]
        panels = []
        for axes, (problem, plane, rho) in zip(drawing.axes, places, strict=True):
            ends = self._ends(problem, plane, rho)
            groups = []
            for law in METHODS:
                path = data[(data["problem"] == problem) & (data["rho"] == rho) & (data["law"] == law)]
                predicted = ends.get(law, [])
                points = np.concatenate([path[["x", "y"]], np.reshape(predicted, (-1, 2))])
                stops = [f"ρ = {rho:g}, step {step}" for step in path["step"]]
                stops += [f"ρ = {rho:g}, predicted end"] * len(predicted)
                text = [f"({x:.4g}, {y:.4g})".replace("-", "−") for x, y in points]
                groups.append(Spots(theory.LAWS[law], colours[law], points, stops, text))
            panels.append(scatter(drawing, axes, groups))
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        drawing = style.figure(3.3, "Paths of three methods, their ends (points) and the predicted ends")
        panels = drawing.subplots(2, 3, sharex="row", sharey="row")
        colours = theory.colours(METHODS)
        marks = {"sam": "x", "usam": "+"}
        markers = style.markers(METHODS)
        points = {law: theory.MEASURED | {"marker": markers[law], "zorder": 4} for law in METHODS}
        cross = {"color": "black", "markersize": 8, "markeredgewidth": 0.8, "linestyle": "none", "zorder": 3}
        for row, (problem, plane) in zip(panels, self._planes(), strict=True):
            reach = 1.25 * np.abs(plane.start)
            for axes, rho in zip(row, plane.rho, strict=True):
                for law in reversed(METHODS):  # SAM's path is the longest, and would hide the others
                    path = data[(data["problem"] == problem) & (data["rho"] == rho) & (data["law"] == law)]
                    inside = path[(path["x"].abs() < 3 * reach[0]) & (path["y"].abs() < 3 * reach[1])]
                    axes.plot(inside["x"], inside["y"], color=colours[law], linestyle=STYLES[law], linewidth=0.7)
                    axes.plot(path["x"].tail(LAST), path["y"].tail(LAST), color=colours[law], **points[law])
                for law, ends in self._ends(problem, plane, rho).items():
                    axes.plot(*zip(*ends, strict=True), marker=marks[law], **cross)
                axes.set(xlim=(-1.15 * reach[0], 1.15 * reach[0]), title=f"ρ = {rho:g}")
                axes.set_ylim(-0.15 * reach[1], 0.92 * reach[1])
            row[0].set(ylabel="w₂" if problem == "quadratic" else "y")
            row[1].set_xlabel("w₁, on the quadratic" if problem == "quadratic" else "x, on the single neuron")
        shown = [
            style.key(color=colours[law], label=theory.LAWS[law], **points[law] | {"linestyle": STYLES[law]})
            for law in METHODS
        ]
        predicted = [
            style.key(marker=mark, **cross, label=f"predicted end of {theory.LAWS[law]}") for law, mark in marks.items()
        ]
        style.legend(drawing, shown, predicted)
        return drawing

    def _ends(self, problem: str, plane: Plane, rho: float) -> dict[str, list[tuple[float, float]]]:
        """The points at which SAM and USAM should be at the end; without USAM where it diverges."""
        rate, (x, y) = plane.learning_rate, plane.start
        if problem == "quadratic":
            amplitude = (2 * quadratic.floor(self.eigenvalues[0], "sam", rho, rate) / self.eigenvalues[0]) ** 0.5
            rest = {"usam": [(0.0, 0.0)]} if self.eigenvalues[0] < edge(rho, rate) else {}
            return {"sam": [(amplitude, 0.0), (-amplitude, 0.0)], **rest}
        drift = float(neuron.drifted(np.array(y**2 - x**2), rho, rate, plane.steps))
        return {"sam": [(0.0, drift**0.5)], "usam": [(0.0, float(neuron.settled(y**2 - x**2, rho, rate)) ** 0.5)]}


KIND = TheoryPaths

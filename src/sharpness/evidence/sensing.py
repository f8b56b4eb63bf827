"""What the tables, figures and quantities of a matrix sensing sweep share."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import titles
from sharpness.evidence.quantity import Quantity, Results
from sharpness.evidence.runs import loss_or_inf
from sharpness.evidence.theory import ShowsProblem
from sharpness.settings import require, require_known
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class ShowsSweep(ShowsProblem):
    """A table or figure of a matrix sensing sweep.

    Attributes:
        rho: the radii that it shows.
        steps: how many of the first steps it shows.
    """

    rho: tuple[float, ...]
    steps: int

    kind = "matrix_sensing"

    def check(self, study: Study) -> None:
        spec = study.problem(self.problem, self.kind).spec
        swept = f"problems.{self.problem}.methods"
        require("gd" not in spec["methods"], f"shows radii, and gd of {swept} has none; remove it there")
        for rho in self.rho:
            require(rho in spec["rho"], f"radius {rho!r} is not swept; add it to problems.{self.problem}.rho")
        require(
            1 <= self.steps <= spec["steps"],
            f"steps is {self.steps}, but problems.{self.problem}.steps is {spec['steps']}; show 1 to {spec['steps']}",
        )

    def spread(self, study: Study) -> pd.DataFrame:
        """The spread of the loss over the draws.

        Returns:
            The columns method, rho, step, draws, diverged (draws whose loss is inf), loss_median, loss_min, loss_max.
        """
        losses = self.frame(study)
        losses["loss"] = loss_or_inf(losses["loss"].astype(float))
        shown = losses["rho"].isin(self.rho) & (losses["step"] <= self.steps)
        groups = losses[shown].assign(diverged=np.isinf(losses["loss"])).groupby(["method", "rho", "step"], sort=False)
        return groups.agg(
            draws=("draw", "count"),
            diverged=("diverged", "sum"),
            loss_median=("loss", "median"),
            loss_min=("loss", "min"),
            loss_max=("loss", "max"),
        ).reset_index()

    def setting(self, study: Study) -> str:
        """What every trajectory has in common, in plain text and the report's letters."""
        spec = self.spec(study)
        return (
            f"d = {spec['dimension']}, r = {spec['rank']}, m = {spec['measurements']}, "
            f"η = {spec['learning_rate']:g}, {study.settings['title']}"
        )


@dataclass(frozen=True, kw_only=True)
class OfSweep(Quantity):
    """A quantity of a matrix sensing sweep.

    Attributes:
        problem: which one of config/study.yaml.
        method: of the trajectories.
        rho: their radii.
        step: up to which they are looked at.
    """

    problem: str
    method: str
    rho: tuple[float, ...]
    step: int

    def check(self, study: Study) -> None:
        spec = study.problem(self.problem, "matrix_sensing").spec
        radii = spec["rho"] if self.method != "gd" else [0.0]
        swept = [f"{method} with rho {rho!r}" for method in spec["methods"] for rho in radii]
        for name in (f"{self.method} with rho {rho!r}" for rho in self.rho):
            require_known("matrix sensing run", name, swept)
        require(
            1 <= self.step <= spec["steps"],
            f"step {self.step} of matrix sensing, which takes {spec['steps']}; choose one of them",
        )

    def trajectories(self) -> str:
        """Which ones, in plain words."""
        radii = ", ".join(f"{rho:g}" for rho in self.rho)
        largest = " (largest of them)" if len(self.rho) > 1 else ""
        return f"matrix sensing, {titles.STEPS[self.method]}, ρ = {radii}{largest}"

    def losses(self, results: Results) -> pd.DataFrame:
        """Their losses, inf where they have diverged: the columns method, rho, draw, step, loss."""
        losses = results.problem(self.problem)
        losses = losses.assign(loss=loss_or_inf(losses["loss"].astype(float)))
        return losses[(losses["method"] == self.method) & losses["rho"].isin(self.rho)]

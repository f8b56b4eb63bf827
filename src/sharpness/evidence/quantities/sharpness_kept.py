"""How much of its sharpness the single neuron's minimum keeps."""

import math
from dataclasses import dataclass

import numpy as np

from sharpness.evidence import titles
from sharpness.evidence.quantity import Quantity, Results
from sharpness.evidence.verdicts import Sample
from sharpness.problems.single_neuron import METHODS
from sharpness.settings import require_known
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class SharpnessKept(Quantity):
    """The sharpness y² of the minimum at the end over that of the start, by start; a start that diverges has none."""

    problem: str
    method: str

    between = (0.0, math.inf)

    def check(self, study: Study) -> None:
        study.problem(self.problem, "single_neuron")
        require_known("single-neuron method", self.method, METHODS)

    def describe(self, study: Study) -> str:
        return f"y² at the end over y² at the start, single neuron, {titles.STEPS[self.method]}"

    def measure(self, results: Results) -> Sample:
        ends = results.problem(self.problem)
        ends = ends[ends["method"] == self.method].sort_values("start")
        kept = (ends["y"] / ends["y0"]) ** 2
        return Sample(kept.where(np.isfinite(kept)).to_numpy(), "starts")


QUANTITY = SharpnessKept

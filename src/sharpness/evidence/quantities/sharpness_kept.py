"""How much of its sharpness the single neuron's minimum keeps."""

from dataclasses import dataclass

from sharpness.errors import SettingError, not_known
from sharpness.evidence import titles
from sharpness.evidence.quantity import Quantity, Results
from sharpness.evidence.verdicts import Sample
from sharpness.problems.single_neuron import METHODS
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class SharpnessKept(Quantity):
    """The sharpness y² of the minimum at the end over that of the start, by start."""

    problem: str
    method: str

    def check(self, study: Study) -> None:
        study.problem(self.problem, "single_neuron")
        if self.method not in METHODS:
            raise SettingError(not_known("single-neuron method", self.method, METHODS))

    def describe(self, study: Study) -> str:
        return f"y² at the end over y² at the start, single neuron, {titles.STEPS[self.method]}"

    def measure(self, results: Results) -> Sample:
        ends = results.problem(self.problem)
        ends = ends[ends["method"] == self.method].sort_values("start")
        return Sample(((ends["y"] / ends["y0"]) ** 2).to_numpy(), "starts")


QUANTITY = SharpnessKept

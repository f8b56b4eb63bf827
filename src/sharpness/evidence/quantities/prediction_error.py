"""How far what a toy problem measured is from what theory predicts, where theory's assumptions hold."""

import math
from dataclasses import dataclass

from sharpness import registry
from sharpness.evidence.quantity import Results
from sharpness.evidence.theory import OfProblem
from sharpness.evidence.verdicts import Sample
from sharpness.settings import require, require_known
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class PredictionError(OfProblem):
    """The problem's own error, by cell and draw or start.

    Attributes:
        column: where the problem's data have it.
    """

    column: str = "error"

    between = (0.0, math.inf)

    def check(self, study: Study) -> None:
        super().check(study)
        kind = study.problems[study.parts[self.problem][0]].kind
        module = registry.load("problems", kind, self.problem)
        columns, laws = getattr(module, "JUDGED", ()), getattr(module, "PREDICTED", (self.law,))
        require_known(f"column of {self.problem}", self.column, columns)
        predicted = self.column != "error" or self.law in laws
        require(predicted, f"theory has no prediction for {self.law}; choose from: {', '.join(laws)}")

    def measure(self, results: Results) -> Sample:
        rows = self.rows(results)
        if "assumed" in rows and self.column == "error":
            rows = rows[rows["assumed"] == 1]
        return Sample(rows[self.column].to_numpy(dtype=float), "cells and starts")


QUANTITY = PredictionError

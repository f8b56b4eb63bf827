"""How far what a toy problem measured is from what theory predicts, where theory's assumptions hold."""

from dataclasses import dataclass

from sharpness.evidence.quantity import Results
from sharpness.evidence.theory import OfProblem
from sharpness.evidence.verdicts import Sample


@dataclass(frozen=True, kw_only=True)
class PredictionError(OfProblem):
    """The problem's own error, by cell and draw or start.

    Attributes:
        column: where the problem's data have it.
    """

    column: str = "error"

    def measure(self, results: Results) -> Sample:
        rows = self.rows(results)
        if "assumed" in rows and self.column == "error":
            rows = rows[rows["assumed"] == 1]
        return Sample(rows[self.column].to_numpy(dtype=float), "cells and starts")


QUANTITY = PredictionError

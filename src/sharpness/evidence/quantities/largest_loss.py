"""How large the loss of matrix sensing gets."""

import math
from dataclasses import dataclass

from sharpness.evidence.quantity import Results
from sharpness.evidence.sensing import OfSweep
from sharpness.evidence.verdicts import Sample
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class LargestLoss(OfSweep):
    """The largest loss up to a step, of several radii, by draw."""

    between = (0.0, math.inf)

    def describe(self, study: Study) -> str:
        return f"largest loss up to step {self.step}, {self.trajectories()}"

    def measure(self, results: Results) -> Sample:
        losses = self.losses(results)
        return Sample(losses[losses["step"] <= self.step].groupby("draw")["loss"].max().to_numpy(), "draws")


QUANTITY = LargestLoss

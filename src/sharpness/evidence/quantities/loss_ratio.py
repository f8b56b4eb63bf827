"""How much of its first loss matrix sensing has left."""

import math
from dataclasses import dataclass

from sharpness.evidence.quantity import Results
from sharpness.evidence.sensing import OfSweep
from sharpness.evidence.verdicts import Sample
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class LossRatio(OfSweep):
    """The loss before a step over the loss before the first, the largest of several radii, by draw."""

    between = (0.0, math.inf)

    def describe(self, study: Study) -> str:
        return f"loss before step {self.step} over that before step 1, {self.trajectories()}"

    def measure(self, results: Results) -> Sample:
        losses = self.losses(results)
        first, last = (
            losses[losses["step"] == step].pivot(index="draw", columns="rho", values="loss") for step in (1, self.step)
        )
        return Sample((last / first).max(axis=1, skipna=False).to_numpy(), "draws")


QUANTITY = LossRatio

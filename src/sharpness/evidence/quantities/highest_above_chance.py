"""How far above chance the test accuracy ever gets."""

from dataclasses import dataclass

import numpy as np

from sharpness.evidence import titles
from sharpness.evidence.quantity import Quantity, Results, Run
from sharpness.evidence.verdicts import Sample
from sharpness.jobs import DIVERGED
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class HighestAboveChance(Quantity):
    """The highest test accuracy of any epoch, less that of chance, one over the number of classes."""

    network: str
    run: Run

    between = (-1.0, 1.0)

    def check(self, study: Study) -> None:
        self.run.of(study, self.network)

    def describe(self, study: Study) -> str:
        network = titles.network(self.network)
        return f"highest test accuracy of any epoch above that of chance, {self.run.title(study)}, on {network}"

    def measure(self, results: Results) -> Sample:
        histories = results.histories(self.run.of(results.study, self.network)).values()
        diverged = sum(history["status"].iloc[-1] == DIVERGED for history in histories)
        notes = (f"runs that diverged: {diverged}",) if diverged else ()
        highest = np.array([history["test_accuracy"].max() for history in histories])
        # Histories have nine digits: an accuracy of 0.13 is 0.03 above one of 0.1, and no rounding of binary more.
        return Sample(np.round(highest - results.chance, 9), "runs", notes)


QUANTITY = HighestAboveChance

"""How far the test loss falls where the learning rate does."""

from dataclasses import dataclass

import numpy as np

from sharpness.evidence import titles
from sharpness.evidence.formatting import counted
from sharpness.evidence.quantity import Quantity, Results, Run, Unmeasured
from sharpness.evidence.runs import finite
from sharpness.evidence.verdicts import Sample
from sharpness.settings import require, require_known
from sharpness.study import Study
from sharpness.training.schedule import drops

# Fewer changes between epochs than this do not show a usual one.
FEWEST_CHANGES = 3


@dataclass(frozen=True, kw_only=True)
class LossDrop(Quantity):
    """The fall of ln(test loss) over the first epoch at a new learning rate, beyond its usual change.

    The usual change is the median absolute change between successive epochs over the window, a fraction of the epochs,
    that ends with the last epoch at the old rate. A run that has diverged by then is left out.
    """

    network: str
    run: Run
    milestone: float
    window: float

    def __post_init__(self) -> None:
        require(0 < self.window < 1, f"window is {self.window:g}; it is a share of the epochs, between 0 and 1")

    def check(self, study: Study) -> None:
        self.run.of(study, self.network)
        milestones = study.training["milestones"]
        require_known("milestone", str(self.milestone), map(str, milestones))

    def describe(self, study: Study) -> str:
        return (
            f"fall of ln(test loss) at {100 * self.milestone:g} % of the epochs beyond its usual change, "
            f"{self.run.title(study)}, on {titles.network(self.network)}"
        )

    def in_words(self, study: Study, effect: float) -> str:
        side = "more" if effect >= 0 else "less"
        return (
            f"at {100 * self.milestone:g} % of the epochs ln(test loss) of {self.run.in_words(study)} falls by "
            f"{abs(effect):.3f} {side} than it usually changes in an epoch"
        )

    def measure(self, results: Results) -> Sample:
        epochs = results.study.settings["epochs"]
        first = next(epoch for epoch in range(2, epochs + 2) if drops(epoch - 1, epochs, [self.milestone]))
        changes = round(self.window * epochs)
        if changes < FEWEST_CHANGES or first - 1 - changes < 1 or first > epochs:
            schedule = f"a schedule of {counted(epochs, 'epoch')}"
            raise Unmeasured(f"{schedule} is too short to tell a drop from a usual change")
        values, left_out = [], 0
        for history in results.histories(self.run.of(results.study, self.network)).values():
            losses = finite(history)["test_loss"].to_numpy()
            if len(losses) < first:
                left_out += 1
                continue
            falls = -np.diff(np.log(losses[first - 2 - changes : first]))
            values.append(falls[-1] - np.median(np.abs(falls[:-1])))
        notes = (f"runs left out because they diverged before: {left_out}",) if left_out else ()
        return Sample(np.array(values), "runs", notes)


QUANTITY = LossDrop

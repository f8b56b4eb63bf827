"""The final test accuracy of one method less that of another, by seed."""

from dataclasses import dataclass

import numpy as np

from sharpness.evidence import titles
from sharpness.evidence.formatting import MARKDOWN
from sharpness.evidence.quantity import Quantity, Results, Run
from sharpness.evidence.verdicts import Sample
from sharpness.jobs import DIVERGED
from sharpness.settings import require
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class AccuracyDifference(Quantity):
    """The values are those of pairs of runs with one seed; a pair of which both diverged is left out."""

    network: str
    first: Run
    second: Run

    between = (-1.0, 1.0)

    def check(self, study: Study) -> None:
        require(self.first != self.second, "first and second are the same run; compare two")
        for run in (self.first, self.second):
            run.of(study, self.network)

    def describe(self, study: Study) -> str:
        first, second = self.first.title(study), self.second.title(study)
        return f"final test accuracy of {first}, minus that of {second}, on {titles.network(self.network)}"

    def in_words(self, study: Study, effect: float) -> str:
        first, second = self.first.in_words(study), self.second.in_words(study)
        points = f"{abs(100 * effect):.2f}"
        by = "as accurate as" if points == "0.00" else f"{points} points {'above' if effect > 0 else 'below'}"
        return f"{first} ends {by} {second} on {titles.network(self.network)}"

    def written(self, value: float) -> str:
        return f"{MARKDOWN.signed(100 * value, 2)}"

    def measure(self, results: Results) -> Sample:
        first, second = (results.histories(run.of(results.study, self.network)) for run in (self.first, self.second))
        differences, lost, left_out = [], 0, 0
        for seed in sorted(first.keys() & second.keys()):
            last = [histories[seed].iloc[-1] for histories in (first, second)]
            diverged = sum(row["status"] == DIVERGED for row in last)
            if diverged == 2:
                left_out += 1
                continue
            lost += diverged
            differences.append(last[0]["test_accuracy"] - last[1]["test_accuracy"])
        notes = []
        if lost:
            notes.append(f"runs that diverged and count with accuracy {results.chance:g}: {lost}")
        if left_out:
            notes.append(f"pairs left out because both runs diverged: {left_out}")
        return Sample(np.array(differences), "pairs of runs", tuple(notes))


QUANTITY = AccuracyDifference

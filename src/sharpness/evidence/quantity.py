"""What a part of a claim can measure.

A quantity is a module of sharpness.evidence.quantities whose QUANTITY is a class derived from Quantity. Its fields are
the keys beside statement, quantity and test of a part in config/claims.yaml.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import pandas as pd

from sharpness.evidence import titles
from sharpness.evidence.formatting import MARKDOWN
from sharpness.evidence.runs import read_histories, read_problem
from sharpness.evidence.verdicts import Sample
from sharpness.jobs import DIVERGED, Job
from sharpness.settings import require, require_known
from sharpness.study import Study


class Unmeasured(Exception):
    """Why a quantity has no values, such as a run that is missing."""


class Results:
    """What the jobs of a study have left so far; what several quantities ask for is read once."""

    def __init__(self, study: Study):
        self.study = study

    @cached_property
    def _histories(self) -> dict[str, pd.DataFrame]:
        """The history of every run that there is, by id."""
        present = [job for job in self.study.runs.values() if job.is_finished()]
        if not present:
            return {}
        histories = read_histories(present).sort_values(["run_id", "epoch"], ignore_index=True)
        return dict(iter(histories.groupby("run_id")))

    @cached_property
    def _problems(self) -> dict[str, pd.DataFrame]:
        return {name: read_problem(job) for name, job in self.study.problems.items() if job.is_finished()}

    @cached_property
    def chance(self) -> float:
        """The accuracy of a network that gives every image the same label: one over the number of classes.

        A diverged run counts with it.
        """
        job = next(job for job in self.study.runs.values() if job.id in self._histories)
        return 1 / job.read()["classes"]

    def histories(self, runs: list[Job], columns: Sequence[str] = ()) -> dict[int, pd.DataFrame]:
        """The histories of some training runs with the column status, by seed in ascending order.

        The last epoch of a diverged run has the test accuracy of chance.

        Args:
            runs: runs that differ by their seeds.
            columns: what is asked for beside METRICS, as for read_histories.

        Raises:
            Unmeasured: a run is missing.
            UserError: a history lacks a column.
        """
        missing = [job.id for job in runs if job.id not in self._histories]
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise Unmeasured(f"run {missing[0]} is missing{others}")
        histories = dict(iter(read_histories(runs, columns).groupby("run_id"))) if columns else self._histories
        found = {job.spec["seed"]: histories[job.id].copy() for job in sorted(runs, key=_seed)}
        for history in found.values():
            if history["status"].iloc[-1] == DIVERGED:
                history.loc[history.index[-1], "test_accuracy"] = self.chance
        return found

    def problem(self, name: str) -> pd.DataFrame:
        """What a toy problem has computed.

        Raises:
            Unmeasured: it is missing.
        """
        parts = self.study.parts[name]
        for part in parts:
            if part not in self._problems:
                raise Unmeasured(f"{self.study.problems[part].id} is missing")
        return pd.concat([self._problems[part] for part in parts], ignore_index=True)


@dataclass(frozen=True, kw_only=True)
class Quantity(ABC):
    """Something that is measured once for each pair of runs, run, draw or start.

    Attributes:
        between: the values that it can have, the ends included.
    """

    between: ClassVar[tuple[float, float]] = (-math.inf, math.inf)

    def check_test(self, test: dict) -> None:
        """Refuse a test whose effect or bound every value meets, or none.

        Raises:
            SettingError: with the key.
        """
        low, high = self.between
        for key in ("smallest_effect", "margin", "at_most", "at_least"):
            if key in test:
                between = f"but the values lie between {low:g} and {high:g}; choose one between"
                require(low < test[key] < high, f"{key} is {test[key]:g}, {between}")

    @abstractmethod
    def check(self, study: Study) -> None:
        """Check that what it names is there to be measured.

        Raises:
            SettingError: it is not.
        """

    @abstractmethod
    def describe(self, study: Study) -> str:
        """What is measured, in plain words."""

    def in_words(self, study: Study, effect: float) -> str:
        """The mean of its values as a sentence would say it; nothing if its part's own statement must do."""
        return ""

    def written(self, value: float) -> str:
        """A value as a person writes it, with its unit."""
        return MARKDOWN.measured(value)

    @abstractmethod
    def measure(self, results: Results) -> Sample:
        """Its values.

        Raises:
            Unmeasured: there are none.
            UserError: a job's file is not the one that it wrote.
        """


@dataclass(frozen=True)
class Run:
    """A training run of a claim, but for its network and seed: a method, and its radius if it has one."""

    method: str
    rho: float | None = None

    def of(self, study: Study, network: str) -> list[Job]:
        """The study's runs of this kind on a network, one for each seed.

        Raises:
            SettingError: there are none.
        """
        names = {job.id: _name(job.spec["network"], job.spec) for job in study.runs.values()}
        own = _name(network, vars(self))
        require_known("run", own, set(names.values()))
        return [job for job in study.runs.values() if names[job.id] == own]

    def title(self, study: Study) -> str:
        return titles.method(study, self.method, self.rho)

    def in_words(self, study: Study) -> str:
        """As the title, for the middle of a sentence, "SAM at ρ = 0.05", which no line breaks in the radius."""
        title = study.methods[self.method]["title"]
        return title if self.rho is None else f"{title} at ρ\u00a0=\u00a0{self.rho:g}"


def _name(network: str, run: dict) -> str:
    radius = f" with rho {run['rho']!r}" if run.get("rho") is not None else ""
    return f"{run['method']}{radius} on {network}"


def _seed(job: Job) -> int:
    return job.spec["seed"]

"""The criteria for the report's findings: what the values of a quantity say about a claim.

What decides is a two-sided interval: of the mean of the values by Student's t, or of the share of them on one side of a
bound by Clopper and Pearson (Biometrika 26, 1934).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

SUPPORTED = "supported"
CONTRADICTED = "contradicted"
INCONCLUSIVE = "inconclusive"

MEANINGS = {
    ("difference", SUPPORTED): "the effect is there and matters",
    ("difference", CONTRADICTED): "an effect that matters is excluded",
    ("equivalence", SUPPORTED): "a difference that matters is excluded",
    ("equivalence", CONTRADICTED): "there is a difference that matters",
}


@dataclass(frozen=True)
class Sample:
    """The values of a quantity.

    Attributes:
        values: one for each unit.
        unit: what each value belongs to, in the plural: "pairs of runs", "runs", "draws" or "starts".
        notes: what a reader must know of them, such as how many runs diverged.
    """

    values: np.ndarray
    unit: str
    notes: tuple[str, ...] = ()

    def known(self) -> "Sample":
        """The sample without NaN: an overflow is evidence neither for a claim nor against it."""
        lost = np.isnan(self.values)
        if not lost.any():
            return self
        note = f"{self.unit} left out because a number overflowed: {lost.sum()}"
        return Sample(self.values[~lost], self.unit, (*self.notes, note))


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it depends on; effect, low and high are NaN, and n is None, where nothing was measured.

    Attributes:
        effect: the mean of the values, or the share of them on the test's side of its bound.
        low: lower end of the effect's interval.
        high: upper end of the effect's interval.
        n: number of values.
        verdict: "supported", "contradicted" or "inconclusive".
        reason: why, in a few words.
    """

    effect: float
    low: float
    high: float
    n: int | None
    verdict: str
    reason: str


def judge(sample: Sample, test: dict, level: float) -> Judgement:
    """Put the values of a quantity to a test of config/claims.yaml.

    The kinds of test, and the keys that go with them:
        difference: supported if the interval of the mean is above 0 and the mean is at least `smallest_effect`;
            contradicted if the interval is below `smallest_effect`.
        equivalence: supported if the interval of the mean is within ±`margin` (two one-sided tests); contradicted if
            it excludes 0 and the mean is at least `margin` away from 0.
        proportion: supported if the interval of the share of values that are `at_most` or `at_least` a bound is above
            `share`; contradicted if it is below.
        existence: supported if there is such a value; contradicted if there is none and the interval of their share
            is below `share`.
    With fewer values than `minimum` each is inconclusive, and there is no interval.

    Args:
        level: of the interval.
    """
    n = len(sample.values)
    values = on_side(sample.values, test) if of_share(test) else sample.values
    effect = float(values.mean()) if n else np.nan
    if n < test["minimum"]:
        why = f"{n} of the {test['minimum']} {sample.unit} that the criterion asks for"
        return Judgement(effect, np.nan, np.nan, n, INCONCLUSIVE, "; ".join([why, *sample.notes]))

    if of_share(test):
        low, high = map(float, share_interval(values.sum(), n, level))
    else:
        half = t_quantile(level, n) * values.std(ddof=1) / n**0.5
        low, high = float(effect - half), float(effect + half)
    supported, contradicted = decide(test, effect, low, high)
    verdict = SUPPORTED if supported else CONTRADICTED if contradicted else INCONCLUSIVE

    why = [f"{values.sum()} of {n} {sample.unit}"] if of_share(test) else []
    if verdict == INCONCLUSIVE:
        why.append("the interval leaves both open")
    elif not of_share(test):
        why.append(MEANINGS[test["kind"], verdict])
    return Judgement(effect, low, high, n, verdict, "; ".join([*why, *sample.notes]))


def decide(test: dict, effect: ArrayLike, low: ArrayLike, high: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Whether a test supports, and whether it contradicts a claim, for effects and the ends of their intervals."""
    match test["kind"]:
        case "difference":
            supported = (low > 0) & (effect >= test["smallest_effect"])
            contradicted = high < test["smallest_effect"]
        case "equivalence":
            supported = (-test["margin"] < low) & (high < test["margin"])
            contradicted = ((low > 0) | (high < 0)) & (np.abs(effect) >= test["margin"])
        case "proportion":
            supported, contradicted = low > test["share"], high < test["share"]
        case "existence":
            supported, contradicted = effect > 0, high < test["share"]
    return np.asarray(supported), np.asarray(contradicted & ~np.asarray(supported))


def criterion(test: dict, level: float) -> str:
    """A test of config/claims.yaml in words."""
    interval = f"{100 * level:g} % interval"
    match test["kind"]:
        case "difference":
            effect = f"{test['smallest_effect']:g}"
            text = (
                f"supported: {interval} of the mean above 0 and mean ≥ {effect}; contradicted: interval below {effect}"
            )
        case "equivalence":
            margin = f"±{test['margin']:g}"
            text = (
                f"supported: {interval} of the mean within {margin}; "
                f"contradicted: mean not within {margin} and interval without 0"
            )
        case "proportion":
            share = f"{test['share']:g}"
            text = (
                f"supported: {interval} of the share of values {_side(test)} above {share}; "
                f"contradicted: interval below {share}"
            )
        case "existence":
            text = (
                f"supported: a value {_side(test)}; "
                f"contradicted: none, and {interval} of their share below {test['share']:g}"
            )
    return f"{text}; n ≥ {test['minimum']}"


def of_share(test: dict) -> bool:
    """Whether a test is of the share of values on one side of a bound, rather than of their mean."""
    return test["kind"] in ("proportion", "existence")


def on_side(values: np.ndarray, test: dict) -> np.ndarray:
    """Which values are on the test's side of its bound; NaN never is."""
    return values <= test["at_most"] if "at_most" in test else values >= test["at_least"]


def t_quantile(level: float, n: int) -> float:
    """Student's t for a two-sided interval of the mean of n values."""
    from scipy.stats import t  # slow to import, and this module is imported wherever the study is loaded

    return t.ppf((1 + level) / 2, n - 1)


def share_interval(count: ArrayLike, n: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Clopper and Pearson's interval of a share, for counts out of n."""
    from scipy.stats import beta

    tail, count = (1 - level) / 2, np.asarray(count)
    low = np.where(count > 0, beta.ppf(tail, count, n - count + 1), 0.0)
    return low, np.where(count < n, beta.ppf(1 - tail, count + 1, n - count), 1.0)


def _side(test: dict) -> str:
    return f"≤ {test['at_most']:g}" if "at_most" in test else f"≥ {test['at_least']:g}"

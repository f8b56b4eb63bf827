"""The power calculation against simulated studies."""

import numpy as np
import pytest

from sharpness.evidence.power import MOST, PROMISED, share_decided, values_needed
from sharpness.evidence.verdicts import INCONCLUSIVE, Sample, judge, on_side

LEVEL, STUDIES = 0.95, 2000
DIFFERENCE = {"kind": "difference", "smallest_effect": 0.005, "minimum": 3}
EQUIVALENCE = {"kind": "equivalence", "margin": 0.005, "minimum": 3}
PROPORTION = {"kind": "proportion", "at_most": 0.5, "share": 0.75, "minimum": 13}
EXISTENCE = {"kind": "existence", "at_most": 0.5, "share": 0.5, "minimum": 3}
CASES = [
    (DIFFERENCE, [0.004, 0.012, 0.02]),
    (DIFFERENCE, [0.001, 0.012, 0.03]),
    (DIFFERENCE, [-0.01, 0.01, 0.001]),
    (EQUIVALENCE, [0.001, -0.004, 0.003]),
    (EQUIVALENCE, [0.02, 0.0, 0.012]),
    (PROPORTION, [0.4] * 17 + [0.6] * 3),
    (PROPORTION, [0.4] * 8 + [0.6] * 7),
    (EXISTENCE, [0.9] * 3),
]


def simulated(values: np.ndarray, test: dict, n: int) -> float:
    """The share of simulated studies with n values that `judge` decides."""
    generator = np.random.default_rng(7)
    if test["kind"] in ("proportion", "existence"):
        share = on_side(values, test).mean()
        studies = np.where(generator.random((STUDIES, n)) < share, 0.0, 1.0)
    else:
        studies = generator.normal(values.mean(), values.std(ddof=1), (STUDIES, n))
    return np.mean([judge(Sample(study, "values"), test, LEVEL).verdict != INCONCLUSIVE for study in studies])


@pytest.mark.parametrize(("test", "values"), CASES)
def test_the_share_decided_is_that_of_simulated_studies(test, values):
    values = np.array(values)
    n = values_needed(values, test, LEVEL)

    assert share_decided(values, test, LEVEL, n) >= PROMISED
    assert simulated(values, test, n) == pytest.approx(share_decided(values, test, LEVEL, n), abs=0.05)


@pytest.mark.parametrize("values", [[0.4] * 12 + [0.6], [0.4] * 8 + [0.6] * 7])
def test_of_a_share_no_larger_number_would_be_too_few(values):
    n = values_needed(np.array(values), PROPORTION, LEVEL)

    assert all(share_decided(np.array(values), PROPORTION, LEVEL, more) >= PROMISED for more in range(n, n + 100))


@pytest.mark.parametrize(("test", "values"), CASES)
def test_one_value_less_would_not_do(test, values):
    n = values_needed(np.array(values), test, LEVEL)

    assert n == test["minimum"] or share_decided(np.array(values), test, LEVEL, n - 1) < PROMISED


def test_an_effect_on_the_line_is_never_decided():
    assert share_decided(np.array([0.0, 0.005, 0.01]), EQUIVALENCE, LEVEL, 100) < PROMISED
    assert values_needed(np.array([0.0, 0.0051, 0.01]), EQUIVALENCE, LEVEL) in (None, *range(100, MOST + 1))


@pytest.mark.parametrize("values", [[], [0.01], [np.inf, 0.1, 0.2]])
def test_without_a_spread_there_is_no_number(values):
    assert values_needed(np.array(values), DIFFERENCE, LEVEL) is None

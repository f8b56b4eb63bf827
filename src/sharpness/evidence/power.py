"""How many values would probably decide a test that is still inconclusive: a power calculation."""

from bisect import bisect_left

import numpy as np

from sharpness.evidence.verdicts import decide, of_share, on_side, share_interval, t_quantile

PROMISED = 0.8  # the share of studies with that many values that are decided
MOST = 1000
QUANTILES, FEWER_QUANTILES = ((np.arange(count) + 0.5) / count for count in (2000, 100))


def values_needed(values: np.ndarray, test: dict, level: float) -> int | None:
    """The number of values from which on a test of config/claims.yaml is decided in PROMISED of all studies.

    It takes the truth to be what was observed: for a mean a normal distribution with the sample's mean and standard
    deviation, for a share the sample's share.

    Returns:
        The number, None if the values have no spread to go by or if MOST do not do.
    """
    if len(values) < 2 or not (of_share(test) or np.isfinite(values).all()):
        return None
    fewest = test["minimum"]

    def enough(n: int) -> bool:
        return share_decided(values, test, level, n) >= PROMISED

    if not enough(MOST):
        return None
    if of_share(test):  # the share decided grows in a sawtooth
        return 1 + next((n for n in range(MOST - 1, fewest - 1, -1) if not enough(n)), fewest - 1)
    return fewest + bisect_left(range(fewest, MOST), True, key=enough)


def share_decided(values: np.ndarray, test: dict, level: float, n: int) -> float:
    """The share of studies with n values each that the test decides, one way or the other.

    A mean's interval has the half-width h = t s/√n. Given s, whose square is σ²χ²/(n − 1), the mean is normal, so that
    the share decided is a mean over s of normal probabilities, taken here at quantiles of both.
    """
    if of_share(test):
        from scipy.stats import binom

        counts = np.arange(n + 1)
        decided = np.logical_or(*decide(test, counts / n, *share_interval(counts, n, level)))
        return float(binom.pmf(counts, n, on_side(values, test).mean()) @ decided)
    from scipy.stats import chi2, norm

    deviation = values.std(ddof=1)
    means = values.mean() + deviation / n**0.5 * norm.ppf(QUANTILES)
    spreads = deviation * np.sqrt(chi2.ppf(FEWER_QUANTILES, n - 1) / (n - 1))
    half = t_quantile(level, n) * spreads[:, np.newaxis] / n**0.5
    return float(np.logical_or(*decide(test, means, means - half, means + half)).mean())

"""How many values would probably decide a test that is still inconclusive: a power calculation."""

from bisect import bisect_left
from collections.abc import Callable

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
    if of_share(test):  # the share decided grows in a sawtooth
        too_few = np.flatnonzero(share_decided(values, test, level, np.arange(fewest, MOST + 1)) < PROMISED)
        needed = fewest + int(too_few[-1]) + 1 if len(too_few) else fewest
        return needed if needed <= MOST else None
    if share_decided(values, test, level, MOST) < PROMISED:
        return None
    return fewest + bisect_left(
        range(fewest, MOST), True, key=lambda n: share_decided(values, test, level, n) >= PROMISED
    )


def share_decided(values: np.ndarray, test: dict, level: float, n: int | np.ndarray) -> float | np.ndarray:
    """The share of studies with n values each that the test decides, one way or the other.

    n is one number, or where the test is of a share an array of them.

    A mean's interval has the half-width h = t s/√n. Given s, whose square is σ²χ²/(n − 1), the mean is normal, so that
    the share decided is a mean over s of normal probabilities, taken here at quantiles of both.
    """
    if of_share(test):
        return _counts_decided(on_side(values, test).mean(), test, level, n)
    from scipy.stats import chi2, norm

    deviation = values.std(ddof=1)
    means = values.mean() + deviation / n**0.5 * norm.ppf(QUANTILES)
    spreads = deviation * np.sqrt(chi2.ppf(FEWER_QUANTILES, n - 1) / (n - 1))
    half = t_quantile(level, n) * spreads[:, np.newaxis] / n**0.5
    return float(np.logical_or(*decide(test, means, means - half, means + half)).mean())


def _counts_decided(share: float, test: dict, level: float, n: int | np.ndarray) -> np.ndarray:
    """The probability of a count out of n that the test decides: of a high one, or of a low one."""
    from scipy.stats import binom

    def verdicts(count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return decide(test, count / n, *share_interval(count, n, level))

    supported = _lowest(n, lambda count: verdicts(count)[0])
    not_contradicted = _lowest(n, lambda count: ~verdicts(count)[1])
    return binom.sf(supported - 1, n, share) + binom.cdf(not_contradicted - 1, n, share)


def _lowest(n: int | np.ndarray, holds: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The lowest count from 0 to n for which something holds that holds for all higher ones; n + 1 if for none."""
    below, above = np.full_like(n, -1), np.asarray(n) + 1
    while np.any(above - below > 1):
        middle = np.maximum((below + above) // 2, 0)
        found = holds(middle)
        below, above = np.where(found, below, middle), np.where(found, middle, above)
    return above

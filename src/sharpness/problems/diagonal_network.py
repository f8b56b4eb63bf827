"""The diagonal linear network of depth two: the coordinate on which gradient descent, L2- and L∞-SAM end, by start."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.dynamics.diagonal import METHODS, descend, fastest, leader, limit
from sharpness.settings import require, require_above_zero, require_each_of

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1
JUDGED = ("error", "first_error")


@dataclass(frozen=True)
class Settings:
    """The example and the starts, a grid with the same values along each coordinate.

    Attributes:
        mu: the example's coordinates.
        methods: of sharpness.dynamics.diagonal.
        rho: ρ.
        learning_rate: η, in units of time in which |ℓ'| = 1.
        steps: descent steps.
        start: lowest and highest value of the grid, spaced evenly in their logarithm.
        points: of the grid along a coordinate.
        small: what is below it has collapsed; a descent there ends in cycles of the order of ηρ.

    Raises:
        SettingError: a value is out of range.
    """

    mu: tuple[float, ...]
    methods: tuple[str, ...]
    rho: float
    learning_rate: float
    steps: int
    start: tuple[float, float]
    points: int
    small: float

    def __post_init__(self) -> None:
        require_above_zero(self, "rho", "learning_rate", "steps", "points", "small", "mu")
        require_each_of(self, "methods", METHODS)
        growth = self.learning_rate * self.steps * max(self.mu)
        require(growth <= 500, f"steps is {self.steps}; exp(learning_rate · steps · mu) overflows, so choose fewer")
        low, high = self.start
        require(self.small < low < high, f"start is {low:g} to {high:g}; give two values above small, the lower first")

    @property
    def entries(self) -> int:
        """The points of a descent, and the table."""
        coordinates = len(self.mu)
        return (6 * coordinates + 8 * len(self.methods)) * self.points**coordinates


def compute(settings: Settings) -> pd.DataFrame:
    """The descents in double precision, with time counted in units of |ℓ'|.

    Returns:
        One row for each method and start, in this order, with the columns method, rho, start, w1, w2, ... (the start),
        end and first (the coordinate that leads in the end, and that grows by the largest factor in the first
        thousandth of the steps, from 1; 0: collapsed) and predicted_end, predicted_first (-1: not decided), error (1
        where end is not the predicted one), first_error, and assumed (1 where predicted_end is decided).
    """
    mu = np.array(settings.mu)
    axis = np.geomspace(*settings.start, settings.points)
    starts = np.stack(np.meshgrid(*[axis] * len(mu), indexing="ij"), -1).reshape(-1, len(mu))
    frames = []
    for method in settings.methods:
        early = descend(mu, starts, method, settings.rho, settings.learning_rate, max(settings.steps // 1000, 1))
        end = descend(mu, starts, method, settings.rho, settings.learning_rate, settings.steps)
        columns = {
            "method": method,
            "rho": settings.rho if method != "gd" else 0.0,
            "start": range(len(starts)),
            **{f"w{index + 1}": starts[:, index] for index in range(len(mu))},
            "end": leader(end, settings.small) + 1,
            "predicted_end": limit(mu, starts, method, settings.rho) + 1,
            "first": (early / starts).argmax(-1) + 1,
            "predicted_first": fastest(mu, starts, method, settings.rho) + 1,
        }
        frame = pd.DataFrame(columns)
        frame["error"] = (frame["end"] != frame["predicted_end"]).astype(int)
        frame["first_error"] = (frame["first"] != frame["predicted_first"]).astype(int)
        frame["assumed"] = (frame["predicted_end"] >= 0).astype(int)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)

"""The quadratic: the loss at which descents end under each radial law, beside the closed form."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from sharpness.dynamics.laws import LAWS, grid
from sharpness.dynamics.quadratic import attracts, descend, floor
from sharpness.settings import require, require_above_zero, require_each_of, require_not_negative

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1
JUDGED = ("loss", "error")


@dataclass(frozen=True)
class Settings:
    """The Hessian's eigenvalues and the descents: laws × step sizes × radii × starts.

    Attributes:
        eigenvalues: of the Hessian, the largest first.
        laws: of sharpness.dynamics.laws.
        learning_rate: the step sizes η, below 2/λ₁.
        rho: the radii; gradient descent has one, 0.
        steps: descent steps.
        starts: Gaussian ones.
        seed: decides the starts.

    Raises:
        SettingError: a value is out of range.
    """

    eigenvalues: tuple[float, ...]
    laws: tuple[str, ...]
    learning_rate: tuple[float, ...]
    rho: tuple[float, ...]
    steps: int
    starts: int
    seed: int

    def __post_init__(self) -> None:
        falling = all(one > other for one, other in pairwise(self.eigenvalues))
        require(falling and self.eigenvalues[-1] > 0, "eigenvalues must be above 0 and fall")
        require_each_of(self, "laws", LAWS)
        require_above_zero(self, "learning_rate", "rho", "steps", "starts")
        edge = 2 / self.eigenvalues[0]
        require(max(self.learning_rate) < edge, f"learning_rate has {max(self.learning_rate):g}; stay below {edge:g}")
        require_not_negative(self, "seed")

    @property
    def entries(self) -> int:
        """The table, and the points of a descent."""
        cells = len(self.laws) * len(self.learning_rate) * len(self.rho)
        return (8 * cells + 6 * len(self.eigenvalues)) * self.starts


def compute(settings: Settings) -> pd.DataFrame:
    """The ends of the descents, in double precision.

    Returns:
        One row for each law, step size, radius and start (from 0), in this order, with the columns law, learning_rate,
        rho, start, loss (inf: diverged), predicted, error (the relative one; where 0 is predicted the loss itself, and
        inf where one of the two is infinite alone) and assumed (1 where what is predicted attracts).
    """
    values = np.array(settings.eigenvalues)
    starts = np.random.default_rng(settings.seed).normal(size=(settings.starts, len(values)))
    frames = []
    for law, rate, rho in grid(settings.laws, settings.learning_rate, settings.rho):
        ends = descend(values, starts, law, rho, rate, settings.steps)
        losses, predicted = (values * ends**2).sum(-1) / 2, floor(values[0], law, rho, rate)
        cell = {"law": law, "learning_rate": rate, "rho": rho, "start": range(settings.starts)}
        cell |= {"loss": losses, "predicted": predicted, "error": _errors(losses, predicted)}
        cell["assumed"] = int(attracts(values[0], law, rho, rate))
        frames.append(pd.DataFrame(cell))
    return pd.concat(frames, ignore_index=True)


def _errors(losses: np.ndarray, predicted: float) -> np.ndarray:
    if np.isinf(predicted):
        return np.where(np.isinf(losses), 0.0, np.inf)
    return np.abs(losses - predicted) / (predicted or 1.0)

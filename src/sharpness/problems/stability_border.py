"""The largest eigenvalue at which a descent on the quadratic comes back from far out: by bisection and predicted."""

from dataclasses import dataclass
from itertools import product

import pandas as pd

from sharpness.dynamics.laws import LAWS
from sharpness.dynamics.quadratic import border, measured_border
from sharpness.settings import require, require_above_zero, require_each_of

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1
JUDGED = ("error",)


@dataclass(frozen=True)
class Settings:
    """The descents whose border is sought: laws × step sizes × radii.

    Attributes:
        laws: of sharpness.dynamics.laws; gradient descent is repeated at each radius, as its border is a line too.
        learning_rate: the step sizes η.
        rho: the radii.
        steps: of each descent that the bisection looks at.
        far: where it starts.
        digits: the relative width to which the bisection goes.

    Raises:
        SettingError: a value is out of range.
    """

    laws: tuple[str, ...]
    learning_rate: tuple[float, ...]
    rho: tuple[float, ...]
    steps: int
    far: float
    digits: float

    def __post_init__(self) -> None:
        require_each_of(self, "laws", LAWS)
        require_above_zero(self, "learning_rate", "rho", "steps", "far", "digits")
        finest = f"digits is {self.digits:g}; give 1e-14 or more, which is as fine as numbers are"
        require(self.digits >= 1e-14, finest)


def compute(settings: Settings) -> pd.DataFrame:
    """The borders, in double precision.

    Returns:
        One row for each law, step size and radius, in this order, with the columns law, learning_rate, rho, eigenvalue,
        predicted, error (relative).
    """
    rows = []
    for law, rate, rho in product(settings.laws, settings.learning_rate, settings.rho):
        measured = measured_border(law, rho, rate, settings.steps, settings.far, settings.digits)
        predicted = border(law, rho, rate)
        rows.append((law, rate, rho, measured, predicted, abs(measured / predicted - 1)))
    return pd.DataFrame(rows, columns=["law", "learning_rate", "rho", "eigenvalue", "predicted", "error"])

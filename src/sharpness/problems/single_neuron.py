"""A single linear neuron, L(x, y) = ℓ(xy), on which the normalisation of SAM's ascent step decides where it ends.

Dai, Ahn & Sra, "The Crucial Role of Normalization in Sharpness-Aware Minimization" (2023, arXiv:2305.15287), study
losses ℓ that are convex, even and Lipschitz. Here ℓ(z) = √(1 + z²) − 1, with |ℓ'| ≤ 1 and ℓ''(0) = 1. The minima (0, y)
form a valley, and the sharpness of each, the largest eigenvalue of its Hessian, is y². Near the valley a step

- of USAM multiplies x by 1 − η y² (1 + ρ y²): as soon as y² is below the root of η y² (1 + ρ y²) = 2, x dies out, and y
  with it stops moving. A start below it ends near the y² = y₀² − x₀² that gradient flow conserves.
- of SAM keeps x from dying out, as its ascent step has length ρ however small the gradient is: y shrinks at every step,
  by a factor of about 1 − η ρ² where η y² is small, down to the flattest minima.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.settings import require_above_zero, require_not_negative, require_range

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1

METHODS = ("sam", "usam")


@dataclass(frozen=True)
class Settings:
    """The descent and its starts.

    Attributes:
        learning_rate: η.
        rho: ρ.
        steps: descent steps.
        starts: number of starts.
        x0: range from which x₀ is drawn uniformly.
        gamma: range from which γ = η (y₀² − x₀²) is drawn uniformly; it gives y₀ > 0. Gradient descent is stable in the
            valley where η y² < 2.
        seed: decides the starts.

    Raises:
        SettingError: a value is not positive (the seed: is negative), or a range is empty.
    """

    learning_rate: float
    rho: float
    steps: int
    starts: int
    x0: tuple[float, float]
    gamma: tuple[float, float]
    seed: int = 0

    def __post_init__(self) -> None:
        require_above_zero(self, "learning_rate", "rho", "steps", "starts")
        require_range(self, "x0", "gamma")
        require_not_negative(self, "seed")

    @property
    def entries(self) -> int:
        """The table, and what a step makes of the points."""
        return 24 * self.starts


def compute(settings: Settings) -> pd.DataFrame:
    """Descend by SAM and by USAM from the same starts, in double precision.

    Every operation is one that IEEE 754 rounds correctly, so the end points are the same on every machine.

    Returns:
        One row for each method and start (from 0), in this order, with the columns method, start, x0, y0 (where it
        started), x, y (where it ended).
    """
    generator = np.random.default_rng(settings.seed)
    x0 = generator.uniform(*settings.x0, settings.starts)
    y0 = np.sqrt(x0**2 + generator.uniform(*settings.gamma, settings.starts) / settings.learning_rate)
    frames = []
    for method in METHODS:
        x, y = descend(method, x0, y0, settings.learning_rate, settings.rho, settings.steps)
        frames.append(
            pd.DataFrame({"method": method, "start": range(settings.starts), "x0": x0, "y0": y0, "x": x, "y": y})
        )
    return pd.concat(frames, ignore_index=True)


def summary(ends: pd.DataFrame) -> dict[str, float]:
    """The median over the starts of the share of the sharpness y² that is left, by method: for the report's text."""
    left = (ends["y"] / ends["y0"]) ** 2
    return left.groupby(ends["method"], sort=False).median().to_dict()


def descend(
    method: str, x: np.ndarray, y: np.ndarray, learning_rate: float, rho: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where SAM (ascent step ρ g/‖g‖) or USAM (ρ g) ends from the points (x, y), arrays of one shape.

    Raises:
        ValueError: an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    for _ in range(steps):
        dx, dy = gradient(x, y)
        scale = rho / (np.sqrt(dx**2 + dy**2) + 1e-12) if method == "sam" else rho
        dx, dy = gradient(x + scale * dx, y + scale * dy)
        x, y = x - learning_rate * dx, y - learning_rate * dy
    return x, y


def gradient(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """∂L/∂x and ∂L/∂y for L(x, y) = √(1 + (xy)²) − 1."""
    product = x * y
    slope = product / np.sqrt(1 + product**2)
    return slope * y, slope * x

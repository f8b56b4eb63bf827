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

METHODS = ("sam", "usam")


@dataclass(frozen=True)
class Setting:
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
        ValueError: a value is not positive (the seed: is negative), or a range is empty.
    """

    learning_rate: float
    rho: float
    steps: int
    starts: int
    x0: tuple[float, float]
    gamma: tuple[float, float]
    seed: int = 0

    def __post_init__(self):
        for name in ("learning_rate", "rho", "steps", "starts"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} of a single-neuron setting must be positive, not {getattr(self, name)}")
        for name in ("x0", "gamma"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} of a single-neuron setting must be a range above 0, not {low} to {high}")
        if self.seed < 0:
            raise ValueError(f"seed of a single-neuron setting must not be negative, but is {self.seed}")


def run(setting: Setting) -> pd.DataFrame:
    """Descend by SAM and by USAM from the same starts, in double precision.

    Every operation is one that IEEE 754 rounds correctly, so the end points are the same on every machine.

    Returns:
        One row for each method and start (from 0), in this order, with the columns method, start, x0, y0 (where it
        started), x, y (where it ended).
    """
    generator = np.random.default_rng(setting.seed)
    x0 = generator.uniform(*setting.x0, setting.starts)
    y0 = np.sqrt(x0**2 + generator.uniform(*setting.gamma, setting.starts) / setting.learning_rate)
    frames = []
    for method in METHODS:
        x, y = descend(method, x0, y0, setting.learning_rate, setting.rho, setting.steps)
        frames.append(
            pd.DataFrame({"method": method, "start": range(setting.starts), "x0": x0, "y0": y0, "x": x, "y": y})
        )
    return pd.concat(frames, ignore_index=True)


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

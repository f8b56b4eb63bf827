"""The single linear neuron L(x, y) = ℓ(xy) under every radial law, and where theory says that it ends.

ℓ is convex and even with |ℓ'| ≤ 1 and ℓ''(0) = 1. The minima (0, y) form a valley, and the sharpness of each is λ = y².
In the valley, where |x|y is small, L is λx²/2 across and a step multiplies x by 1 − ηλ(1 + ρλ h(n)) with n = λ|x|.

- USAM: x dies out as soon as ηλ(1 + ρλ) < 2, and y stops with it. A start below this edge ends near the y₀² − x₀² that
  gradient flow conserves, one above it slides down to the edge: y² ≈ min(y₀² − x₀², λ*) (Dai, Ahn and Sra 2023, whose
  y₀² − x₀² is of the order of 1/η and whose η is small). Gradient descent is USAM with ρ = 0.
- SAM: x does not die out but ends in the two-cycle of the quadratic, |x| = ηρλ/(2 − ηλ), and the ascent step lands at
  |x| + ρ = 2ρ/(2 − ηλ). There ∂L/∂y ≈ (|x| + ρ)² y, so that each step takes from y the share 4ηρ²/(2 − ηλ)², and

      dλ/dt = −8ηρ²λ/(2 − ηλ)²,  or  4 ln λ − 4ηλ + η²λ²/2 = constant − 8ηρ²t.

  The left side rises with λ up to 2/η: `drifted` solves it. The ascent step must stay where ℓ is a parabola,
  2ρy/(2 − ηλ) ≪ 1.
"""

from collections.abc import Callable

import numpy as np

from sharpness.dynamics.laws import advance, row_norm
from sharpness.dynamics.quadratic import edge

# ℓ' of each loss.
SLOPES: dict[str, Callable] = {
    "sqrt": lambda z: z / np.sqrt(1 + z**2),  # ℓ(z) = √(1 + z²) − 1
    "log-cosh": np.tanh,
}


def descend(loss: str, law: str, points: np.ndarray, rho: np.ndarray, rate: np.ndarray, steps: int) -> np.ndarray:
    """Where descents from the points (x, y), (..., 2), are after some steps; rho and rate broadcast to (..., 1)."""

    def gradient(points: np.ndarray) -> np.ndarray:
        return SLOPES[loss](points[..., :1] * points[..., 1:]) * points[..., ::-1]

    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            points = advance(gradient, points, law, rho, rate, row_norm)
    return points


def settled(start: np.ndarray, rho: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """USAM's y² in the end, and gradient descent's at ρ = 0; start is y₀² − x₀²."""
    return np.minimum(start, edge(rho, rate))


def drifted(start: np.ndarray, rho: np.ndarray, rate: np.ndarray, steps: int) -> np.ndarray:
    """SAM's y² after some steps from y² = start, at most 2/η, by bisection of the drift's solution in ln λ."""

    def left(log: np.ndarray) -> np.ndarray:
        z = rate * np.exp(log)
        return 4 * log - 4 * z + z**2 / 2

    high = np.log(np.minimum(start, 2 / rate))
    goal = left(high) - 8 * rate * rho**2 * steps
    low = high - 2 * rate * rho**2 * steps - 2  # the left side is 4 ln λ less something between 0 and 6
    for _ in range(100):
        middle = (low + high) / 2
        above = left(middle) > goal
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.exp((low + high) / 2)


def ascent(sharpness: np.ndarray, rho: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """How far into ℓ SAM's ascent step reaches in the valley, 2ρy/(2 − ηλ): small where ℓ is a parabola to it."""
    return 2 * rho * np.sqrt(sharpness) / np.maximum(2 - rate * sharpness, 1e-300)

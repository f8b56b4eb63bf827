"""Radial laws: how far the ascent step goes along the gradient, ε = ρ h(‖g‖) g, one line for each h.

What a law does at its two ends decides what it does to a descent. Where h grows without bound near g = 0 the step keeps
a length however small the gradient is, and the descent cannot come to rest; where h(n) n is bounded the step does, and
a large gradient cannot throw the descent out.

    law             near a minimum      far from it       h(n)
    gd              no step             no step           0
    sam             length ρ            length ρ          1/n
    monge           length ρ            vanishes          1/(n √(1 + n²))
    interpolation   length ρ/2          grows with n      (1 + 1/n)/2, half way between USAM and SAM
    damped          vanishes            length ρ          1/√(1 + n²)
    usam            vanishes            grows with n      1

Everything here works on numbers, on arrays and on tensors.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

FLOOR = 1e-15  # added to a norm that divides, so that no gradient gives no step

LAWS: dict[str, Callable] = {
    "gd": lambda n: 0 * n,
    "sam": lambda n: 1 / (n + FLOOR),
    "usam": lambda n: 1 + 0 * n,
    "interpolation": lambda n: (1 + 1 / (n + FLOOR)) / 2,
    "monge": lambda n: 1 / ((n + FLOOR) * (1 + n**2) ** 0.5),
    "damped": lambda n: 1 / (1 + n**2) ** 0.5,
}
# h(∞): what a law multiplies a very large gradient by, and with it the radius of the USAM that it is there.
AT_INFINITY = {"gd": 0.0, "sam": 0.0, "usam": 1.0, "interpolation": 0.5, "monge": 0.0, "damped": 0.0}


def solve(law: str, c: float) -> float:
    """The gradient norm n at which h(n) = 1/c, for c > 0: 0 where h stays below it, inf where it stays above.

    h falls for every law that has such an n, so that there is one at most.
    """
    match law:
        case "sam":
            return c
        case "monge":  # n² (1 + n²) = c²
            return (((1 + 4 * c**2) ** 0.5 - 1) / 2) ** 0.5
        case "interpolation":  # 1 + 1/n = 2/c
            return c / (2 - c) if c < 2 else float("inf")
        case "damped":
            return (c**2 - 1) ** 0.5 if c > 1 else 0.0
        case "usam":
            return 0.0 if c < 1 else float("inf")
    return 0.0


def grid(laws: Sequence[str], rates: Sequence[float], radii: Sequence[float]) -> list[tuple[str, float, float]]:
    """Each law at each step size and radius, as (law, η, ρ) in this order; gradient descent has one radius, 0."""
    return [(law, rate, rho) for law in laws for rate in rates for rho in (radii if law != "gd" else (0.0,))]


def row_norm(points: np.ndarray) -> np.ndarray:
    """The Euclidean norms along the last axis, (..., n) to (..., 1)."""
    return np.sqrt((points**2).sum(-1, keepdims=True))


def advance(
    gradient: Callable[[T], T], point: T, law: str, rho: T | float, rate: T | float, norm: Callable[[T], T]
) -> T:
    """One step, w ← w − η ∇f(w + ρ h(‖g‖) g) with g = ∇f(w), for points of any shape.

    Args:
        gradient: ∇f, from points to gradients of their shape.
        point: w.
        law: h, of LAWS.
        rho: ρ; like rate, a number or of a shape that broadcasts to the points'.
        rate: η.
        norm: the norms of gradients, of a shape that broadcasts to the points'.
    """
    ascent = gradient(point)
    return point - rate * gradient(point + rho * LAWS[law](norm(ascent)) * ascent)

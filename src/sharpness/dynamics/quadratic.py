"""The quadratic f(w) = ½ wᵀHw, on which the end of a descent has a closed form.

In coordinates along the eigenvectors of H a step multiplies each by 1 − ηλᵢ(1 + ρ h(‖g‖) λᵢ). USAM (h = 1) is linear:
it is stable if ηλ(1 + ρλ) < 2 for the largest eigenvalue λ = λ₁, and gradient descent if ηλ < 2. For the other laws the
top eigenvector is the one on which the factor is the most negative. There, with a gradient of norm n = λ|w|, a step
turns w into −w where ηλ(1 + ρλ h(n)) = 2, that is

    h(n) = 1/c  with  c = ηρλ²/(2 − ηλ).

The orbit w, −w, w, ... attracts if the norm that a step makes of n, (ηλ − 1)n + ηρλ² n h(n), changes with n by less
than n does. For SAM, where n h(n) = 1, it always does: h(n) = 1/n gives n = c, the amplitude |w| = c/λ = ηρλ/(2 − ηλ)
and the loss ½λw² = η²ρ²λ³/(2(2 − ηλ)²) (Bartlett, Long and Bousquet 2023 prove that SAM ends there from almost every
start). The descent thus ends at the loss n²/(2λ) with n = solve(h, c): at 0 where h stays below 1/c, and nowhere, as it
diverges, where h stays above it.

A start far out is thrown further out if ηλ(1 + ρ h(∞) λ) > 2: a law is to a large gradient what USAM with the radius
ρ h(∞) is. That gives each law its stability border.
"""

import numpy as np

from sharpness.dynamics.laws import AT_INFINITY, LAWS, advance, row_norm, solve

# A descent whose gradient comes to this has diverged, and is not followed further.
LARGEST = 1e100


def descend(eigenvalues: np.ndarray, w: np.ndarray, law: str, rho: float, rate: float, steps: int) -> np.ndarray:
    """Where descents from the points w, (..., n) along the n eigenvectors, are after some steps; inf: diverged."""
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(steps):
            w = advance(lambda point: eigenvalues * point, w, law, rho, rate, row_norm)
            w = np.where(row_norm(w) > LARGEST, np.inf, w)
    return np.nan_to_num(w, nan=np.inf, posinf=np.inf, neginf=np.inf)


def floor(eigenvalue: float, law: str, rho: float, rate: float) -> float:
    """The loss at which a descent ends, inf if it diverges; it is gradient descent's at ρ = 0."""
    if rate * eigenvalue >= 2:
        return np.inf
    return solve(law, rate * rho * eigenvalue**2 / (2 - rate * eigenvalue)) ** 2 / (2 * eigenvalue)


def attracts(eigenvalue: float, law: str, rho: float, rate: float) -> bool:
    """Whether what `floor` predicts attracts: Monge SAM, whose step falls with the gradient, can overshoot it."""
    norm = solve(law, rate * rho * eigenvalue**2 / (2 - rate * eigenvalue))
    if norm == 0 or np.isinf(norm):
        return True
    ends = norm * (1 + 1e-5 * np.array([-1, 1]))
    after = (rate * eigenvalue - 1) * ends + rate * rho * eigenvalue**2 * ends * LAWS[law](ends)
    return bool(abs(np.diff(after) / np.diff(ends))[0] < 1)


def edge(rho: float | np.ndarray, rate: float | np.ndarray) -> float | np.ndarray:
    """The eigenvalue up to which USAM is stable: the root λ of ηλ(1 + ρλ) = 2.

    It is (√(1 + 8ρ/η) − 1)/(2ρ), written here so that it is also right at ρ = 0, where it is 2/η. With ρ/‖g‖ in place
    of ρ it is the edge that Long and Bartlett (2023) derive for SAM.
    """
    return 4 / rate / (1 + (1 + 8 * rho / rate) ** 0.5)


def border(law: str, rho: float, rate: float) -> float:
    """The eigenvalue up to which no start, however far out, diverges."""
    return float(edge(rho * AT_INFINITY[law], rate))


def measured_border(law: str, rho: float, rate: float, steps: int, far: float, digits: float) -> float:
    """As `border`, by bisection: whether a descent in one dimension from the point `far` gets further out in some
    steps.

    Args:
        digits: the relative width of the interval at which the bisection stops.
    """
    low, high = 0.0, 4 / rate  # at ηλ = 4 gradient descent multiplies w by −3, and every law makes that longer
    while high - low > digits * high:
        middle = (low + high) / 2
        end = descend(np.array([middle]), np.array([far]), law, rho, rate, steps)
        low, high = (middle, high) if abs(end[0]) <= far else (low, middle)
    return (low + high) / 2

"""The diagonal linear network of depth two, β = u ∘ v, on one example: which coordinate its predictor ends on.

The example is x = μ with μᵢ > 0 and the label 1, the loss ℓ(⟨β, μ⟩) for a falling ℓ such as the logistic one. With time
counted in units of |ℓ'| (which is the same path) the gradient is −(μ ∘ v, μ ∘ u), whatever ℓ is. From u = v = w > 0
both stay equal, and for small η a descent follows

    gradient descent  dwᵢ/dt = μᵢ wᵢ             the coordinate of the largest μᵢ wins
    L∞-SAM            dwᵢ/dt = μᵢ (wᵢ − ρ)       the largest μᵢ of those that start above ρ wins; if none is, all → 0
    L2-SAM            dwᵢ/dt = μᵢ wᵢ (1 − μᵢ/κ)  with κ = √2 ‖μ ∘ w‖/ρ

For L2-SAM the rate μᵢ − μᵢ²/κ is largest for the μᵢ nearest to κ/2: while the weights are small the minor coordinates
lead, and as they grow the major ones take over, so that the limit is gradient descent's. Where κ > max μ all grow from
the start; where κ ≤ min μ all shrink, κ with them, and the network collapses to 0; between the two the start's κ does
not decide. Moon, Si and Yun (2026) prove the limits, and call the order of events sequential feature amplification;
what stands here is derived for the start u = v alone.
"""

import numpy as np

METHODS = ("gd", "sam-l2", "sam-linf")
COLLAPSED, UNDECIDED = -1, -2


def velocity(mu: np.ndarray, w: np.ndarray, method: str, rho: float) -> np.ndarray:
    """The step that each start (..., n) takes, in units of η.

    Raises:
        ValueError: an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    slope = -mu * w
    if method == "sam-l2":
        ascent = rho * slope / (np.sqrt(2 * (slope**2).sum(-1, keepdims=True)) + 1e-12)
    else:
        ascent = rho * np.sign(slope) if method == "sam-linf" else 0.0
    return mu * (w + ascent)


def descend(mu: np.ndarray, w: np.ndarray, method: str, rho: float, rate: float, steps: int) -> np.ndarray:
    """Where u = v = w of shape (..., n) is after some steps."""
    for _ in range(steps):
        w = w + rate * velocity(mu, w, method, rho)
    return w


def leader(w: np.ndarray, small: float) -> np.ndarray:
    """The coordinate that the predictor β = w ∘ w is most on, from 0, or COLLAPSED where all of w is below a size."""
    return np.where(np.abs(w).max(-1) < small, COLLAPSED, np.abs(w).argmax(-1))


def limit(mu: np.ndarray, w: np.ndarray, method: str, rho: float) -> np.ndarray:
    """The coordinate on which each start (..., n) ends, from 0, COLLAPSED, or UNDECIDED by what is derived here."""
    if method == "gd":
        return np.full(w.shape[:-1], mu.argmax())
    if method == "sam-linf":
        return np.where((w > rho).any(-1), np.where(w > rho, mu, -np.inf).argmax(-1), COLLAPSED)
    kappa = np.sqrt(2 * ((mu * w) ** 2).sum(-1)) / rho
    return np.where(kappa <= mu.min(), COLLAPSED, np.where(kappa > mu.max(), mu.argmax(), UNDECIDED))


def fastest(mu: np.ndarray, w: np.ndarray, method: str, rho: float) -> np.ndarray:
    """The coordinate that grows by the largest factor at first, from 0, from each start (..., n)."""
    rates = {"gd": mu + 0 * w, "sam-linf": mu * (1 - rho / w)}
    if method in rates:
        return rates[method].argmax(-1)
    kappa = np.sqrt(2 * ((mu * w) ** 2).sum(-1, keepdims=True)) / rho
    return (mu - mu**2 / kappa).argmax(-1)

"""Matrix sensing (the original's Section V and Appendix B): recover X* = U*U*ᵀ from m inner products with Gaussian A_i.

The loss of an iterate U is L(U) = (1/2m) Σᵢ ⟨Aᵢ, E⟩² with the error E = UUᵀ − X*, its gradient
(1/m) Σᵢ ⟨Aᵢ, E⟩ (Aᵢ + Aᵢᵀ) U. E is symmetric, so only Aᵢ + Aᵢᵀ matters: with its upper triangle (and Aᵢ's own diagonal)
as row i of a matrix S, the residuals ⟨Aᵢ, E⟩ are S times the upper triangle of E. One matrix product thus serves every
trajectory of a sweep, whatever its draw, method and radius.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Run:
    """A method at a radius: "sam" (ascent step ρ g/(‖g‖ + 1e-12)), "usam" (ρ g), or "gd" (ρ = 0)."""

    method: str
    rho: float = 0.0


class MatrixSensing:
    """The losses and gradients of any number of iterates, each against its own target or a shared one.

    Args:
        measurements: S as above, (m, d(d+1)/2), the triangles row by row.
        target: X*, symmetric, (..., d, d), of a shape that broadcasts to that of the iterates' UUᵀ.
    """

    def __init__(self, measurements: Tensor, target: Tensor):
        self.measurements = measurements
        self.target = target
        rows, columns = torch.triu_indices(*target.shape[-2:], device=target.device)
        self.triangle = rows * target.shape[-1] + columns

    def loss_and_gradient(self, iterates: Tensor) -> tuple[Tensor, Tensor]:
        """L(U) and ∇L(U) for iterates of shape (..., d, k): tensors of shapes (...) and (..., d, k)."""
        count = len(self.measurements)
        error = iterates @ iterates.mT - self.target
        residuals = self.residuals(error)
        loss = residuals.square().sum(-1) / (2 * count)
        return loss, self._combined(residuals, error) @ iterates / count

    def hessian_product(self, iterates: Tensor, directions: Tensor) -> Tensor:
        """∇²L(U)[Δ] for iterates U and directions Δ of one shape (..., d, k).

        With W(E) = (1/m) Σᵢ ⟨Aᵢ, E⟩ (Aᵢ + Aᵢᵀ) the gradient is W(UUᵀ − X*) U, and its derivative along Δ is
        W(UΔᵀ + ΔUᵀ) U + W(UUᵀ − X*) Δ. At U = U* the second part is 0 and the first is about 4σ₁(U*)² at the largest,
        along Δ = u₁v₁ᵀ.
        """
        across = iterates @ directions.mT
        change, error = across + across.mT, iterates @ iterates.mT - self.target
        of_change, of_error = (self._combined(self.residuals(matrix), matrix) for matrix in (change, error))
        return (of_change @ iterates + of_error @ directions) / len(self.measurements)

    def residuals(self, error: Tensor) -> Tensor:
        """⟨Aᵢ, E⟩ for symmetric E: (..., m)."""
        return error.flatten(-2).index_select(-1, self.triangle) @ self.measurements.T

    def _combined(self, residuals: Tensor, like: Tensor) -> Tensor:
        """Σᵢ rᵢ (Aᵢ + Aᵢᵀ), (..., d, d) as `like`."""
        upper = torch.zeros_like(like).flatten(-2)
        upper = upper.index_copy_(-1, self.triangle, residuals @ self.measurements).view_as(like)
        return upper + upper.mT


def descend(problem: MatrixSensing, iterates: Tensor, runs: Sequence[Run], learning_rate: float, steps: int) -> Tensor:
    """Descend by U ← U − η ∇L(U + ε) and return the loss L(U) before each step, (..., runs, steps).

    A trajectory that diverges ends in inf or NaN, and no other is touched by it.

    Args:
        iterates: the starts, (..., runs, d, k).
        runs: the method and radius of each trajectory along the iterates' third dimension from the last.
    """
    device = iterates.device
    rho = torch.tensor([run.rho for run in runs], dtype=iterates.dtype, device=device)[:, None, None]
    normalised = torch.tensor([run.method == "sam" for run in runs], device=device)[:, None, None]
    losses = []
    for _ in range(steps):
        loss, gradient = problem.loss_and_gradient(iterates)
        losses.append(loss)
        norm = torch.linalg.matrix_norm(gradient, keepdim=True)
        ascent = rho * gradient / torch.where(normalised, norm + 1e-12, 1.0)
        _, gradient = problem.loss_and_gradient(iterates + ascent)
        iterates = iterates - learning_rate * gradient
    return torch.stack(losses, dim=-1)


def draw_measurements(count: int, dimension: int, generator: torch.Generator) -> Tensor:
    """S for iid standard normal Aᵢ, (count, d(d+1)/2): the diagonal entries are N(0, 1), the others N(0, 2).

    An entry off the diagonal is A_jk + A_kj.
    """
    rows, columns = torch.triu_indices(dimension, dimension)
    scale = torch.where(rows == columns, 1, 2).double().sqrt()
    return torch.randn(count, len(scale), dtype=torch.float64, generator=generator).mul_(scale)


def draw_unit_columns(dimension: int, columns: int, generator: torch.Generator) -> Tensor:
    """A Gaussian d × columns matrix with each column scaled to unit norm."""
    matrix = torch.randn(dimension, columns, dtype=torch.float64, generator=generator)
    return matrix / matrix.norm(dim=0)


def stream(*key: object) -> torch.Generator:
    """A random stream of its own for each key, so that what is drawn for one depends on no other."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))

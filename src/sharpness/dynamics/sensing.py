"""Matrix sensing under every radial law, and its Hessian: the largest eigenvalue, and the trace in closed form."""

from collections.abc import Iterator

import torch
from torch import Tensor

from sharpness.dynamics.laws import advance
from sharpness.dynamics.matrix_sensing import MatrixSensing
from sharpness.dynamics.spectrum import largest_eigenvalue


def path(problem: MatrixSensing, points: Tensor, law: str, rho: float, rate: float, steps: int) -> Iterator[Tensor]:
    """The points of descents after each step, (..., d, k)."""
    for _ in range(steps):
        points = advance(lambda at: problem.loss_and_gradient(at)[1], points, law, rho, rate, _norm)
        yield points


def end_losses(
    problem: MatrixSensing, starts: Tensor, law: str, rho: float, rate: float, steps: int, largest: float
) -> Tensor:
    """The losses after some steps, (draws,), of descents from starts (draws, d, k); inf where they came to `largest`.

    What has diverged is not followed further.
    """
    losses = torch.full((len(starts),), float("inf"), dtype=starts.dtype)
    targets = problem.target.expand(len(starts), *problem.target.shape[-2:])
    alive, points, own = torch.arange(len(starts)), starts, problem
    for _ in range(steps):
        points = next(path(own, points, law, rho, rate, 1))
        kept = points.square().sum((-2, -1)) < largest**0.5  # a loss of c has entries of about √c in UUᵀ
        if not kept.all():
            alive, points = alive[kept], points[kept]
            own = MatrixSensing(problem.measurements, targets[alive])
            if not len(alive):
                return losses
    losses[alive] = own.loss_and_gradient(points)[0]
    return losses


def largest_hessian_eigenvalues(problem: MatrixSensing, points: Tensor, generator: torch.Generator) -> Tensor:
    """The largest eigenvalue of ∇²L at each of some points, (..., d, k) to (...), to a relative residual of 1e-4."""

    def product(vectors: Tensor) -> Tensor:
        return problem.hessian_product(points, vectors.view_as(points)).flatten(-2)

    start = torch.randn(points.shape, dtype=points.dtype, generator=generator)
    return largest_eigenvalue(product, start.flatten(-2), tolerance=1e-4)


class HessianTrace:
    """tr ∇²L(U) = (1/m) Σᵢ ‖SᵢU‖² + (2k/m) Σᵢ rᵢ tr Aᵢ with Sᵢ = Aᵢ + Aᵢᵀ, rᵢ = ⟨Aᵢ, UUᵀ − X*⟩ and U of k columns.

    Where the measurements are met the second part is 0, and the first is ⟨M, UUᵀ⟩ with M = (1/m) Σᵢ Sᵢ², which is near
    2(d + 1) times the identity: a flat solution is one of small nuclear norm.
    """

    def __init__(self, problem: MatrixSensing):
        self.problem = problem
        count, size = len(problem.measurements), problem.target.shape[-1]
        diagonal = torch.triu_indices(size, size)
        self.diagonal = torch.nonzero(diagonal[0] == diagonal[1]).squeeze(-1)
        self.square = torch.zeros(size, size, dtype=problem.target.dtype)
        for row in problem.measurements:
            upper = torch.zeros(size * size, dtype=row.dtype)
            upper[problem.triangle] = row
            whole = upper.view(size, size) + upper.view(size, size).T
            self.square += whole @ whole / count

    def __call__(self, points: Tensor) -> Tensor:
        residuals = self.problem.residuals(points @ points.mT - self.problem.target)
        traces = self.problem.measurements[:, self.diagonal].sum(-1)
        second = 2 * points.shape[-1] * (residuals * traces).mean(-1)
        return (self.square @ points * points).sum((-2, -1)) + second


def _norm(gradients: Tensor) -> Tensor:
    return torch.linalg.matrix_norm(gradients, keepdim=True)

"""Instruments for a symmetric matrix that is known by its products alone, such as a Hessian: its largest eigenvalue by
Lanczos, its trace by Hutchinson's estimator.
"""

from collections.abc import Callable

import torch
from torch import Tensor


class NotConverged(Exception):
    """The residual did not come below its tolerance."""


def largest_eigenvalue(
    product: Callable[[Tensor], Tensor], start: Tensor, tolerance: float = 1e-6, steps: int = 200
) -> Tensor:
    """The largest (not the largest in magnitude) eigenvalue of each of several symmetric matrices, in double precision.

    Lanczos with full reorthogonalisation, until ‖Hv − θv‖ ≤ tolerance·|θ| for the Ritz pair of each matrix: an
    eigenvalue then lies within that distance of θ, and in practice θ is much nearer, as its error is of the order of
    the residual's square.

    Args:
        product: v ↦ Hv for one vector for each matrix, (..., n) to (..., n).
        start: first vectors, (..., n); Gaussian ones have a part along every eigenvector.
        tolerance: of the relative residual.
        steps: the most that are taken; n are enough.

    Raises:
        NotConverged: a residual is above the tolerance after that many steps.
    """
    vector = start / start.norm(dim=-1, keepdim=True)
    basis, diagonal, beside = [vector], [], []
    for _ in range(min(steps, start.shape[-1])):
        image = product(basis[-1])
        diagonal.append((image * basis[-1]).sum(-1))
        span = torch.stack(basis, -1)
        for _ in range(2):  # once loses orthogonality to rounding
            image = image - (span @ (span.mT @ image.unsqueeze(-1))).squeeze(-1)
        beside.append(image.norm(dim=-1))
        off = torch.stack(beside[:-1], -1) if len(beside) > 1 else diagonal[0].new_zeros((*diagonal[0].shape, 0))
        small = torch.diag_embed(torch.stack(diagonal, -1)) + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
        values, vectors = torch.linalg.eigh(small)
        residual = beside[-1] * vectors[..., -1, -1].abs()
        scale = values.abs().amax(-1)
        if (residual <= tolerance * values[..., -1].abs()).all() or (beside[-1] <= 1e-13 * scale).all():
            return values[..., -1]
        # A matrix whose invariant subspace is exhausted stays where it is: its next vector is 0.
        alive = (beside[-1] > 1e-13 * scale).unsqueeze(-1)
        basis.append(torch.where(alive, image / beside[-1].clamp_min(1e-300).unsqueeze(-1), 0.0))
    if len(diagonal) == start.shape[-1]:
        return values[..., -1]
    raise NotConverged(f"relative residual {float((residual / values[..., -1].abs()).max()):.1e} after {steps} steps")


def trace(
    product: Callable[[Tensor], Tensor], size: int, probes: int, generator: torch.Generator
) -> tuple[float, float]:
    """The trace of a matrix of a size and the standard error of this estimate: the mean of vᵀHv over random signs v."""
    signs = torch.randint(0, 2, (probes, size), generator=generator).double() * 2 - 1
    forms = torch.stack([sign @ product(sign) for sign in signs])
    return float(forms.mean()), float(forms.std() / probes**0.5)

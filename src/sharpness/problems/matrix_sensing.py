"""Matrix sensing (the report's Section V and Appendix B): recover X* = U*U*ᵀ from m inner products with Gaussian A_i.

The loss of an iterate U is L(U) = (1/2m) Σᵢ ⟨Aᵢ, E⟩² with the error E = UUᵀ − X*, its gradient
(1/m) Σᵢ ⟨Aᵢ, E⟩ (Aᵢ + Aᵢᵀ) U. E is symmetric, so only Aᵢ + Aᵢᵀ matters: with its upper triangle (and Aᵢ's own diagonal)
as row i of a matrix S, the residuals ⟨Aᵢ, E⟩ are S times the upper triangle of E. One matrix product thus serves every
trajectory of a sweep, whatever its draw, method and radius.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import pandas as pd
import torch
from torch import Tensor

METHODS = ("gd", "sam", "usam")

# Draws that share their measurements. Over 100 sets of 20 draws at rho = 0.1 the set explained about 2 % at most of the
# variance of the log losses of steps 1 to 4, so the spread over draws is that of the targets and the starts. The report
# says so (workflow/report/report.md, on normalising the ascent step).
DRAWS_PER_BATCH = 20


@dataclass(frozen=True)
class Setting:
    """The problem and the descent; the defaults are what the report ran.

    Attributes:
        dimension: d, the side of X*.
        rank: r, the columns of U*.
        iterate_rank: columns of the iterate U: r as run, d (over-parametrised) as the report's text describes it.
        measurements: m.
        learning_rate: η.
        steps: descent steps.

    Raises:
        ValueError: a value is not positive.
    """

    dimension: int = 100
    rank: int = 5
    iterate_rank: int = 5
    measurements: int = 2500
    learning_rate: float = 0.5
    steps: int = 10

    def __post_init__(self):
        for name, value in asdict(self).items():
            if not value > 0:
                raise ValueError(f"{name} of a matrix sensing setting must be positive, not {value}")


@dataclass(frozen=True)
class Run:
    """A method at a radius: "sam" (ascent step ρ g/(‖g‖ + 1e-12)), "usam" (ρ g), or "gd" (no ascent step).

    Raises:
        ValueError: an unknown method, a radius that is negative or not finite, or gradient descent with a radius.
    """

    method: str
    rho: float = 0.0

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; choose one of {', '.join(METHODS)}")
        if not 0 <= self.rho < math.inf:
            raise ValueError(f"rho must be finite and not negative, not {self.rho}")
        if self.method == "gd" and self.rho != 0:
            raise ValueError(f"gradient descent has no ascent step: its rho is 0, not {self.rho}")


class Problem:
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
        residuals = error.flatten(-2).index_select(-1, self.triangle) @ self.measurements.T
        loss = residuals.square().sum(-1) / (2 * count)
        upper = torch.zeros_like(error).flatten(-2)
        upper = upper.index_copy_(-1, self.triangle, residuals @ self.measurements).view_as(error)
        return loss, (upper + upper.mT) @ iterates / count


def descend(problem: Problem, iterates: Tensor, runs: Sequence[Run], learning_rate: float, steps: int) -> Tensor:
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


def sweep(
    setting: Setting, runs: Sequence[Run], draws: int, *, seed: int = 0, device: torch.device | str = "cpu"
) -> pd.DataFrame:
    """The losses of every run over many draws, in double precision.

    A draw has a target that its runs share and a start for each run; DRAWS_PER_BATCH draws share their measurements.
    All of it depends on the seed, the draw's number and the run alone, never on what else is asked for. However many
    draws there are, the memory taken at the default setting is 101 MB for the measurements and 0.4 MB for each of the
    DRAWS_PER_BATCH · len(runs) trajectories of a batch.

    Args:
        runs: the methods and radii.
        draws: number of draws.
        seed: decides every draw.
        device: where the trajectories are computed; the draws come from the CPU, so that they are the same everywhere.

    Returns:
        One row for each run, draw (from 0) and step (from 1), in this order, with the columns method, rho, draw, step
        and loss: the loss before the step, inf or NaN where the trajectory has diverged.

    Raises:
        ValueError: no run or no draw is asked for.
    """
    if not runs or draws < 1:
        raise ValueError("a sweep needs at least one run and one draw")
    batches = [
        _sweep_batch(setting, runs, range(first, min(first + DRAWS_PER_BATCH, draws)), seed, device)
        for first in range(0, draws, DRAWS_PER_BATCH)
    ]
    losses = torch.cat(batches).transpose(0, 1)
    rows = [
        (run.method, float(run.rho), draw, step)
        for run in runs
        for draw in range(draws)
        for step in range(1, setting.steps + 1)
    ]
    return pd.DataFrame(rows, columns=["method", "rho", "draw", "step"]).assign(loss=losses.flatten().numpy())


def _sweep_batch(setting: Setting, runs: Sequence[Run], draws: range, seed: int, device: torch.device | str) -> Tensor:
    """The losses of draws that share their measurements, (draws, runs, steps), on the CPU."""
    measurements = _measurements(setting, _generator(seed, "measurements", draws.start))
    factors = [_unit_columns(setting, setting.rank, _generator(seed, "target", draw)) for draw in draws]
    starts = [
        _unit_columns(setting, setting.iterate_rank, _generator(seed, "start", draw, run.method, float(run.rho)))
        for draw in draws
        for run in runs
    ]
    factors = torch.stack(factors).unsqueeze(1).to(device)
    starts = torch.stack(starts).unflatten(0, (len(draws), len(runs))).to(device)
    problem = Problem(measurements.to(device), factors @ factors.mT)
    return descend(problem, starts, runs, setting.learning_rate, setting.steps).cpu()


def _measurements(setting: Setting, generator: torch.Generator) -> Tensor:
    """S for iid standard normal Aᵢ: its diagonal entries are N(0, 1), the others, A_jk + A_kj, N(0, 2)."""
    rows, columns = torch.triu_indices(setting.dimension, setting.dimension)
    scale = torch.where(rows == columns, 1, 2).double().sqrt()
    return torch.randn(setting.measurements, len(scale), dtype=torch.float64, generator=generator).mul_(scale)


def _unit_columns(setting: Setting, columns: int, generator: torch.Generator) -> Tensor:
    """A Gaussian d × columns matrix with each column scaled to unit norm."""
    matrix = torch.randn(setting.dimension, columns, dtype=torch.float64, generator=generator)
    return matrix / matrix.norm(dim=0)


def _generator(*key) -> torch.Generator:
    """A random stream of its own for each key, so that what is drawn for one depends on no other."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))

"""Matrix sensing over a grid of radii and step sizes: which draws diverge, and the loss at which the others end.

Beside them, for each draw, the largest Hessian eigenvalue at the start and at the solution U* that it was drawn with.
"""

from dataclasses import dataclass

import pandas as pd

from sharpness.dynamics.laws import LAWS, grid
from sharpness.settings import require, require_above_zero, require_each_of, require_not_negative

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1
JUDGED = ("loss", "error")

# Draws that share their measurements.
DRAWS_PER_BATCH = 25
# A descent whose loss comes to this has diverged, and is not followed further. The first one is about 5.
LARGEST_LOSS = 1e12


@dataclass(frozen=True)
class Settings:
    """The problem and the grid: laws × step sizes × radii × draws; gradient descent has one radius, 0.

    Attributes:
        dimension: d, the side of X*.
        rank: r, the columns of U* and of the iterate.
        measurements: m.
        laws: of sharpness.dynamics.laws.
        learning_rate: the step sizes η.
        rho: the radii.
        steps: descent steps.
        draws: of target and start, shared by every cell of the grid.
        seed: decides every draw.
        small_rho: theory takes ρ for small: the radii up to this one count as such.
        small_rate: and η well below the edge: ηλ up to this, λ being the largest eigenvalue at the solution.

    Raises:
        SettingError: a value is out of range.
    """

    dimension: int
    rank: int
    measurements: int
    laws: tuple[str, ...]
    learning_rate: tuple[float, ...]
    rho: tuple[float, ...]
    steps: int
    draws: int
    seed: int
    small_rho: float
    small_rate: float

    def __post_init__(self) -> None:
        require_above_zero(self, "dimension", "rank", "measurements", "steps", "draws")
        require_each_of(self, "laws", LAWS)
        require_above_zero(self, "learning_rate", "rho", "small_rho", "small_rate")
        require(self.rank <= self.dimension, f"rank is {self.rank}; it must be at most the dimension, {self.dimension}")
        require_not_negative(self, "seed")

    @property
    def entries(self) -> int:
        """The measurements, Lanczos's vectors for a batch of iterates, and the table."""
        square, cells = self.dimension**2, len(self.laws) * len(self.learning_rate) * len(self.rho)
        return (
            self.measurements * square // 2 + 200 * min(self.draws, DRAWS_PER_BATCH) * square + 10 * cells * self.draws
        )


def compute(settings: Settings) -> pd.DataFrame:
    """The end of every descent, in double precision.

    Returns:
        One row for each law, step size, radius and draw (from 0), in this order, with the columns law, learning_rate,
        rho, draw, loss (after the last step; inf: diverged), at_start and at_solution (largest Hessian eigenvalues),
        predicted (the quadratic's floor at the eigenvalue at the solution), error (relative) and assumed (1 where
        theory's assumptions hold).
    """
    import torch

    from sharpness.dynamics.quadratic import floor

    torch.set_num_threads(1)
    cells = grid(settings.laws, settings.learning_rate, settings.rho)
    frames = []
    for first in range(0, settings.draws, DRAWS_PER_BATCH):
        draws = range(first, min(first + DRAWS_PER_BATCH, settings.draws))
        frames += _compute_batch(settings, cells, draws)
    frame = pd.concat(frames).sort_values("cell", kind="stable", ignore_index=True).drop(columns="cell")
    cells = zip(frame["at_solution"], frame["law"], frame["rho"], frame["learning_rate"], strict=True)
    frame["predicted"] = [floor(*cell) for cell in cells]
    frame["error"] = (frame["loss"] / frame["predicted"] - 1).abs()
    small = frame["rho"].between(0, settings.small_rho, inclusive="right")
    frame["assumed"] = (small & (frame["learning_rate"] * frame["at_solution"] <= settings.small_rate)).astype(int)
    return frame


def summary(ends: pd.DataFrame) -> dict[str, float]:
    """The median over radii and draws of the loss at the end, by step size: for the report's text."""
    medians = ends.groupby("learning_rate")["loss"].median()
    return {f"{rate:g}": float(loss) for rate, loss in medians.items()}


def _compute_batch(settings: Settings, cells: list, draws: range) -> list[pd.DataFrame]:
    import torch

    from sharpness.dynamics.matrix_sensing import (
        MatrixSensing,
        draw_measurements,
        draw_unit_columns,
        stream,
    )
    from sharpness.dynamics.sensing import end_losses, largest_hessian_eigenvalues

    seed, dimension, rank = settings.seed, settings.dimension, settings.rank
    measured = draw_measurements(settings.measurements, dimension, stream(seed, "measurements", draws.start))
    factors = torch.stack([draw_unit_columns(dimension, rank, stream(seed, "target", draw)) for draw in draws])
    starts = torch.stack([draw_unit_columns(dimension, rank, stream(seed, "start", draw)) for draw in draws])
    problem = MatrixSensing(measured, factors @ factors.mT)
    eigenvalues = {
        name: largest_hessian_eigenvalues(problem, points, stream(seed, "lanczos", draws.start)).tolist()
        for name, points in (("at_start", starts), ("at_solution", factors))
    }
    frames = []
    for index, (law, rate, rho) in enumerate(cells):
        losses = end_losses(problem, starts, law, rho, rate, settings.steps, LARGEST_LOSS)
        cell = {"cell": index, "law": law, "learning_rate": rate, "rho": rho, "draw": list(draws)}
        frames.append(pd.DataFrame(cell | {"loss": losses.tolist()} | eigenvalues))
    return frames

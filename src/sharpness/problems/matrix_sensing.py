"""Matrix sensing by GD, SAM and USAM over many draws (the original's Section V and Appendix B)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from sharpness.settings import require, require_above_zero, require_each_of, require_not_negative

if TYPE_CHECKING:
    import torch

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1

METHODS = ("gd", "sam", "usam")

# Draws that share their measurements. Over 100 sets of 20 draws at rho = 0.1 the set explained about 2 % at most of the
# variance of the log losses of steps 1 to 4, so the spread over draws is that of the targets and the starts. The report
# says so (workflow/report/sections/normalisation.md).
DRAWS_PER_BATCH = 20


@dataclass(frozen=True)
class Settings:
    """The problem, the descent, and the trajectories: methods × radii × draws.

    Attributes:
        dimension: d, the side of X*.
        rank: r, the columns of U*.
        iterate_rank: columns of the iterate U: r as run, d (over-parametrised) as the original's text describes it.
        measurements: m.
        learning_rate: η.
        steps: descent steps.
        methods: of METHODS; gradient descent has no radius and is run once.
        rho: the radii of the others.
        draws: of target and start, for each method and radius.
        seed: decides every draw.

    Raises:
        SettingError: a value is out of range.
    """

    dimension: int
    rank: int
    iterate_rank: int
    measurements: int
    learning_rate: float
    steps: int
    methods: tuple[str, ...]
    rho: tuple[float, ...]
    draws: int
    seed: int

    def __post_init__(self) -> None:
        require_above_zero(self, "dimension", "rank", "iterate_rank", "measurements", "learning_rate", "steps", "draws")
        require_each_of(self, "methods", METHODS)
        for rho in self.rho:
            require(0 <= rho < math.inf, f"rho has {rho:g}; a radius is finite and at least 0")
        for name in ("rank", "iterate_rank"):
            least = f"{name} is {getattr(self, name)}; it must be at most the dimension, {self.dimension}"
            require(getattr(self, name) <= self.dimension, least)
        require_not_negative(self, "seed")

    @property
    def entries(self) -> int:
        """The measurements, a batch of iterates with what a step makes of them, and the table."""
        square, runs = self.dimension**2, len(self.methods) * len(self.rho)
        measured = self.measurements * square // 2
        return measured + 6 * min(self.draws, DRAWS_PER_BATCH) * runs * square + 8 * runs * self.draws * self.steps


def compute(settings: Settings, device: "torch.device | str" = "cpu") -> pd.DataFrame:
    """The losses of every method and radius over the draws, in double precision.

    A draw has a target that all methods and radii share and a start for each of them; DRAWS_PER_BATCH draws share their
    measurements. All of it depends on the seed, the draw's number, the method and the radius alone, never on what else
    is asked for. However many draws there are, the memory taken at the study's setting is 101 MB for the measurements
    and 0.4 MB for each trajectory of a batch.

    Args:
        settings: what is computed.
        device: where; the draws come from the CPU, so that they are the same everywhere.

    Returns:
        One row for each method, radius, draw (from 0) and step (from 1), in this order, with the columns method, rho,
        draw, step and loss: the loss before the step, inf or NaN where the trajectory has diverged.
    """
    import torch

    from sharpness.dynamics.matrix_sensing import Run

    torch.set_num_threads(1)
    runs = [Run(method, rho if method != "gd" else 0.0) for method in settings.methods for rho in settings.rho]
    runs = list(dict.fromkeys(runs))
    batches = [
        _compute_batch(settings, runs, range(first, min(first + DRAWS_PER_BATCH, settings.draws)), device)
        for first in range(0, settings.draws, DRAWS_PER_BATCH)
    ]
    losses = torch.cat(batches).transpose(0, 1)
    rows = [
        (run.method, run.rho, draw, step)
        for run in runs
        for draw in range(settings.draws)
        for step in range(1, settings.steps + 1)
    ]
    return pd.DataFrame(rows, columns=["method", "rho", "draw", "step"]).assign(loss=losses.flatten().numpy())


def _compute_batch(settings: Settings, runs: list, draws: range, device: "torch.device | str") -> "torch.Tensor":
    """The losses of draws that share their measurements, (draws, runs, steps), on the CPU."""
    import torch

    from sharpness.dynamics.matrix_sensing import (
        MatrixSensing,
        descend,
        draw_measurements,
        draw_unit_columns,
        stream,
    )

    seed, dimension = settings.seed, settings.dimension
    measured = draw_measurements(settings.measurements, dimension, stream(seed, "measurements", draws.start))
    factors = [draw_unit_columns(dimension, settings.rank, stream(seed, "target", draw)) for draw in draws]
    starts = [
        draw_unit_columns(dimension, settings.iterate_rank, stream(seed, "start", draw, run.method, run.rho))
        for draw in draws
        for run in runs
    ]
    factors = torch.stack(factors).unsqueeze(1).to(device)
    starts = torch.stack(starts).unflatten(0, (len(draws), len(runs))).to(device)
    problem = MatrixSensing(measured.to(device), factors @ factors.mT)
    return descend(problem, starts, runs, settings.learning_rate, settings.steps).cpu()

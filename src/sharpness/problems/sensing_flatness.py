"""Over-parametrised matrix sensing, U ∈ R^{d×d}: the trace of the Hessian and the distance to X* along the way.

More matrices meet the measurements than X*. The flattest U among them, by the trace of the Hessian, has UUᵀ = X* if
there are enough measurements (Ding, Drusvyatskiy, Fazel and Harchaoui 2022): a descent that seeks flatness recovers X*.
"""

from dataclasses import dataclass

import pandas as pd

from sharpness.dynamics.laws import LAWS, grid
from sharpness.settings import require, require_above_zero, require_each_of, require_not_negative

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1


@dataclass(frozen=True)
class Settings:
    """The problem and the descents: laws × radii × scales of the start × draws.

    Attributes:
        dimension: d, the side of X* and of the iterate.
        rank: r, the columns of U*.
        measurements: m.
        learning_rate: η.
        laws: of sharpness.dynamics.laws.
        rho: the radii; gradient descent has one, 0.
        scale: of the start, a Gaussian d × d matrix with columns of this length.
        steps: descent steps.
        every: of them the points that are recorded.
        draws: of measurements, target and start.
        seed: decides every draw.

    Raises:
        SettingError: a value is out of range.
    """

    dimension: int
    rank: int
    measurements: int
    learning_rate: float
    laws: tuple[str, ...]
    rho: tuple[float, ...]
    scale: tuple[float, ...]
    steps: int
    every: int
    draws: int
    seed: int

    def __post_init__(self) -> None:
        require_above_zero(
            self, "dimension", "rank", "measurements", "learning_rate", "steps", "every", "draws", "rho", "scale"
        )
        require_each_of(self, "laws", LAWS)
        require(self.steps % self.every == 0, f"every is {self.every}; give a divisor of steps, {self.steps}")
        require(self.rank <= self.dimension, f"rank is {self.rank}; it must be at most the dimension, {self.dimension}")
        require_not_negative(self, "seed")

    @property
    def entries(self) -> int:
        """The measurements, the points of a path, and the table."""
        square, paths = self.dimension**2, len(self.laws) * len(self.rho) * len(self.scale) * self.draws
        table = 9 * paths * (self.steps // self.every + 1)
        return self.measurements * square // 2 + len(self.scale) * (self.steps + 6) * square + table


def compute(settings: Settings) -> pd.DataFrame:
    """The descents in double precision.

    Returns:
        One row for each law, radius, scale, draw (from 0) and recorded step (from 0), with the columns law, rho, scale,
        draw, step, loss, distance (‖UUᵀ − X*‖ / ‖X*‖), trace (of the Hessian), flattest (the trace where UUᵀ = X*).
    """
    import torch
    from torch.linalg import matrix_norm as norm

    from sharpness.dynamics.matrix_sensing import MatrixSensing, draw_measurements, draw_unit_columns, stream
    from sharpness.dynamics.sensing import HessianTrace, path

    torch.set_num_threads(1)
    seed, size = settings.seed, settings.dimension
    rows = []
    for draw in range(settings.draws):
        measured = draw_measurements(settings.measurements, size, stream(seed, "measurements", draw))
        factor = draw_unit_columns(size, settings.rank, stream(seed, "target", draw))
        start = draw_unit_columns(size, size, stream(seed, "start", draw))
        starts = torch.tensor(settings.scale, dtype=torch.float64)[:, None, None] * start
        problem = MatrixSensing(measured, factor @ factor.mT)
        trace = HessianTrace(problem)
        flattest = float(trace(factor))
        for law, rate, rho in grid(settings.laws, [settings.learning_rate], settings.rho):
            points = [starts, *path(problem, starts, law, rho, rate, settings.steps)]
            for step in range(0, settings.steps + 1, settings.every):
                at = points[step]
                loss = problem.loss_and_gradient(at)[0]
                distance = norm(at @ at.mT - problem.target) / norm(problem.target)
                values = zip(settings.scale, loss.tolist(), distance.tolist(), trace(at).tolist(), strict=True)
                rows += [(law, rho, scale, draw, step, *value, flattest) for scale, *value in values]
    columns = ["law", "rho", "scale", "draw", "step", "loss", "distance", "trace", "flattest"]
    order = ["law", "rho", "scale", "draw", "step"]
    frame = pd.DataFrame(rows, columns=columns)
    rank = {law: index for index, law in enumerate(settings.laws)}
    return frame.sort_values(order, key=lambda c: c.map(rank) if c.name == "law" else c, ignore_index=True)

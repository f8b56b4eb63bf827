"""The single neuron over radii and step sizes: the sharpness y² at which each law ends, beside what theory says."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.dynamics.laws import LAWS
from sharpness.dynamics.neuron import SLOPES, ascent, descend, drifted, settled
from sharpness.settings import require_above_zero, require_each_of, require_not_negative, require_range

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1
JUDGED = ("sharpness", "error")
PREDICTED = ("gd", "usam", "sam")


@dataclass(frozen=True)
class Settings:
    """The descents: losses × laws × step sizes × radii × starts.

    Attributes:
        losses: of sharpness.dynamics.neuron.
        laws: of sharpness.dynamics.laws.
        learning_rate: the step sizes η.
        ratio: the radii in units of η, as what theory says of ηy² depends on ρ/η alone.
        steps: descent steps.
        starts: how many for each cell.
        x0: range from which x₀ is drawn uniformly.
        gamma: range from which η (y₀² − x₀²) is drawn uniformly; it gives y₀ > 0.
        seed: decides the starts, which the cells share.
        small_rate: theory takes η for small: the step sizes up to this one count as such.
        small_ascent: and takes ℓ for a parabola as far as SAM's ascent step reaches into it: up to this.
        settled: a descent has ended if |x|y is below this; SAM's does not end, but drifts.

    Raises:
        SettingError: a value is out of range.
    """

    losses: tuple[str, ...]
    laws: tuple[str, ...]
    learning_rate: tuple[float, ...]
    ratio: tuple[float, ...]
    steps: int
    starts: int
    x0: tuple[float, float]
    gamma: tuple[float, float]
    seed: int
    small_rate: float
    small_ascent: float
    settled: float

    def __post_init__(self) -> None:
        require_each_of(self, "losses", SLOPES)
        require_each_of(self, "laws", LAWS)
        require_above_zero(self, "learning_rate", "ratio", "steps", "starts", "small_rate", "small_ascent", "settled")
        require_range(self, "x0", "gamma")
        require_not_negative(self, "seed")

    @property
    def entries(self) -> int:
        """The table."""
        cells = len(self.losses) * len(self.laws) * len(self.learning_rate) * len(self.ratio)
        return 20 * cells * self.starts


def compute(settings: Settings) -> pd.DataFrame:
    """The ends of the descents, in double precision.

    Returns:
        One row for each loss, law, step size, radius and start (from 0), in this order, with the columns loss, law,
        learning_rate, rho, ratio (ρ/η), start, gamma (η (y₀² − x₀²)), across (|x|y at the end), sharpness (y² there,
        inf: diverged), predicted, error (relative) and assumed (1 where theory's assumptions hold). Only gradient
        descent, USAM and SAM have a prediction.
    """
    generator = np.random.default_rng(settings.seed)
    x0 = generator.uniform(*settings.x0, settings.starts)
    gamma = generator.uniform(*settings.gamma, settings.starts)
    rate = np.array(settings.learning_rate)[:, None, None]
    ratio = np.array(settings.ratio)[None, :, None]
    rho, shape = ratio * rate, (len(settings.learning_rate), len(settings.ratio), settings.starts)
    points = np.stack([np.broadcast_to(x0, shape), np.broadcast_to(np.sqrt(x0**2 + gamma / rate), shape)], -1)
    frames = []
    for loss in settings.losses:
        for law in settings.laws:
            ends = descend(loss, law, points, rho[..., None], rate[..., None], settings.steps)
            values = {"learning_rate": rate, "rho": rho, "ratio": ratio, "start": np.arange(settings.starts)}
            values |= {"gamma": gamma, "across": np.abs(ends.prod(-1)), "sharpness": ends[..., 1] ** 2}
            values |= _theory(settings, law, gamma / rate, rho, rate, values["across"])
            values["error"] = np.abs(values["sharpness"] / values["predicted"] - 1)
            columns = {name: np.broadcast_to(value, shape).flatten() for name, value in values.items()}
            frames.append(pd.DataFrame({"loss": loss, "law": law, **columns}))
    return pd.concat(frames, ignore_index=True)


def _theory(
    settings: Settings, law: str, start: np.ndarray, rho: np.ndarray, rate: np.ndarray, across: np.ndarray
) -> dict:
    small = rate <= settings.small_rate
    if law == "sam":
        reach = ascent(np.minimum(start, 2 / rate * (1 - 1e-9)), rho, rate)
        assumed = small & (reach <= settings.small_ascent)
        return {"predicted": drifted(start, rho, rate, settings.steps), "assumed": assumed.astype(int)}
    if law in ("gd", "usam"):
        assumed = small & (across < settings.settled)
        return {"predicted": settled(start, rho if law == "usam" else 0 * rho, rate), "assumed": assumed.astype(int)}
    return {"predicted": np.nan, "assumed": 0}

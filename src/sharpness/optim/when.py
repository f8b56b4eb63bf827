"""When SAM ascends: a function of the step's number that gives the factor on the radius, 0 for a plain step."""

import math
from collections.abc import Callable
from dataclasses import dataclass

When = Callable[[int], float]


@dataclass(frozen=True)
class Every:
    """Ascend in every k-th step, the first time in step k; the others are plain.

    Attributes:
        k: at least 1.
        scale: factor on the radius of the steps that ascend.
    """

    k: int
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k: every {self.k} steps is no interval; it must be at least 1")
        _check_scale(self.scale)

    def __call__(self, step: int) -> float:
        return self.scale if (step + 1) % self.k == 0 else 0.0


@dataclass(frozen=True)
class Last:
    """Ascend in the last part of training alone (late phase: Zhou et al. 2025).

    Attributes:
        fraction: of the steps, in [0, 1].
        total: number of steps of the whole training.
    """

    fraction: float
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction: {self.fraction} is no part of the training; it must lie in [0, 1]")

    def __call__(self, step: int) -> float:
        return 1.0 if step >= self.total - round(self.fraction * self.total) else 0.0


@dataclass(frozen=True)
class After:
    """Ascend after a warm start of plain steps.

    Attributes:
        steps: number of plain steps.
        ramp: number of steps over which the radius then grows evenly to its full length.
    """

    steps: int
    ramp: int = 0

    def __post_init__(self) -> None:
        if self.ramp < 0:
            raise ValueError(f"ramp: {self.ramp} steps are none; it must be at least 0")

    def __call__(self, step: int) -> float:
        if step < self.steps:
            return 0.0
        return min(1.0, (step - self.steps + 1) / (self.ramp + 1))


def radius_factor(when: When | None, step: int) -> float:
    """The factor on the radius in a step.

    Args:
        when: None for SAM in every step.
        step: number of the step, from 0.

    Raises:
        ValueError: It is negative or not finite.
    """
    if when is None:
        return 1.0
    factor = when(step)
    _check_scale(factor)
    return factor


def _check_scale(factor: float) -> None:
    if not 0 <= factor < math.inf:
        raise ValueError(f"when: the factor on the radius is {factor}; it must be at least 0 and finite")

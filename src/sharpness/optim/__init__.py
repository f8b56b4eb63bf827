"""Sharpness-Aware Minimization: the ascent step, the optimizer around it, and BatchNorm in the second pass."""

from sharpness.optim.ascent import ascent_step
from sharpness.optim.batch_norm import frozen_statistics
from sharpness.optim.sam import SAM

__all__ = ["SAM", "ascent_step", "frozen_statistics"]

"""Sharpness-Aware Minimization: the ascent step, the optimizer around it, and what its second pass needs."""

from sharpness.optim.ascent import ascent_step
from sharpness.optim.batch_norm import frozen_statistics
from sharpness.optim.diagnosis import diagnose
from sharpness.optim.groups import normalization_layers
from sharpness.optim.presets import preset, presets
from sharpness.optim.randomness import same_randomness
from sharpness.optim.sam import SAM
from sharpness.optim.when import After, Every, Last

__all__ = [
    "SAM",
    "After",
    "Every",
    "Last",
    "ascent_step",
    "diagnose",
    "frozen_statistics",
    "normalization_layers",
    "preset",
    "presets",
    "same_randomness",
]

"""The reproducible evidence base for Sharpness-Aware Minimization.

``from sharpness import SAM`` and the like need torch alone; `import sharpness` does not import even that.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sharpness.optim import SAM as SAM
    from sharpness.optim import After as After
    from sharpness.optim import Every as Every
    from sharpness.optim import Last as Last
    from sharpness.optim import ascent_step as ascent_step
    from sharpness.optim import diagnose as diagnose
    from sharpness.optim import frozen_statistics as frozen_statistics
    from sharpness.optim import normalization_layers as normalization_layers
    from sharpness.optim import preset as preset
    from sharpness.optim import presets as presets
    from sharpness.optim import same_randomness as same_randomness

__version__ = "0.1.0"

_OPTIM = (
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
)


def __getattr__(name: str) -> Any:
    """The optimizer's names, on first use: the pipeline's processes that train nothing start without torch."""
    if name not in _OPTIM:
        raise AttributeError(f"module 'sharpness' has no attribute {name!r}")
    return getattr(import_module("sharpness.optim"), name)


def __dir__() -> list[str]:
    return [*globals(), *_OPTIM]

"""The methods of the literature by name, as arguments of `sharpness.SAM`."""

import math
from typing import Unpack

from sharpness.optim.groups import Settings

_PRESETS: dict[str, Settings] = {
    # Foret et al. 2021.
    "sam": {"rho": 0.05},
    # Kwon et al. 2021, with the defaults of their code.
    "asam": {"rho": 0.5, "geometry": "absolute-weights", "eta": 0.01},
    # As the report ran it: every parameter, without η.
    "asam-as-run": {"rho": 2.0, "geometry": "absolute"},
    # Andriushchenko & Flammarion 2022.
    "usam": {"rho": 0.05, "normalization": "none"},
    # The maximiser over the L∞ ball; moves every weight by ρ.
    "linf": {"rho": 0.0005, "p": math.inf},
    # What the report ran as L∞.
    "linf-as-run": {"rho": 0.05, "normalization": "max"},
    # The maximiser over the L1 ball; moves the largest coordinate of the gradient alone.
    "l1": {"rho": 0.05, "p": 1.0},
    # Kim et al. 2022.
    "fisher": {"rho": 0.1, "geometry": "fisher", "eta": 1.0},
    # Müller et al. 2023: normalisation layers alone, which their code finds by these names; its default ρ.
    "sam-on": {"rho": 0.5, "perturb": ("*norm*", "*bn*")},
}


def presets() -> dict[str, Settings]:
    """Every preset's name with the arguments of `sharpness.SAM` that it stands for."""
    return {name: settings.copy() for name, settings in _PRESETS.items()}


def preset(name: str, **changes: Unpack[Settings]) -> Settings:
    """A preset's arguments: ``SAM(model.named_parameters(), torch.optim.SGD, **preset("asam", rho=1.0), lr=0.1)``.

    Args:
        name: one of `presets()`.
        **changes: arguments that replace the preset's own.

    Raises:
        ValueError: There is no such preset.
    """
    if name not in _PRESETS:
        raise ValueError(f"preset: unknown {name!r}; choose one of {', '.join(_PRESETS)}")
    return {**_PRESETS[name], **changes}

"""The diagonal geometries T of the ball: a module each, of the geometry's name with "_" for "-".

Each has FORMULA, what T is, in LaTeX (empty for T = 1); HAS_ETA, whether it has the constant η; and

    diagonal(weights, gradients, eta, adapted) -> (rows, T)

for lists of tensors in one dtype: the rows of the lists where T is not 1, and T there, up to signs, which cancel in
the step. `adapted` has a flag for each tensor where the geometry is "absolute-weights", and is None elsewhere.
"""

import functools
import importlib
import pkgutil
from typing import Any


@functools.cache
def geometry_names() -> tuple[str, ...]:
    """The geometries on offer."""
    return tuple(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


@functools.cache
def geometry_of(name: str) -> Any:
    """The module of a geometry that is on offer."""
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")

r"""Radial laws: how far the ascent step goes along the gradient, ε = ρ h(‖Tg‖₂) T²g, a line for each h by its name.

    "dual"           1/n                 SAM: ε has the length ρ, however small or large the gradient is
    "interpolation"  (1 + 1/n)/2         half way between USAM and SAM (λ = ½ in 1 − λ + λ/n)
    "monge"          1/(n √(1 + n²))     length ρ near a minimum, none far from it: Monge SAM
    "damped"         1/√(1 + n²)         none near a minimum, length ρ far from it

USAM, "none", has h = 1 and takes no norm. What these do to a descent is measured in Part II of the report; there,
`sharpness.dynamics.laws` has the same table for numbers and arrays.
"""

from collections.abc import Callable
from typing import Any

# Added to the norm that divides the gradient, so that a zero gradient gives a zero perturbation.
NORM_FLOOR = 1e-12

LAWS: dict[str, Callable[[Any], Any]] = {  # of a float, or of a 0-dim tensor
    "dual": lambda n: 1.0 / (n + NORM_FLOOR),
    "interpolation": lambda n: 0.5 + 0.5 / (n + NORM_FLOOR),
    "monge": lambda n: 1.0 / ((n + NORM_FLOOR) * (1.0 + n * n) ** 0.5),
    "damped": lambda n: 1.0 / (1.0 + n * n) ** 0.5,
}

# Those that have a meaning for p = 2 alone, with h as the report prints it, where N stands for the norm.
FORMULAS = {
    "interpolation": r"\tfrac{1}{2}\left(1 + 1/N\right)",
    "monge": r"\frac{1}{N\sqrt{1 + N^2}}",
    "damped": r"\frac{1}{\sqrt{1 + N^2}}",
}

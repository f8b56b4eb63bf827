"""T² = 1/(1 + η g²): Fisher SAM (Kim et al. 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor

FORMULA = r"T^2 = 1/(1 + \eta\, g^2)"
HAS_ETA = True


def diagonal(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], eta: float, adapted: Sequence[bool] | None
) -> tuple[Sequence[int], Sequence[Tensor]]:
    information = torch._foreach_mul(list(gradients), list(gradients))
    if eta != 1.0:
        torch._foreach_mul_(information, eta)
    torch._foreach_add_(information, 1.0)
    torch._foreach_sqrt_(information)
    torch._foreach_reciprocal_(information)
    return range(len(gradients)), information

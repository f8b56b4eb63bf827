"""T = |w| + η on the flagged tensors, 1 on the others: ASAM as its authors define it (Kwon et al. 2021)."""

from collections.abc import Sequence

import torch
from torch import Tensor

FORMULA = r"T = \left\lvert w\right\rvert + \eta \text{ on weights, } 1 \text{ elsewhere}"
HAS_ETA = True


def diagonal(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], eta: float, adapted: Sequence[bool] | None
) -> tuple[Sequence[int], Sequence[Tensor]]:
    assert adapted is not None
    rows = [row for row, flag in enumerate(adapted) if flag]
    if not rows:
        return (), ()
    sizes = torch._foreach_abs([weights[row] for row in rows])
    torch._foreach_add_(sizes, eta)
    return rows, sizes

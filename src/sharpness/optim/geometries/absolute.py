"""T = |w| on every tensor, without η: ASAM as the report ran it."""

from collections.abc import Sequence

from torch import Tensor

FORMULA = r"T = \left\lvert w\right\rvert"
HAS_ETA = False


def diagonal(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], eta: float, adapted: Sequence[bool] | None
) -> tuple[Sequence[int], Sequence[Tensor]]:
    return range(len(weights)), weights

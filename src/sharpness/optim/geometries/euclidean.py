"""T = 1: the ball of SAM (Foret et al. 2021)."""

from collections.abc import Sequence

from torch import Tensor

FORMULA = ""
HAS_ETA = False


def diagonal(
    weights: Sequence[Tensor], gradients: Sequence[Tensor], eta: float, adapted: Sequence[bool] | None
) -> tuple[Sequence[int], Sequence[Tensor]]:
    return (), ()

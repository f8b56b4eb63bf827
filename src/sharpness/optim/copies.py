"""The weights' copies, from which they come back bit for bit."""

from collections.abc import Iterable

import torch
from torch import Tensor

from sharpness.optim.groups import Move


class Copies:
    """Copies of the weights that an ascent step moves: one a weight, made once and kept between steps."""

    def __init__(self) -> None:
        self._of: dict[Tensor, Tensor] = {}
        self._held: tuple[list[Tensor], list[Tensor]] | None = None  # weights at w + ε, and their copies

    @property
    def held(self) -> bool:
        """Whether the weights are at w + ε, or on their way."""
        return self._held is not None

    def take(self, moves: Iterable[Move]) -> None:
        """Copy the weights that are about to move.

        Raises:
            RuntimeError: Inference mode is on; copies made in it could not be written again outside.
        """
        if torch.is_inference_mode_enabled():
            raise RuntimeError("first_step: inference mode has no second gradient; step outside it")
        weights, copies = [], []
        for move in moves:
            for parameter, weight in zip(move.parameters, move.weights, strict=True):
                copy = self._of.get(parameter)
                if copy is None or not _alike(copy, weight):
                    copy = self._of[parameter] = torch.empty_like(weight)
                weights.append(weight)
                copies.append(copy)
        torch._foreach_copy_(copies, weights)
        self._held = weights, copies

    def put_back(self) -> None:
        """Put the weights back where they were; there must be some."""
        assert self._held is not None
        weights, copies = self._held
        torch._foreach_copy_(weights, copies)
        self._held = None


def _alike(copy: Tensor, weight: Tensor) -> bool:
    return copy.shape == weight.shape and copy.dtype is weight.dtype and copy.device == weight.device

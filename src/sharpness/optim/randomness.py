"""The same random numbers in both passes of a step."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor


@contextmanager
def same_randomness(device: torch.device | str = "cpu") -> Iterator[AbstractContextManager[None]]:
    """Let a second pass draw what the first one drew, such as dropout's masks.

    ::

        with same_randomness(device) as again:
            loss_of(model, batch).backward()
        optimizer.first_step(zero_grad=True)
        with again:
            loss_of(model, batch).backward()
        optimizer.second_step(zero_grad=True)

    The generators go on from where the first pass left them, as if there had been no second one.

    Args:
        device: whose generator is meant, beside the CPU's.

    Yields:
        A context that starts from the same random state again; it may be entered several times.
    """
    yield _Again(torch.device(device))


class _Again(AbstractContextManager[None]):
    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._first = self._states()
        self._outside: list[list[Tensor]] = []  # by each entry that has not been left

    def __enter__(self) -> None:
        self._outside.append(self._states())
        self._set(self._first)

    def __exit__(self, *exception: object) -> None:
        self._set(self._outside.pop())

    def _states(self) -> list[Tensor]:
        states: list[Tensor] = [torch.get_rng_state()]
        if self._device.type != "cpu":
            states.append(torch.get_device_module(self._device).get_rng_state(self._device))
        return states

    def _set(self, states: list[Tensor]) -> None:
        torch.set_rng_state(states[0])
        if self._device.type != "cpu":
            torch.get_device_module(self._device).set_rng_state(states[1], self._device)

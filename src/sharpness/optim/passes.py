"""The forward passes of a model within a SAM step, watched for what the two passes must have in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.hooks import RemovableHandle

from sharpness.optim.batch_norm import frozen_statistics
from sharpness.optim.randomness import same_randomness

# A part of the ascent gradient counts as weight decay if it is so large and points so exactly along the weights.
LEAST_SHARE = 1e-4
LEAST_COSINE = 0.99


@dataclass
class _Call:
    """One forward pass: what it was called with, and the gradients of the loss by its outputs."""

    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    inputs: list[Tensor]
    again: Any
    gradients: dict[int, Tensor] = field(default_factory=dict)


class Passes:
    """A model's forward passes since the last update.

    Args:
        model: that is watched between `watch` and `leave`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[RemovableHandle] = []
        self._first: list[_Call] = []
        self._second: list[_Call] = []
        self._calls = self._first
        self._statistics: list[Tensor] = []
        self._repeating = False

    def watch(self) -> None:
        """Watch the model from now on."""
        before = self._model.register_forward_pre_hook(self._before_forward, with_kwargs=True)
        self._handles = [before, self._model.register_forward_hook(self._after_forward)]
        self.start()

    def leave(self) -> None:
        """Watch it no more."""
        for handle in self._handles:
            handle.remove()
        self._first, self._second = [], []

    def start(self) -> None:
        """A step begins: what follows is its first pass."""
        self._first, self._second = [], []
        self._calls = self._first

    def turn(self) -> None:
        """The weights are at w + ε: what follows is the second pass."""
        self._calls = self._second
        self._statistics = [buffer.clone() for buffer in self._running()]

    def faults(self) -> Iterator[str]:
        """What the second pass, which is over, has done wrong, one line each."""
        if any(not torch.equal(now, was) for now, was in zip(self._running(), self._statistics, strict=True)):
            yield (
                "BatchNorm statistics moved twice: the second pass has fed those of the perturbed network into them; "
                "run it under frozen_statistics(model)"
            )
        inputs = [[call.inputs for call in calls] for calls in (self._first, self._second)]
        if all(inputs) and not _equal(*inputs):
            yield "another batch: the second pass has seen other inputs than the first; give it the same ones"

    def decay_in(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> float:
        """The factor λ of a term λw in the gradients that does not come through the model's outputs; 0 if none.

        The first pass is repeated for it.

        Args:
            weights: parameters of the model.
            gradients: of theirs, from the first pass.
        """
        of_data = [torch.zeros_like(gradient) for gradient in gradients]
        for call in self._first:
            if not call.gradients:
                return 0.0
            for total, own in zip(of_data, self._repeat(call, weights), strict=True):
                if own is not None:
                    total += own
        along, lengths = 0.0, 0.0
        for weight, gradient, own in zip(weights, gradients, of_data, strict=True):
            rest, w = (gradient - own).double().flatten(), weight.detach().double().flatten()
            product = (rest @ w).item()
            if (
                self._first
                and rest.norm() > LEAST_SHARE * gradient.norm()
                and product > LEAST_COSINE * (rest.norm() * w.norm()).item()
                and w.numel() > 1
            ):
                along += product
                lengths += (w @ w).item()
        return along / lengths if lengths else 0.0

    def _repeat(self, call: _Call, weights: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
        """The gradients of a forward pass by the weights, for the gradients by its outputs that are known."""
        self._repeating = True
        try:
            with torch.enable_grad(), frozen_statistics(self._model), call.again:
                outputs = _tensors(self._model(*call.arguments, **call.keywords))
        finally:
            self._repeating = False
        known = [(outputs[index], gradient) for index, gradient in call.gradients.items()]
        return torch.autograd.grad(
            [output for output, _ in known],
            list(weights),
            [gradient.to(output.dtype) for output, gradient in known],
            allow_unused=True,
        )

    def _before_forward(self, _: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        if self._repeating or not torch.is_grad_enabled():
            return
        device = next(self._model.parameters()).device
        with same_randomness(device) as again:
            pass
        inputs = [tensor.detach().clone() for tensor in _tensors((arguments, keywords))]
        self._calls.append(_Call(arguments, keywords, inputs, again))

    def _after_forward(self, _: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if self._repeating or not torch.is_grad_enabled():
            return
        call = self._calls[-1]
        for index, tensor in enumerate(_tensors(output)):
            if tensor.requires_grad:

                def keep(gradient: Tensor, index: int = index) -> None:
                    call.gradients[index] = gradient.detach()

                tensor.register_hook(keep)  # type: ignore[no-untyped-call]

    def _running(self) -> Iterator[Tensor]:
        for layer in self._model.modules():
            if isinstance(layer, _BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
                yield layer.running_mean
                yield layer.running_var


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _equal(first: list[list[Tensor]], second: list[list[Tensor]]) -> bool:
    flat = [[tensor for inputs in calls for tensor in inputs] for calls in (first, second)]
    return len(flat[0]) == len(flat[1]) and all(torch.equal(*pair) for pair in zip(*flat, strict=True))

"""Does it help? What each SAM step of a training loop did, and warnings of the known ways in which SAM fails."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from statistics import median
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sharpness.optim.base import settle
from sharpness.optim.groups import moves_of
from sharpness.optim.passes import Passes
from sharpness.optim.sam import SAM
from sharpness.optim.when import radius_factor

# A perturbation of which less arrives in the weights is lost to rounding.
LEAST_ARRIVED = 0.5
# A second gradient that is smaller than this share of the first has vanished.
LEAST_GRADIENT = 0.01


@dataclass(frozen=True)
class StepRecord:
    """What one SAM step did, over the parameters that it perturbed.

    Attributes:
        epsilon: ‖ε‖₂ as the weights moved.
        arrived: ⟨moved, ε⟩ / ‖ε‖², the share of ε that the weights' precision has kept.
        gradient: ‖g(w)‖₂.
        perturbed_gradient: ‖g(w + ε)‖₂, as the base optimizer got it.
        cosine: between the two gradients.
        first_order: ⟨g, ε⟩, the loss increase that a linear loss would show; ρ‖Tg‖_q for normalization "dual".
        increase: the loss at w + ε less the loss at w; NaN where no scalar loss was seen in both passes.
    """

    epsilon: float
    arrived: float
    gradient: float
    perturbed_gradient: float
    cosine: float
    first_order: float
    increase: float


class Diagnosis:
    """Watches the SAM steps of a loop; see `diagnose`.

    Attributes:
        steps: A record of each step that ascended.
        warnings: What has been warned of, one line each.
    """

    def __init__(self, optimizer: SAM, model: nn.Module | None) -> None:
        self.steps: list[StepRecord] = []
        self.warnings: list[str] = []
        self._optimizer = optimizer
        self._losses = _Losses()
        self._passes = None if model is None else Passes(model)
        self._pending: dict[str, Any] | None = None  # of a step between its passes
        self._leaving = ExitStack()

    def __enter__(self) -> Self:
        self._optimizer.first_step = self._first_step  # type: ignore[method-assign]
        self._leaving.callback(self._optimizer.__delattr__, "first_step")
        self._leaving.callback(self._optimizer.base_optimizer.register_step_pre_hook(self._before_update).remove)
        if self._passes:
            self._passes.watch()
            self._leaving.callback(self._passes.leave)
        self._leaving.enter_context(self._losses)
        return self

    def __exit__(self, *exception: object) -> None:
        self._leaving.close()

    def __str__(self) -> str:
        if not self.steps:
            return "no step has ascended"
        middle = {field.name: median(getattr(step, field.name) for step in self.steps) for field in fields(StepRecord)}
        found = (
            "{steps} steps, medians: ‖ε‖ {epsilon:.3g}, ‖g(w)‖ {gradient:.3g}, ‖g(w+ε)‖ {perturbed_gradient:.3g}, "
            "cosine {cosine:.3g}, loss increase {increase:.3g} (first order {first_order:.3g})"
        ).format(steps=len(self.steps), **middle)
        return "\n".join([found, *self.warnings])

    def _first_step(self, zero_grad: bool = False) -> None:
        optimizer = self._optimizer
        with torch.no_grad():
            settle(optimizer.param_groups, optimizer.defaults, optimizer._perturb)
            moves = moves_of(optimizer.param_groups, radius_factor(optimizer.when, optimizer.steps))
            parameters = [parameter for move in moves for parameter in move.parameters]
            wanted = [direction.double() * move.factor for move in moves for direction in move.directions]
            weights = [parameter.detach().clone() for parameter in parameters]
            gradients = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
        decay = self._passes.decay_in(parameters, gradients) if self._passes else 0.0
        SAM.first_step(optimizer, zero_grad)
        moved = [now.detach().double() - was.double() for now, was in zip(parameters, weights, strict=True)]
        self._pending = {
            "parameters": parameters,
            "gradients": gradients,
            "epsilon": _dot(moved, moved) ** 0.5,
            "arrived": _dot(moved, wanted) / max(_dot(wanted, wanted), 1e-300),
            "first_order": _dot(gradients, wanted),
            "losses": self._losses.taken(),
        }
        if self._passes:
            self._passes.turn()
        if _dot(wanted, wanted) > 0 and self._pending["arrived"] < LEAST_ARRIVED:
            self._warn(
                f"perturbation lost: the weights kept {self._pending['arrived']:.0%} of ε; keep the parameters in "
                "float32 (autocast rounds them for the forward pass alone)"
            )
        if decay > 0:
            self._warn(
                f"weight decay in the ascent gradient: it holds {decay:.2g} times the weights beside the loss of the "
                "data; leave weight decay to the base optimizer"
            )

    def _before_update(self, *_: Any) -> None:
        """With the second gradient, which lies in the parameters until the base optimizer has stepped."""
        losses, pending, self._pending = self._losses.taken(), self._pending, None
        if pending is not None:
            pairs = zip(pending["parameters"], pending["gradients"], strict=True)
            both = [(parameter.grad, first) for parameter, first in pairs if parameter.grad is not None]
            second = [gradient for gradient, _ in both]
            length = _dot(pending["gradients"], pending["gradients"]) ** 0.5
            perturbed_length = _dot(second, second) ** 0.5
            cosine = _dot(second, [first for _, first in both]) / max(length * perturbed_length, 1e-300)
            increase = losses - pending["losses"]
            self.steps.append(
                StepRecord(
                    pending["epsilon"],
                    pending["arrived"],
                    length,
                    perturbed_length,
                    cosine,
                    pending["first_order"],
                    increase,
                )
            )
            if perturbed_length < LEAST_GRADIENT * length:
                self._warn(
                    f"rho too large: the gradient at w + ε is {perturbed_length / length:.1%} of that at w, so SAM "
                    "stops where the loss does not (a spurious minimiser); take a smaller rho"
                )
            for fault in self._passes.faults() if self._passes else ():
                self._warn(fault)
        if self._passes:
            self._passes.start()

    def _warn(self, message: str) -> None:
        """Warn once of each kind, which the message names up to its colon."""
        if not any(message.split(":")[0] == earlier.split(":")[0] for earlier in self.warnings):
            self.warnings.append(message)
            warnings.warn(f"SAM: {message}", stacklevel=2)


def diagnose(optimizer: SAM, model: nn.Module | None = None) -> Diagnosis:
    """Watch a training loop's SAM steps, to be told whether they do what SAM is about.

    ::

        with diagnose(optimizer, model) as found:
            train_some_steps()
        print(found)

    The loop is run as it is. Each step costs its copies of weights and gradients and, with a model, a forward and
    backward pass more. One process is watched, an eager model, and losses that no GradScaler has scaled.

    It warns of a perturbation lost to rounding, and of a rho so large that the gradient at w + ε vanishes while the one
    at w does not (arXiv 2509.21818); with a model also of BatchNorm statistics that the second pass moves again, of
    weight decay in the ascent gradient, and of a second pass over another batch than the first.

    Args:
        optimizer: Whose steps are watched.
        model: The module whose forward pass both passes call, not its DistributedDataParallel.
    """
    return Diagnosis(optimizer, model)


class _Losses(TorchFunctionMode):
    """Adds up the scalars whose backward pass is called."""

    def __init__(self) -> None:
        super().__init__()
        self._sum = float("nan")

    def taken(self) -> float:
        """The sum since the last call; NaN if there was none."""
        taken, self._sum = self._sum, float("nan")
        return taken

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.Tensor.backward and args[0].numel() == 1:
            loss = args[0].detach().item()
            self._sum = loss if self._sum != self._sum else self._sum + loss
        return func(*args, **(kwargs or {}))


def _dot(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    return sum((a.double() * b.double()).sum().item() for a, b in zip(tensors, others, strict=True))

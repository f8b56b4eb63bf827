"""Sharpness-Aware Minimization as an optimizer around any other (Foret et al. 2021)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from sharpness.optim.ascent import ascent_direction, ascent_step, step_factor


class SAM(Optimizer):
    """Move the weights w to w + ε, take the gradient there, go back to w, and step with that gradient.

    The interface is the one that users of davda54/sam know::

        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9, weight_decay=5e-4)

        loss_of(model, batch).backward()
        optimizer.first_step(zero_grad=True)   # w + ε
        loss_of(model, batch).backward()
        optimizer.second_step(zero_grad=True)  # back to w, then the base optimizer's step

    The parameter groups and the state are the base optimizer's own, so a learning-rate scheduler may hold either.
    A group may have a ``rho`` and an ``adaptive`` of its own: the norm in ε runs over all groups together, then each
    group's part is scaled by its rho. Weight decay belongs to the base optimizer and does not enter ε.

    The weights come back bit for bit, from copies that are made in place and kept between steps; no parameter ever
    changes its storage. The copies are not part of ``state_dict()``, nor are p, geometry, eta and normalization.

    A parameter without a gradient is left out of ε. One that has a gradient in the first pass only is put back and
    not updated; one that has it in the second pass only is updated from where it stands.

    Args:
        params: Parameters, named parameters or parameter groups, as for every torch optimizer.
        base_optimizer: The class of the optimizer that steps, such as ``torch.optim.SGD``; not one whose step needs a
            closure (LBFGS).
        rho: Radius of the ball: a float, or a 0-dim tensor that may be changed in place between steps.
        adaptive: ASAM on every parameter of the group, T = |w|; short for geometry "absolute".
        p: Metric of the ball, see :func:`sharpness.optim.ascent_step`, also for the three below.
        geometry: None follows ``adaptive``. "absolute-weights" adapts to the parameters whose name contains "weight"
            and needs ``model.named_parameters()``.
        eta: The constant of the geometry.
        normalization: "dual", "none" or "max".
        **base_kwargs: Passed to the base optimizer.

    Raises:
        ValueError: A setting is outside the family, or a geometry needs names that are not there.
    """

    def __init__(
        self,
        params: ParamsT,
        base_optimizer: type[Optimizer],
        rho: float | Tensor = 0.05,
        adaptive: bool = False,
        *,
        p: float = 2.0,
        geometry: str | None = None,
        eta: float = 0.0,
        normalization: str = "dual",
        **base_kwargs: Any,
    ) -> None:
        self.geometry = geometry
        self.ball = {"p": p, "eta": eta, "normalization": normalization}
        ascent_step([], [], rho, geometry=geometry or "euclidean", adapted=[], **self.ball)  # a bad setting fails here

        super().__init__(params, {"rho": rho, "adaptive": adaptive, **base_kwargs})
        if geometry == "absolute-weights" and "param_names" not in self.param_groups[0]:
            raise ValueError("params: geometry 'absolute-weights' goes by names; pass model.named_parameters()")
        self.base_optimizer = base_optimizer(self.param_groups, **base_kwargs)
        self.param_groups = self.base_optimizer.param_groups
        self.state = self.base_optimizer.state
        self.defaults = {**self.base_optimizer.defaults, **self.defaults}

        self._copies: dict[Tensor, Tensor] = {}
        self._perturbed: list[Tensor] | None = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, which may set its own ``rho`` and ``adaptive``."""
        rho = param_group.get("rho", self.defaults["rho"])
        if not isinstance(rho, Tensor) and not rho >= 0:
            raise ValueError(f"rho: the radius of a parameter group is {rho}; it must be at least 0")
        if (self.defaults["adaptive"] or param_group.get("adaptive")) and self.geometry is not None:
            raise ValueError(f"adaptive: geometry {self.geometry!r} holds for every group; pass one of the two")
        super().add_param_group(param_group)

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False) -> None:
        """Move the weights to w + ε. Call it after the first backward pass.

        Raises:
            RuntimeError: The weights are at w + ε already, or no parameter has a gradient.
        """
        if self._perturbed is not None:
            raise RuntimeError("first_step: the weights are perturbed already; call second_step before the next one")
        weights: list[Tensor] = []
        gradients: list[Tensor] = []
        adapted: list[bool] = []
        spans: list[slice] = []  # each group's part of the three lists
        for group in self.param_groups:
            start = len(weights)
            for weight, flag in zip(group["params"], self._adapted(group), strict=True):
                if (gradient := weight.grad) is not None:
                    weights.append(weight)
                    gradients.append(gradient)
                    adapted.append(flag)
            spans.append(slice(start, len(weights)))
        if not weights:
            raise RuntimeError("first_step: no parameter has a gradient; call loss.backward() before it")

        geometry = self.geometry
        if geometry is None:
            geometry = "absolute" if all(adapted) else "absolute-weights" if any(adapted) else "euclidean"
        directions, scale = ascent_direction(weights, gradients, geometry=geometry, adapted=adapted, **self.ball)

        for weight in weights:
            copy = self._copies.get(weight)
            if copy is None or copy.dtype != weight.dtype or copy.device != weight.device:
                self._copies[weight] = torch.empty_like(weight)
        torch._foreach_copy_([self._copies[weight] for weight in weights], weights)
        self._perturbed = weights
        for group, span in zip(self.param_groups, spans, strict=True):
            if weights[span]:
                _add_scaled(weights[span], directions[span], step_factor(group["rho"], scale, directions))
        if zero_grad:
            for weight in weights:  # zero_grad() does the same, more slowly
                weight.grad = None

    @torch.no_grad()
    def restore(self) -> None:
        """Put back the weights that first_step moved, without an update.

        Raises:
            RuntimeError: first_step has not been called.
        """
        if self._perturbed is None:
            raise RuntimeError("second_step: the weights are not perturbed; call first_step before it")
        torch._foreach_copy_(self._perturbed, [self._copies[weight] for weight in self._perturbed])
        self._perturbed = None

    def second_step(self, zero_grad: bool = False) -> None:
        """Put the weights back to w and let the base optimizer step. Call it after the second backward pass.

        Raises:
            RuntimeError: first_step has not been called.
        """
        self.restore()
        self.base_optimizer.step()
        self._opt_called = True  # LRScheduler looks for it; else it warns that step() has not been called
        if zero_grad:
            self.zero_grad()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Do both steps. Call it after the first backward pass.

        Args:
            closure: Does the second forward and backward pass and returns the loss. The gradients are cleared for it.

        Returns:
            What the closure returns: the loss at w + ε.

        Raises:
            RuntimeError: No closure is given. An exception of the closure's own leaves the weights at w.
        """
        if closure is None:
            raise RuntimeError("step: SAM needs a closure for its second pass; or call first_step and second_step")
        self.first_step(zero_grad=True)
        try:
            with torch.enable_grad():
                loss = closure()
        except BaseException:
            self.restore()
            raise
        self.second_step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict()`` gave: the base optimizer's state and every group's settings.

        The state of a base optimizer alone loads as well, and leaves ``rho`` and ``adaptive`` as they are. A ``rho`` in
        a tensor stays that tensor, with the loaded value: where groups share it, the last one's.
        """
        before = self.param_groups
        super().load_state_dict(state_dict)
        for group, old in zip(self.param_groups, before, strict=True):
            group.setdefault("rho", old["rho"])
            group.setdefault("adaptive", old["adaptive"])
            if isinstance(old["rho"], Tensor):
                group["rho"] = old["rho"].copy_(torch.as_tensor(group["rho"]))
        self.base_optimizer.__setstate__({"state": self.state, "param_groups": self.param_groups})

    def __getstate__(self) -> dict[str, Any]:
        """What copying and pickling keep; torch's optimizers keep their groups and state alone."""
        own = ("base_optimizer", "geometry", "ball", "_copies", "_perturbed")
        return super().__getstate__() | {name: getattr(self, name) for name in own}

    def _adapted(self, group: dict[str, Any]) -> list[bool]:
        """For each parameter of the group, whether T follows its size."""
        if self.geometry == "absolute-weights":
            return ["weight" in name for name in group["param_names"]]
        return [group["adaptive"]] * len(group["params"])


def _add_scaled(weights: list[Tensor], directions: Sequence[Tensor], factor: float | Tensor) -> None:
    if isinstance(factor, Tensor):
        torch._foreach_add_(weights, torch._foreach_mul(directions, factor))
    else:
        torch._foreach_add_(weights, directions, alpha=factor)

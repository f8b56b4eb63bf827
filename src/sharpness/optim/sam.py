"""Sharpness-Aware Minimization as an optimizer around any other (Foret et al. 2021)."""

from collections.abc import Callable
from typing import Any, Self, Unpack

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler
from torch.optim.optimizer import Optimizer, ParamsT

from sharpness.optim.base import check_base, drop_old_gradients, keep_settings, plain_groups, settle, with_groups
from sharpness.optim.copies import Copies
from sharpness.optim.groups import BALL, Group, Perturb, Settings, check_group, check_parameters, moves_of
from sharpness.optim.when import When, radius_factor


class SAM(Optimizer):
    """Move the weights w to w + ε, take the gradient there, go back to w, and step with that gradient.

    The interface is the one that users of davda54/sam know::

        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.05, lr=0.1, momentum=0.9, weight_decay=5e-4)

        loss_of(model, batch).backward()
        optimizer.first_step(zero_grad=True)   # w + ε
        loss_of(model, batch).backward()
        optimizer.second_step(zero_grad=True)  # back to w, then the base optimizer's step

    The parameter groups and the state are the base optimizer's own, so a learning-rate scheduler may hold either.
    A group may have any of the settings below for itself, as a key of its own. Groups with the same p and normalization
    share one ball: the norm in ε runs over all of them together, then each group's part is scaled by its rho. Weight
    decay belongs to the base optimizer and does not enter ε. Where a group maximises, ε descends.

    The weights come back bit for bit, from copies that are made in place and kept between steps; no parameter ever
    changes its storage. The copies are not part of ``state_dict()``. An error in ``first_step`` or in a closure leaves
    the weights at w.

    A parameter without a gradient is left out of ε. One that has a gradient in the first pass only is put back and
    not updated; one that has it in the second pass only is updated from where it stands. A frozen parameter
    (``requires_grad`` is false) is neither perturbed nor updated; an old gradient of its is dropped.

    Args:
        params: Parameters, named parameters or parameter groups, as for every torch optimizer.
        base_optimizer: The class of the optimizer that steps, such as ``torch.optim.SGD``; not one whose step needs a
            closure (LBFGS), nor one with a setting named like one of these (Adadelta's rho).
        rho: Radius of the ball: a float, or a 0-dim tensor that may be changed in place between steps.
        adaptive: ASAM on every parameter of the group, T = |w|; short for geometry "absolute".
        p: Metric of the ball, see :func:`sharpness.ascent_step`, also for the three below.
        geometry: None follows ``adaptive``. "absolute-weights" adapts to the parameters whose name contains "weight"
            and needs ``model.named_parameters()``.
        eta, normalization: The constant of the geometry; "dual", "none", "max" or a law (`sharpness.optim.laws`).
        perturb: Which parameters ε moves: True for all, a pattern for their names (``"*.bias"``) or several, or a
            function of (name, parameter). The others are updated with the second gradient all the same.
        when: In which steps to ascend, by default in all: a function of the step's number, from 0, that gives the
            factor on rho, 0 for a plain step (:class:`Every`, :class:`Last`, :class:`After`). See ``ascends``.
        **base_kwargs: Passed to the base optimizer.

    Attributes:
        steps: Updates so far; part of ``state_dict()``.

    Raises:
        ValueError: A setting is outside the family, a choice needs names that are not there, no parameter is chosen, a
            parameter appears twice, or the base optimizer is one of those above.
    """

    base_optimizer: Optimizer

    def __init__(
        self,
        params: ParamsT,
        base_optimizer: Callable[..., Optimizer],
        rho: float | Tensor = 0.05,
        adaptive: bool = False,
        *,
        p: float = 2.0,
        geometry: str | None = None,
        eta: float = 0.0,
        normalization: str = "dual",
        perturb: Perturb = True,
        when: When | None = None,
        **base_kwargs: Any,
    ) -> None:
        if isinstance(base_optimizer, Optimizer):
            raise TypeError("base_optimizer: this is an optimizer, not the class of one; use SAM.wrap(optimizer, ...)")
        ball = dict(zip(BALL, (rho, adaptive, p, geometry, eta, normalization), strict=True))
        check_group(ball)
        self.when, self.steps, self._steps_after = when, 0, 0
        self._perturb = perturb
        self._copies = Copies()
        super().__init__(params, {**ball, **base_kwargs})
        if not any(any(group["perturbed"]) for group in self.param_groups):
            raise ValueError("perturb: none of the parameters is chosen; name some that are there")
        base = base_optimizer(self.param_groups, **base_kwargs)
        check_base(base)
        self._hold(base)
        self.defaults = {**base.defaults, **self.defaults}

    @classmethod
    def wrap(cls, optimizer: Optimizer, **settings: Unpack[Settings]) -> Self:
        """SAM around an optimizer that exists, whose groups and state it shares; an earlier SAM's settings are dropped.

        Args:
            optimizer: The optimizer that steps.
            **settings: SAM's own arguments: rho, adaptive, p, geometry, eta, normalization, perturb, when.

        Raises:
            ValueError: As for the constructor; the optimizer is as it was then.
        """
        check_base(optimizer)
        return cls(plain_groups(optimizer), lambda groups: with_groups(optimizer, groups), **settings)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, which may have settings of its own.

        Raises:
            ValueError: As for the constructor; nothing has been added then.
        """
        if not isinstance(param_group["params"], Tensor | set):  # a set is torch's to refuse
            param_group["params"] = list(param_group["params"])
            check_parameters(param_group["params"])
        if "base_optimizer" in self.__dict__:  # whose class may have more to do
            self.base_optimizer.add_param_group(param_group)
        else:
            super().add_param_group(param_group)
        try:
            settle(self.param_groups, self.defaults, self._perturb)
        except Exception:
            self.param_groups.pop()
            raise

    @property
    def ascends(self) -> bool:
        """Whether the next step has two passes: ``first_step`` and ``second_step``, or ``step`` with a closure.

        Otherwise it is the base optimizer's own: ``step``, whose closure is not called.
        """
        return radius_factor(self.when, self.steps) > 0

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False) -> None:
        """Move the weights to w + ε. Call it after the first backward pass.

        Raises:
            RuntimeError: The weights are at w + ε already, this step is a plain one, inference mode is on, no parameter
                has a gradient, or one to be perturbed is sparse, complex or on another device than the others.
            ValueError: A group's settings are outside the family.
        """
        if self._copies.held:
            raise RuntimeError("first_step: the weights are perturbed already; call second_step or restore before it")
        factor = radius_factor(self.when, self.steps)
        if factor == 0:
            raise RuntimeError("first_step: this step is a plain one (optimizer.ascends is false); call step() alone")
        settle(self.param_groups, self.defaults, self._perturb)
        moves = moves_of(self.param_groups, factor)
        self._copies.take(moves)
        try:
            for move in moves:
                move.add()
        except BaseException:
            self.restore()
            raise
        if zero_grad:
            for group in self.param_groups:  # zero_grad() does the same, more slowly
                for parameter in group["params"]:
                    parameter.grad = None

    @torch.no_grad()
    def restore(self) -> None:
        """Put back the weights that first_step moved, without an update.

        Raises:
            RuntimeError: first_step has not been called.
        """
        if not self._copies.held:
            raise RuntimeError("second_step: the weights are not perturbed; call first_step before it")
        self._copies.put_back()

    def second_step(self, zero_grad: bool = False) -> None:
        """Put the weights back to w and let the base optimizer step. Call it after the second backward pass.

        Step hooks that are registered on SAM fire around the base optimizer's step.

        Raises:
            RuntimeError: first_step has not been called.
        """
        self.restore()
        if self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks:
            self._update_with_hooks()
        else:  # firing none takes 20 µs
            self._update()
        if zero_grad:
            self.zero_grad()

    def step(self, closure: Callable[[], Any] | None = None, *, scaler: GradScaler | None = None) -> Any:
        """Do both steps, or in a plain step the base optimizer's. Call it after the first backward pass.

        Args:
            closure: Does the second forward and backward pass and returns the loss. The gradients are cleared for it.
                A plain step does not call it and needs none.
            scaler: Has scaled the losses of both passes. The first gradient is unscaled before ε is formed, and the
                scaler decides on the update; an overflow in either pass lowers its scale at ``scaler.update()``.

        Returns:
            What the closure returns: the loss at w + ε. None in a plain step.

        Raises:
            RuntimeError: No closure is given. An exception of the closure's own leaves the weights at w.
        """
        if not self.ascends:
            self._update(scaler)
            return None
        if closure is None:
            raise RuntimeError("step: SAM needs a closure for its second pass; or call first_step and second_step")
        if scaler is not None:
            scaler.unscale_(self)  # the scaler takes SAM and its base optimizer for two, so each pass counts
        try:
            self.first_step(zero_grad=True)
            with torch.enable_grad():
                loss = closure()
        finally:
            if self._copies.held:
                self.restore()
        self._update(scaler)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state, every group's settings, and the number of steps.

        Raises:
            RuntimeError: The weights are at w + ε, so the model's state would be saved with them there.
        """
        if self._copies.held:
            raise RuntimeError("state_dict: the weights are at w + ε; call second_step or restore before saving")
        return super().state_dict() | {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of a SAM, or of a base optimizer alone, which leaves SAM's own settings as they are.

        A ``rho`` in a tensor stays that tensor, with the loaded value: where groups share it, the last one's.

        Raises:
            RuntimeError: The weights are at w + ε.
            ValueError: The groups are others, or a group's settings are outside the family; nothing is loaded then.
        """
        if self._copies.held:
            raise RuntimeError("load_state_dict: the weights are at w + ε; call restore before loading")
        settle(self.param_groups, self.defaults, self._perturb)
        before = self.param_groups
        for group, saved in zip(before, state_dict["param_groups"], strict=False):  # torch compares their numbers
            check_group(group | {key: saved[key] for key in BALL if key in saved})
        super().load_state_dict(state_dict)
        keep_settings(self.param_groups, before)
        self.base_optimizer.__setstate__({"state": self.state, "param_groups": self.param_groups})
        self.steps = state_dict.get("steps", self.steps)

    def __getstate__(self) -> dict[str, Any]:
        """What copying and pickling keep; torch's optimizers keep their groups and state alone."""
        own = ("base_optimizer", "when", "steps", "_steps_after", "_perturb", "_copies")
        return super().__getstate__() | {name: getattr(self, name) for name in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "base_optimizer" in state:  # a copy; otherwise loading, where it is there already
            self._hold(self.base_optimizer)

    def _hold(self, base: Optimizer) -> None:
        """Share the base optimizer's groups and state, and count its updates, whoever loads or calls its step."""
        self.base_optimizer = base
        self.param_groups, self.state = base.param_groups, base.state
        base.register_load_state_dict_post_hook(self._after_loading)
        base.register_step_pre_hook(self._before_update)
        base.register_step_post_hook(self._after_update)

    def _after_loading(self, base: Optimizer) -> None:
        settle(self.param_groups, self.defaults, self._perturb)
        keep_settings(base.param_groups, self.param_groups)
        self.param_groups, self.state = base.param_groups, base.state

    # A step that calls its parent class's fires the hooks twice, one pair within the other; it is one update.
    def _before_update(self, *_: Any) -> None:
        self._steps_after = self.steps + 1

    def _after_update(self, *_: Any) -> None:
        self.steps = self._steps_after

    def _update(self, scaler: GradScaler | None = None) -> None:
        drop_old_gradients(self.param_groups)
        if scaler is None:
            self.base_optimizer.step()
        else:
            scaler.step(self.base_optimizer)
        self._opt_called = True  # LRScheduler looks for it; else it warns that step() has not been called

    # step() fires SAM's hooks itself, as every torch optimizer's does.
    _update_with_hooks = Optimizer.profile_hook_step(_update)

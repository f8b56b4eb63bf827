"""The optimizer inside SAM: which may be one, and what SAM's settings and steps do to its groups."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from sharpness.optim.groups import BALL, Group, Perturb, check_group, perturbed


def check_base(base: Optimizer) -> None:
    """Refuse an optimizer that cannot step for SAM.

    Raises:
        ValueError: It is a SAM itself, its step needs a closure, or a setting of its has the name of one of SAM's.
    """
    if hasattr(base, "first_step"):
        raise ValueError("base_optimizer: this is a SAM already; wrap the optimizer inside it")
    if isinstance(base, torch.optim.LBFGS):
        raise ValueError("base_optimizer: LBFGS takes several passes a step by itself; choose another")
    if clash := [key for key in BALL if key in base.defaults]:
        raise ValueError(f"base_optimizer: {type(base).__name__} has a {clash[0]!r} of its own; choose another")


def plain_groups(base: Optimizer) -> list[Group]:
    """The optimizer's groups, copied, without what an earlier SAM around it has left in them."""
    return [
        {key: value for key, value in group.items() if "perturbed" not in group or key not in (*BALL, "perturbed")}
        for group in base.param_groups
    ]


def with_groups(base: Optimizer, groups: Sequence[Group]) -> Optimizer:
    """The optimizer, its groups filled anew."""
    for own, group in zip(base.param_groups, groups, strict=True):
        own.clear()
        own.update(group)
    return base


def settle(groups: Sequence[Group], defaults: dict[str, Any], perturb: Perturb) -> None:
    """Give new groups, also those that were added to the base optimizer itself, what they lack of SAM's settings.

    Raises:
        ValueError: A group's settings are outside the family, or its choice of parameters needs names.
    """
    for group in groups:
        if "perturbed" not in group:
            for key in BALL:
                group.setdefault(key, defaults[key])
            check_group(group)
            group["perturbed"] = perturbed(group, group.pop("perturb", perturb))


def keep_settings(loaded: Sequence[Group], before: Sequence[Group]) -> None:
    """Give loaded groups what their state lacks of SAM's settings; a radius in a tensor stays that tensor."""
    for group, old in zip(loaded, before, strict=True):
        for key in (*BALL, "perturbed"):
            group.setdefault(key, old[key])
        if isinstance(old["rho"], Tensor):
            group["rho"] = old["rho"].copy_(torch.as_tensor(group["rho"]))


def drop_old_gradients(groups: Sequence[Group]) -> None:
    """Clear the gradients of frozen parameters, which an optimizer would follow."""
    for group in groups:
        for parameter in group["params"]:
            if not parameter.requires_grad:
                parameter.grad = None

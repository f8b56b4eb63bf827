"""Parameter groups: their settings, and what one ascent step does to each of them."""

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor, nn

from sharpness.optim.ascent import Part, Tensors, ascent_directions, check_ball, kind_of, step_factor
from sharpness.optim.sharded import is_sharded, owners_of, to_local
from sharpness.optim.when import When

Group = dict[str, Any]
Perturb = bool | str | Iterable[str] | Callable[[str, Tensor], bool]

# What a group says of its ball; the base optimizer finds these beside its own settings and leaves them alone.
BALL = ("rho", "adaptive", "p", "geometry", "eta", "normalization")


class Settings(TypedDict, total=False):
    """The arguments of `sharpness.SAM` beside the base optimizer and its own."""

    rho: float | Tensor
    adaptive: bool
    p: float
    geometry: str | None
    eta: float
    normalization: str
    perturb: Perturb
    when: When | None


class Move(NamedTuple):
    """One group's part of an ascent step."""

    parameters: list[Tensor]
    weights: Tensors  # the parameters themselves, or this process's shards of them
    directions: Tensors
    factor: float | Tensor

    def add(self) -> None:
        """weights += factor · directions."""
        if isinstance(self.factor, Tensor):
            torch._foreach_add_(self.weights, torch._foreach_mul(self.directions, self.factor))
        else:
            torch._foreach_add_(self.weights, self.directions, alpha=self.factor)


def normalization_layers(model: nn.Module) -> Callable[[str, Tensor], bool]:
    """For ``SAM(perturb=...)``: the parameters of a model's normalisation layers, whatever their names.

    A layer counts as one if its class's name contains "Norm": torch's own do, and those of most libraries.
    """
    layers = [module for module in model.modules() if "Norm" in type(module).__name__]
    own = {id(parameter) for layer in layers for parameter in layer.parameters(recurse=False)}
    return lambda name, parameter: id(parameter) in own


def perturbed(group: Group, perturb: Perturb) -> list[bool]:
    """For each parameter of a group, whether SAM moves it.

    Raises:
        ValueError: The choice goes by names, and the group has none.
    """
    if isinstance(perturb, bool):
        return [perturb] * len(group["params"])
    if "param_names" not in group:
        if not group["params"]:
            return []
        raise ValueError("perturb: a pattern or a function goes by names; pass model.named_parameters()")
    if callable(perturb):
        named = zip(group["param_names"], group["params"], strict=True)
        return [bool(perturb(name, parameter)) for name, parameter in named]
    patterns = [perturb] if isinstance(perturb, str) else list(perturb)
    return [any(fnmatchcase(name, pattern) for pattern in patterns) for name in group["param_names"]]


def check_group(group: Group) -> None:
    """Refuse a group whose ball is outside the family, or goes by names that the group has not.

    Raises:
        ValueError: One line that names the setting.
    """
    if group["adaptive"] and group["geometry"] is not None:
        raise ValueError(f"adaptive: geometry {group['geometry']!r} holds for every group; pass one of the two")
    check_ball(group["rho"], group["p"], geometry_of(group), group["eta"], group["normalization"])
    if group["geometry"] == "absolute-weights" and group.get("params") and "param_names" not in group:
        raise ValueError("params: geometry 'absolute-weights' goes by names; pass model.named_parameters()")


def geometry_of(group: Group) -> str:
    """The group's geometry, which ``adaptive`` decides where none is named."""
    return group["geometry"] or ("absolute" if group["adaptive"] else "euclidean")


def check_parameters(params: Sequence[Any]) -> None:
    """Refuse parameters, named or not, that no setting makes fit.

    Raises:
        ValueError: One appears twice, or is a flattened shard that hides what it is a shard of.
    """
    members = [member[1] if isinstance(member, tuple) else member for member in params]
    if len({id(member) for member in members}) < len(members):
        raise ValueError("params: a parameter appears twice in one group; it would be perturbed twice")
    if any(getattr(member, "_fsdp_flattened", False) for member in members):
        raise ValueError(
            "params: FullyShardedDataParallel hides what it shards; use torch.distributed.fsdp.fully_shard"
        )


def moves_of(groups: Sequence[Group], radius_factor: float) -> list[Move]:
    """The moves of an ascent step, by groups; no weight has been moved yet.

    Groups that share p and the normalisation share one ball, and with it one norm.

    Raises:
        RuntimeError: No parameter to perturb has a gradient, they lie on several devices, or one has no dense real
            gradient of its own shape.
        ValueError: A group's ball is outside the family.
    """
    balls: dict[tuple[float, str], list[tuple[Group, list[Tensor], Part]]] = {}
    for group in groups:
        check_group(group)
        parameters, part = _part(group)
        if parameters:
            balls.setdefault((group["p"], group["normalization"]), []).append((group, parameters, part))
    if not balls:
        raise RuntimeError("first_step: no parameter to perturb has a gradient; call loss.backward() before it")

    moves = []
    for (p, normalization), members in balls.items():
        owners = None
        if any(part.weights is not parameters for _, parameters, part in members):
            owners = [owners_of(parameter.grad) for _, parameters, _ in members for parameter in parameters]
        parts = [part for *_, part in members]
        try:
            directions, scale = ascent_directions(parts, p=p, normalization=normalization, owners=owners)
        except RuntimeError:
            _check_devices(parts)
            raise
        for (group, parameters, part), own in zip(members, directions, strict=True):
            factor = step_factor(_radius(group, radius_factor), scale, own)
            moves.append(Move(parameters, part.weights, own, factor))
    return moves


def _check_devices(parts: Sequence[Part]) -> None:
    names = sorted({str(weight.device) for part in parts for weight in part.weights})
    if len(names) > 1:
        raise RuntimeError(f"first_step: the parameters lie on {' and '.join(names)}; SAM takes its norm on one device")


def _radius(group: Group, factor: float) -> float | Tensor:
    """The group's radius at this step; negative where the base optimizer maximises, so that ε descends."""
    if group.get("maximize", False):
        factor = -factor
    rho: float | Tensor = group["rho"]
    return rho if factor == 1.0 else rho * factor


def _part(group: Group) -> tuple[list[Tensor], Part]:
    """The parameters that the step moves, and they as a part of the ball."""
    geometry = geometry_of(group)
    by_name = geometry == "absolute-weights"
    parameters: list[Tensor] = []
    gradients: list[Tensor] = []
    adapted: list[bool] = []
    for index, (parameter, chosen) in enumerate(zip(group["params"], group["perturbed"], strict=True)):
        if not chosen or (gradient := parameter.grad) is None or not parameter.requires_grad:
            continue
        if gradient.layout is not torch.strided or gradient.is_complex() or parameter.shape != gradient.shape:
            raise RuntimeError(f"first_step: {_unfit(group, index, parameter, gradient)}")
        parameters.append(parameter)
        gradients.append(gradient)
        if by_name:
            adapted.append("weight" in group["param_names"][index])
    weights = parameters
    if any(map(is_sharded, parameters)):
        weights, gradients = list(map(to_local, parameters)), list(map(to_local, gradients))
    return parameters, Part(weights, gradients, geometry, group["eta"], adapted if by_name else None)


def _unfit(group: Group, index: int, weight: Tensor, gradient: Tensor) -> str:
    name = group["param_names"][index] if "param_names" in group else f"parameter {index} of its group"
    if weight.shape != gradient.shape:
        return f"{name} has the shape {tuple(weight.shape)} and its gradient {tuple(gradient.shape)}; backward again"
    return f"{name} is {kind_of(gradient)}; SAM perturbs dense real weights, so leave it out with perturb="

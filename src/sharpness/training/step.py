"""One descent step: plain SGD, or SAM's two passes over the same batch."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from sharpness.errors import SettingError, UserError, setting
from sharpness.networks import build_network, network_arguments
from sharpness.optim import SAM, frozen_statistics
from sharpness.training.loss import SmoothedLoss
from sharpness.training.passes import when_of

Step = Callable[[Tensor, Tensor], Tensor]


class ImageSet(Protocol):
    """What a network must know of its data: the images' channels and side (pixels), and the number of classes."""

    channels: int
    image_size: int
    classes: int


@contextmanager
def settings_in(scale: str) -> Iterator[None]:
    """Say of a SettingError in this context which file of config/ has the setting, for the user of a scale.

    Raises:
        UserError: in place of the SettingError.
    """
    try:
        yield
    except SettingError as error:
        is_of_study = str(error).startswith(("methods.", "training."))
        raise UserError(f"config/{'study' if is_of_study else f'scales/{scale}'}.yaml: {error}") from None


def build_training(
    spec: dict, images: ImageSet, steps: int, device: torch.device
) -> tuple[nn.Module, torch.optim.Optimizer, SmoothedLoss, Step]:
    """A spec's network, freshly initialised, with its optimizer, its loss and the step that joins them.

    Args:
        spec: the run's spec.
        images: its data set.
        steps: of the whole training.
        device: where to compute.

    Raises:
        SettingError: a setting of the network, the optimizer or the loss is impossible, alone or with the data.
    """
    with setting(f"networks.{spec['network']}"):
        model = build_model(spec, images, device)
    with setting(f"methods.{spec['method']}"):
        optimizer = build_optimizer(model, spec, steps)
    with setting("training.label_smoothing"):
        loss = SmoothedLoss(images.classes, spec["label_smoothing"])
    return model, optimizer, loss, build_step(model, optimizer, loss, spec["precision"])


def build_model(spec: dict, images: ImageSet, device: torch.device) -> nn.Module:
    """A spec's network for a data set, freshly initialised, channels last in memory.

    Raises:
        SettingError: the network cannot have that size, or not for such small images.
    """
    network = build_network(
        spec["network"],
        network_arguments(spec),
        in_channels=images.channels,
        image_size=images.image_size,
        num_classes=images.classes,
    )
    return network.to(device, memory_format=torch.channels_last)


def build_optimizer(model: nn.Module, spec: dict, steps: int | None = None) -> torch.optim.Optimizer:
    """SGD with momentum, or SAM around it, as a spec says.

    Args:
        model: whose parameters they are.
        spec: the run's spec.
        steps: of the whole training; only SAM in the last part of it must know.

    Raises:
        SettingError: a setting is impossible.
    """
    descent = {key: spec[key] for key in ("momentum", "weight_decay")} | {"lr": spec["learning_rate"], "fused": True}
    try:
        if spec["optimizer"] == "sgd":
            return torch.optim.SGD(model.parameters(), **descent)
        ascent = {"p": float(spec["p"]), **{key: spec[key] for key in ("rho", "geometry", "eta", "normalization")}}
        return SAM(model.named_parameters(), torch.optim.SGD, **ascent, when=when_of(spec, steps), **descent)
    except ValueError as error:
        raise SettingError(str(error)) from None


def build_step(model: nn.Module, optimizer: torch.optim.Optimizer, loss: SmoothedLoss, precision: str) -> Step:
    """A function of (inputs, labels) that takes one step and returns the first pass's logits, detached.

    Args:
        model: in training mode when the step is called.
        optimizer: SGD, or SAM.
        loss: a function of (logits, labels).
        precision: "bf16" runs the passes under autocast.
    """

    def gradient(inputs: Tensor, labels: Tensor) -> Tensor:
        with autocast(inputs.device, precision):
            logits = model(inputs)
        loss(logits.float(), labels).backward()
        return logits.detach()

    def sgd_step(inputs: Tensor, labels: Tensor) -> Tensor:
        logits = gradient(inputs, labels)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return logits

    statistics_frozen = frozen_statistics(model)

    def sam_step(inputs: Tensor, labels: Tensor) -> Tensor:
        if not optimizer.ascends:
            return sgd_step(inputs, labels)
        logits = gradient(inputs, labels)
        optimizer.first_step(zero_grad=True)
        with statistics_frozen:
            gradient(inputs, labels)
        optimizer.second_step(zero_grad=True)
        return logits

    return sam_step if isinstance(optimizer, SAM) else sgd_step


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set every group's rate: in place if it is a tensor, because a captured CUDA graph reads that tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """The context in which a pass computes: bfloat16 autocast, or nothing."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()

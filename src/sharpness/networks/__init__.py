"""The study's networks, by name."""

import inspect
from collections.abc import Callable

from torch import nn

from sharpness.errors import suggestion
from sharpness.networks.pyramidnet import PyramidNet
from sharpness.networks.resnet import ResNet
from sharpness.networks.vgg import VGG
from sharpness.networks.wide_resnet import WideResNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "pyramidnet": PyramidNet,
    "resnet": ResNet,
    "vgg": VGG,
    "wide_resnet": WideResNet,
}


def build_network(name: str, *, in_channels: int, image_size: int, num_classes: int, **size) -> nn.Module:
    """A freshly initialised network for square images, its weights drawn from torch's global generator.

    Args:
        name: a key of NETWORKS.
        in_channels, image_size: an input batch has the shape (n, in_channels, image_size, image_size).
        num_classes: logits per image.
        size: the network's own size arguments; without them it has the size that the report ran on CIFAR-10.

    Raises:
        ValueError: there is no such network, it has no such argument or not at that value, or it reduces the images to
            nothing.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; {suggestion(name, NETWORKS)}")
    parameters = inspect.signature(NETWORKS[name]).parameters.values()
    arguments = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    for argument in size:
        if argument not in arguments:
            raise ValueError(f"{name} has no argument {argument!r}; {suggestion(argument, arguments)}")
    if "image_size" in arguments:
        size["image_size"] = image_size
    network = NETWORKS[name](in_channels, num_classes, **size)
    if image_size < network.output_stride:
        raise ValueError(
            f"{name} at this size needs images of at least {network.output_stride} pixels a side, not {image_size}"
        )
    return network

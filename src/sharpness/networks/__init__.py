"""The study's networks.

A module of this package is a network of its name. It has a TITLE, a CITATION (a key of the bibliography, or None) and
its class as NETWORK, which takes (in_channels, num_classes) and, by keyword, sizes that have defaults: each a positive
integer or a list of them, as its default is. A class that asks for `image_size` is given the images' side. Its
`output_stride` is the smallest side that it can take.
"""

import inspect
from typing import TYPE_CHECKING

from sharpness import registry
from sharpness.errors import SettingError, suggestion

if TYPE_CHECKING:  # a title or a spec needs no torch
    from torch import nn


def network_arguments(spec: dict) -> dict:
    """The sizes of a spec's network, which the flat spec has with the prefix "network_"."""
    return {key.removeprefix("network_"): value for key, value in spec.items() if key.startswith("network_")}


def build_network(name: str, size: dict, *, in_channels: int, image_size: int, num_classes: int) -> "nn.Module":
    """A freshly initialised network for square images, its weights drawn from torch's global generator.

    Args:
        name: a module of this package.
        size: the network's own sizes; one that is not given is the one that the report ran on CIFAR-10.
        in_channels, image_size: an input batch has the shape (n, in_channels, image_size, image_size).
        num_classes: logits per image.

    Raises:
        UserError: there is no such network.
        SettingError: it has no such size or not at that value, or needs larger images.
    """
    network_class = registry.load("networks", name, "networks").NETWORK
    sizes = {
        parameter.name: parameter.default
        for parameter in inspect.signature(network_class).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    given = {"image_size": image_size} if "image_size" in sizes else {}
    for key, value in size.items():
        if key not in sizes or key in given:
            raise SettingError(f"{name} has no argument {key!r}; {suggestion(key, sorted(sizes.keys() - given))}")
        _check_size(key, value, isinstance(sizes[key], int))
    network = network_class(in_channels, num_classes, **size, **given)
    if image_size < network.output_stride:
        raise SettingError(
            f"{name} at this size needs images of at least {network.output_stride} pixels a side, not {image_size}"
        )
    return network


def _check_size(key: str, value: object, is_single: bool) -> None:
    """Refuse what is not a positive integer, or where a list is wanted, what is not a list of them."""
    if not is_single and (not isinstance(value, list | tuple) or not value):
        raise SettingError(f"{key}: {value!r} is not a list of positive integers")
    for number in [value] if is_single else value:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise SettingError(f"{key}: {number!r} is not a positive integer")

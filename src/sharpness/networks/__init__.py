"""The study's networks.

A module of this package is a network of its name. It has a TITLE, a CITATION (a key of the bibliography, or None) and
its class as NETWORK, which takes (in_channels, num_classes) and, by keyword, sizes that have defaults: each a positive
integer or a list of them, as its default is. A class that asks for `image_size` is given the images' side.

The class's `output_stride` is the smallest side that it can take, or the name of the size whose items each halve the
image. The module's RANGES, if it has them, say for some of the sizes the lowest and the highest value, and from one to
the next the step where that is not 1. All of this is read from the text, so that a size is refused without an import of
torch.
"""

from typing import TYPE_CHECKING

from sharpness import registry
from sharpness.errors import SettingError, suggestion

if TYPE_CHECKING:  # a title or a spec needs no torch
    from torch import nn


ANY_SIZE = (1, 65_536)
MOST_ITEMS = 16


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
    check_sizes(name, size, image_size)
    asked, _ = registry.arguments("networks", name, "NETWORK")
    given = {"image_size": image_size} if "image_size" in asked else {}
    return network_class(in_channels, num_classes, **size, **given)


def check_sizes(name: str, size: dict, image_size: int | None) -> None:
    """Refuse sizes that a network does not have, or not at that value, or not for such small images (None: unknown).

    Raises:
        SettingError: with the size.
    """
    defaults, constants = registry.arguments("networks", name, "NETWORK")
    ranges = registry.constants("networks", name).get("RANGES", {})
    sizes = {key: default for key, default in defaults.items() if key != "image_size"}
    for key, value in size.items():
        if key not in sizes:
            raise SettingError(f"{name} has no argument {key!r}; {suggestion(key, sorted(sizes))}")
        _check_size(key, value, sizes[key], ranges.get(key, ANY_SIZE))
    stride = constants.get("output_stride", 1)
    smallest = 2 ** len((sizes | size)[stride]) if isinstance(stride, str) else stride
    if image_size is not None and image_size < smallest:
        needed = f"needs images of at least {smallest} pixels a side, not {image_size}"
        raise SettingError(f"{name} at this size {needed}; choose another size")


def _check_size(key: str, value: object, default: object, bounds: tuple[int, ...]) -> None:
    """Refuse what is not a positive integer within bounds, or where a list is wanted, what is not a list of them."""
    is_single = isinstance(default, int)
    if not is_single and (not isinstance(value, list | tuple) or not value):
        raise SettingError(f"{key}: {value!r} is not a list of positive integers; give one")
    if not is_single and len(value) > MOST_ITEMS:
        raise SettingError(f"{key}: {len(value)} items are too many; give {MOST_ITEMS} at most")
    low, high, step = (*bounds, 1)[:3]
    for number in [value] if is_single else value:
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise SettingError(f"{key}: {number!r} is not a positive integer; give one")
        if number not in range(low, high + 1, step):
            choice = f"{low} to {high}" if step == 1 else f"{low}, {low + step}, {low + 2 * step}, ... up to {high}"
            raise SettingError(f"{key}: {number} is outside its range; choose {choice}")

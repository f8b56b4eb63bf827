"""A small smooth network whose loss over all images is one function of one vector of weights, in double precision."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def squared_loss(
    images: Tensor, labels: Tensor, hidden: Sequence[int], classes: int
) -> tuple[Callable[[Tensor], Tensor], int]:
    """The mean over all images of half the squared distance to the one-hot label, of a tanh network.

    Args:
        images: one row each.
        labels: their numbers, from 0.
        hidden: the widths of the hidden layers.
        classes: how many outputs there are; the labels may be of some of them only.

    Returns:
        The loss as a function of the weights, a vector, and the vector's length.
    """
    targets = torch.nn.functional.one_hot(labels, classes).double()
    widths = [images.shape[1], *hidden, targets.shape[1]]
    layers = list(itertools.pairwise(widths))
    sizes = [rows * columns + columns for rows, columns in layers]

    def loss(weights: Tensor) -> Tensor:
        at = images
        for index, (part, (rows, columns)) in enumerate(zip(weights.split(sizes), layers, strict=True)):
            at = at @ part[: rows * columns].view(rows, columns) + part[rows * columns :]
            at = torch.tanh(at) if index < len(layers) - 1 else at
        return (at - targets).square().sum(1).mean() / 2

    return loss, sum(sizes)


def draw_weights(inputs: int, hidden: Sequence[int], outputs: int, gain: float, generator: torch.Generator) -> Tensor:
    """Gaussian weights with standard deviation gain/√inputs of their layer; biases are 0."""
    parts = []
    for rows, columns in itertools.pairwise([inputs, *hidden, outputs]):
        parts.append(torch.randn(rows * columns, dtype=torch.float64, generator=generator) * gain / math.sqrt(rows))
        parts.append(torch.zeros(columns, dtype=torch.float64))
    return torch.cat(parts)

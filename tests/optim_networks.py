"""A small network, its batches and a loop, for the tests of the optimizer."""

import torch
import torch.nn.functional as F
from torch import nn

SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}


def network(dtype=torch.float32, seed=0):
    """Smooth, because a ReLU that lands on the other side of its kink turns a rounding error into a percent."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    ).to(dtype)


def batch(step, dtype=torch.float32, size=32):
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(size, 1, 8, 8, generator=generator, dtype=torch.float64).to(dtype)
    return images, torch.randint(0, 10, (size,), generator=generator)


def backward(model, step=0, scale=1.0):
    images, labels = batch(step, dtype=next(model.parameters()).dtype)
    loss = F.cross_entropy(model(images), labels)
    (scale * loss).backward()
    return loss


def train(model, optimizer, steps):
    for step in steps:
        optimizer.zero_grad()
        backward(model, step)

        def closure(step=step):
            optimizer.zero_grad()
            return backward(model, step)

        optimizer.step(closure)


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def assert_same_bits(tensors, others):
    assert len(tensors) == len(others)
    for tensor, other in zip(tensors, others, strict=True):
        assert torch.equal(tensor, other)


def snapshot(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


def parameter(*values, dtype=torch.float32):
    return nn.Parameter(torch.tensor(values, dtype=dtype))

"""The family of balls that the tests of the ascent step share: its members, their norms, and random tensors."""

import itertools
import math

import torch

from sharpness.optim.laws import FORMULAS

METRICS = (1.0, 1.0 + 1e-9, 1.01, 1.5, 2.0, 3.0, 40.0, 1e6, 1e12, math.inf)
GEOMETRIES = ("euclidean", "absolute", "absolute-weights", "fisher")
FAMILY = [
    (p, geometry, normalization)
    for p, geometry, normalization in itertools.product(METRICS, GEOMETRIES, ("dual", "none", "max"))
    if (p, normalization) != (1.0, "none")
]
FAMILY += [(2.0, geometry, law) for geometry in GEOMETRIES for law in FORMULAS]


def eta_of(geometry):
    return 0.3 if geometry in ("absolute-weights", "fisher") else 0.0


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def norm(x, p):
    """The p-norm of a vector, for a p so large or so near 1 that the powers themselves would overflow."""
    largest = x.abs().max()
    return largest * torch.linalg.vector_norm(x / largest, p)


def dual_of(p):
    return math.inf if p == 1 else 1.0 if p == math.inf else p / (p - 1)


def geometry_vector(weights, gradients, geometry, adapted):
    """T as one vector."""
    if geometry == "absolute":
        return flat(weights).abs()
    if geometry == "absolute-weights":
        return flat([w.abs() + 0.3 if flag else torch.ones_like(w) for w, flag in zip(weights, adapted, strict=True)])
    if geometry == "fisher":
        return (1 / (1 + 0.3 * flat(gradients) ** 2)).sqrt()
    return torch.ones_like(flat(weights))


def random_tensors(seed, *shapes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]

"""The ascent step of Sharpness-Aware Minimization, for every ball of the family in one function.

For a metric p in [1, inf], its dual q (1/p + 1/q = 1) and a diagonal geometry T ≥ 0, the perturbation that maximises
⟨g, ε⟩ over the ball ‖T⁻¹ε‖_p ≤ ρ is

    ε = ρ T sign(Tg) |Tg|^(q-1) / ‖Tg‖_q^(q-1).

All norms run over all tensors together, as if they were one vector.
"""

import functools
import math
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from sharpness.optim.geometries import geometry_names, geometry_of
from sharpness.optim.laws import FORMULAS, LAWS, NORM_FLOOR
from sharpness.optim.sharded import Owners, joint_norm

Tensors = list[Tensor] | tuple[Tensor, ...]

NORMALIZATIONS = ("dual", "none", "max", *FORMULAS)

# A larger radius would not fit into the scalar that float32 kernels take.
LARGEST_RADIUS = torch.finfo(torch.float32).max

# On a CPU: entries that are summed in float32 at a time, and the norms whose squared entries float32 holds.
PIECE = 2**16
SAFE_NORMS = (1e-15, 1e15)


class Part(NamedTuple):
    """Some of the weights with their gradients, and the diagonal T that holds for them (see `ascent_step`)."""

    weights: Tensors
    gradients: Tensors
    geometry: str
    eta: float
    adapted: Sequence[bool] | None


@torch.no_grad()
def ascent_step(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    rho: float | Tensor,
    *,
    p: float = 2.0,
    geometry: str = "euclidean",
    eta: float = 0.0,
    normalization: str = "dual",
    adapted: Sequence[bool] | None = None,
) -> list[Tensor]:
    """Return the perturbations ε that SAM adds to the weights w before it takes its second gradient.

    Nothing is read back to the host, so the step can be captured in a CUDA graph. A zero gradient gives zero; one that
    is not finite gives an ε that is not, except that p = inf takes no notice of its size (a NaN counts as 0 there).

    Args:
        weights: The n parameter tensors, of any shapes, on one device.
        gradients: Their n gradients g, of the same shapes.
        rho: Radius ρ of the ball, in units of the weights (relative to T where T is not 1): a float, or a 0-dim
            tensor on the same device, which is checked on a CPU only.
        p: Metric of the ball, in [1, inf]. 2 is SAM (Foret et al. 2021); inf moves every coordinate equally far; 1
            moves the largest coordinate alone (those that tie share the radius).
        geometry: The diagonal T, a module of `sharpness.optim.geometries`.
            "euclidean": T = 1.
            "absolute": T = |w| on every tensor, without η: ASAM as the report ran it.
            "absolute-weights": T = |w| + η on the tensors flagged in ``adapted``, 1 on the others: ASAM as its
            authors define it (Kwon et al. 2021), who flag the tensors named "weight".
            "fisher": T² = 1 / (1 + η g²): Fisher SAM (Kim et al. 2022).
        eta: The constant η of "absolute-weights" and "fisher".
        normalization:
            "dual": the maximiser above, on the surface of the ball.
            "none": the same without its denominator, ρ T sign(Tg) |Tg|^(q-1); for p = 2 it is USAM
            (Andriushchenko & Flammarion 2022).
            "max": ρ T²g / ‖Tg‖_∞, whatever p is: what the report ran as L∞. It is p = 2 with the radius
            ρ ‖Tg‖₂ / ‖Tg‖_∞.
            "interpolation", "monge", "damped": ρ h(‖Tg‖₂) T²g for p = 2, with h of `sharpness.optim.laws`.
        adapted: One flag for each tensor, read by "absolute-weights" only.

    Returns:
        n new tensors shaped like the weights, in the widest dtype among the arguments and at least float32: half
        precision would round ε, which is small beside w, once before the addition rounds it again.

    Raises:
        ValueError: A setting is outside the family, the lists differ in length, or a tensor is complex or sparse.
    """
    check_ball(rho, p, geometry, eta, normalization)
    if len(gradients) != len(weights):
        raise ValueError(f"gradients: got {len(gradients)} tensors for {len(weights)} weights; pass one for each")
    if geometry == "absolute-weights" and (adapted is None or len(adapted) != len(weights)):
        raise ValueError("adapted: geometry 'absolute-weights' needs one flag for each weight tensor")
    for tensor in chain(weights, gradients):
        if not tensor.is_floating_point() or tensor.layout is not torch.strided:
            raise ValueError(f"a tensor is {kind_of(tensor)}; SAM needs dense real weights and gradients")
    if not weights:
        return []

    part = Part(list(weights), list(gradients), geometry, eta, adapted)
    (directions,), scale = ascent_directions([part], p=p, normalization=normalization)
    return list(torch._foreach_mul(directions, step_factor(rho, scale, directions)))


@torch.no_grad()
def ascent_directions(
    parts: Sequence[Part], *, p: float, normalization: str, owners: Owners | None = None
) -> tuple[list[Tensors], float | Tensor]:
    """Directions d and a scale s of the ascent step, ε = ρ s d, for a caller that needs no ε of its own.

    Nothing is checked. The directions may be the gradients themselves; s is a float or a 0-dim tensor on their device.

    Args:
        parts: At least one, each with one tensor at least. One ball holds them all.
        p, normalization: As for `ascent_step`.
        owners: For each tensor of all parts, the process groups over which it is sharded; None if none is.

    Returns:
        The directions of each part, and the scale of them all.
    """
    parts = _in_one_dtype(parts)
    diagonals = [
        geometry_of(part.geometry).diagonal(part.weights, part.gradients, part.eta, part.adapted) for part in parts
    ]
    scaled: list[Tensor] = []
    for part, (rows, diagonal) in zip(parts, diagonals, strict=True):
        own = list(part.gradients)
        if rows:
            for row, product in zip(rows, torch._foreach_mul([own[row] for row in rows], diagonal), strict=True):
                own[row] = product
        scaled += own
    flat, scale = _directions(scaled, p, normalization, owners)
    directions: list[Tensors] = []
    start = 0
    for part, (rows, diagonal) in zip(parts, diagonals, strict=True):
        share = flat[start : start + len(part.weights)]
        start += len(share)
        if rows:
            torch._foreach_mul_([share[row] for row in rows], diagonal)
        directions.append(share)
    return directions, scale


def step_factor(rho: float | Tensor, scale: float | Tensor, directions: Tensors) -> float | Tensor:
    """The factor ρ s of the directions, as foreach kernels want it.

    What lies on the CPU is read there, which waits for nothing; a factor on another device stays there, 0-dim and in
    the dtype of the directions.
    """
    factor = _read_on_cpu(rho) * _read_on_cpu(scale)
    return factor.to(directions[0].dtype) if isinstance(factor, Tensor) else factor


def _read_on_cpu(value: float | Tensor) -> float | Tensor:
    return value.item() if isinstance(value, Tensor) and value.device.type == "cpu" else value


def check_ball(rho: float | Tensor, p: float, geometry: str, eta: float, normalization: str) -> None:
    """Refuse settings outside the family.

    Raises:
        ValueError: One line that names the setting.
    """
    radius = _read_on_cpu(rho)
    if not isinstance(radius, Tensor) and not 0 <= radius <= LARGEST_RADIUS:
        raise ValueError(f"rho: the radius is {radius}; it must be at least 0, finite and within float32")
    if not p >= 1:
        raise ValueError(f"p: the metric is {p}; it must lie in [1, inf]")
    if geometry not in geometry_names():
        raise ValueError(f"geometry: unknown {geometry!r}; choose one of {', '.join(geometry_names())}")
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization: unknown {normalization!r}; choose one of {', '.join(NORMALIZATIONS)}")
    if not 0 <= eta < math.inf:
        raise ValueError(f"eta: the constant is {eta}; it must be at least 0 and finite")
    if eta > 0 and not geometry_of(geometry).HAS_ETA:
        raise ValueError(f"eta: geometry {geometry!r} has no such constant; leave it at 0")
    if p != 2 and normalization in FORMULAS:
        raise ValueError(f"normalization: {normalization!r} is a law of the Euclidean norm; use it with p = 2")
    if p == 1 and normalization == "none":
        raise ValueError("normalization: 'none' has no limit at p = 1; use 'dual', or a larger p")


def kind_of(tensor: Tensor) -> str:
    """What a tensor is that SAM does not perturb, such as "sparse" or "complex64"."""
    return "sparse" if tensor.layout is not torch.strided else str(tensor.dtype).removeprefix("torch.")


def _in_one_dtype(parts: Sequence[Part]) -> Sequence[Part]:
    dtypes = {tensor.dtype for part in parts for tensors in part[:2] for tensor in tensors}
    dtype = functools.reduce(torch.promote_types, dtypes, torch.float32)
    if dtypes == {dtype}:
        return parts
    return [
        part._replace(
            weights=[weight.to(dtype) for weight in part.weights],
            gradients=[gradient.to(dtype) for gradient in part.gradients],
        )
        for part in parts
    ]


def _directions(
    scaled_gradients: Tensors, p: float, normalization: str, owners: Owners | None
) -> tuple[Tensors, float | Tensor]:
    """Directions d and their scale s, such that ε = ρ s T d."""
    if normalization == "max":
        return scaled_gradients, 1.0 / (_largest(torch._foreach_abs(scaled_gradients), owners) + NORM_FLOOR)
    if p == 2 and normalization == "none":
        return scaled_gradients, 1.0
    if p == 2:
        return scaled_gradients, LAWS[normalization](_norm(scaled_gradients, 2.0, owners))

    directions = torch._foreach_sign(scaled_gradients)
    if p == math.inf:
        return directions, 1.0

    sizes = torch._foreach_abs(scaled_gradients)
    if normalization == "dual":
        # With the largest size at 1 the power below cannot overflow, and what underflows is negligible.
        largest = _largest(sizes, owners)
        torch._foreach_div_(sizes, torch.where(largest > 0, largest, 1.0))
    torch._foreach_pow_(sizes, math.inf if p == 1 else 1.0 / (p - 1.0))  # q - 1; 1^inf is 1, and less^inf is 0
    torch._foreach_mul_(directions, sizes)
    if normalization == "none":
        return directions, 1.0
    # With m the largest, ‖d‖_p = ‖Tg/m‖_q^(q-1), since p (q-1) = q. Taken of d itself, it puts ε on the sphere
    # whatever the power has rounded. It is at least 1 unless the gradient is zero.
    return directions, 1.0 / (_norm(directions, p, owners) + NORM_FLOOR)


def _largest(sizes: Tensors, owners: Owners | None) -> Tensor:
    if owners is not None:
        return joint_norm(_largest_here, sizes, owners, math.inf).to(sizes[0].dtype)
    return _largest_here(sizes)


def _largest_here(sizes: Tensors) -> Tensor:
    filled = [size for size in sizes if size.numel()] or [sizes[0].new_zeros(1)]
    return torch.stack(torch._foreach_max(filled)).max()


def _norm(tensors: Tensors, order: float, owners: Owners | None) -> float | Tensor:
    if owners is not None:
        return _read_on_cpu(joint_norm(lambda own: _norm_here(own, order), tensors, owners, order))
    return _norm_here(tensors, order)


def _norm_here(tensors: Tensors, order: float) -> float | Tensor:
    """The norm over all tensors together: a float on a CPU, else 0-dim on their device.

    A float32 sum loses digits as it grows (on a CPU, 4e-5 of the norm over two million entries), and the squares of
    tiny or huge entries leave its range. So it is summed in float64, which MPS lacks. On a CPU that takes as long as
    the rest of the step: there a Euclidean norm whose squares stay in range is summed over short pieces in float32, to
    a few 1e-6 of it (4e-4 where all entries are equal, so that every sum rounds the same way).
    """
    device = tensors[0].device.type
    if device == "cpu" and order == 2:
        norm = math.hypot(*(part.item() for part in torch._foreach_norm(_pieces(tensors), order)))
        if SAFE_NORMS[0] < norm < SAFE_NORMS[1]:
            return norm
    dtype = torch.float32 if device == "mps" else torch.float64
    norms = torch.stack(torch._foreach_norm(tensors, order, dtype=dtype))
    return _read_on_cpu(torch.linalg.vector_norm(norms, order))


def _pieces(tensors: Tensors) -> list[Tensor]:
    """The tensors, long ones cut along their longest dimension into pieces of about PIECE entries."""
    pieces: list[Tensor] = []
    for tensor in tensors:
        if (entries := tensor.numel()) > PIECE:
            longest = max(range(tensor.dim()), key=tensor.size)
            pieces += torch.split(tensor, max(1, PIECE * tensor.size(longest) // entries), longest)
        else:
            pieces.append(tensor)
    return pieces

"""Parameters that are shards of larger ones: DTensors, as `torch.distributed.fsdp.fully_shard` makes them.

ε is formed shard by shard, and only norms need the other processes: each process takes the norm of its own shards, and
their powers are summed over the mesh.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

# For each tensor, the process groups over which it is sharded; none for a tensor that every process has whole.
Owners = Sequence[tuple[Any, ...]]


def is_sharded(tensor: Tensor) -> bool:
    """Whether the tensor is a DTensor, told without importing torch.distributed."""
    return hasattr(tensor, "placements")


def to_local(tensor: Any) -> Tensor:
    """This process's part, in the DTensor's own storage; another tensor is that part itself."""
    part: Tensor = tensor.to_local() if is_sharded(tensor) else tensor
    return part


def owners_of(tensor: Any) -> tuple[Any, ...]:
    """The process groups over which a tensor is sharded.

    Raises:
        RuntimeError: The tensor is a partial sum, which has no norm before it is reduced.
    """
    if not is_sharded(tensor):
        return ()
    if any(placement.is_partial() for placement in tensor.placements):
        raise RuntimeError("first_step: a gradient is a partial sum over the mesh; reduce it before the step")
    return tuple(
        tensor.device_mesh.get_group(dimension)
        for dimension, placement in enumerate(tensor.placements)
        if placement.is_shard()
    )


def joint_norm(
    norm: Callable[[list[Tensor]], float | Tensor], tensors: Sequence[Tensor], owners: Owners, order: float
) -> Tensor:
    """The norm over the tensors of all processes together, 0-dim in float64; every process must call it.

    Args:
        norm: The norm of tensors that this process has.
        tensors: This process's parts.
        owners: Over which groups each of them is sharded. What every process has whole counts once.
        order: Of the norm, in [1, inf].
    """
    norms = []
    for groups in dict.fromkeys(owners):
        own = [tensor for tensor, its in zip(tensors, owners, strict=True) if its == groups]
        part = torch.as_tensor(norm(own), dtype=torch.float64, device=own[0].device)
        for group in groups:
            if order == float("inf"):
                torch.distributed.all_reduce(part, torch.distributed.ReduceOp.MAX, group)
            else:
                part = part.pow(order)
                torch.distributed.all_reduce(part, torch.distributed.ReduceOp.SUM, group)
                part = part.pow(1.0 / order)
        norms.append(part)
    joint: Tensor = torch.linalg.vector_norm(torch.stack(norms), order)
    return joint

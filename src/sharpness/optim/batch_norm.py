"""BatchNorm in SAM's second pass."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Keep BatchNorm's running statistics still; a model in training mode still normalises by the batch's own.

    Around SAM's second pass, it lets the first pass alone decide the statistics that evaluation uses. A BatchNorm in
    training mode that does not track touches neither ``running_mean``, ``running_var`` nor ``num_batches_tracked``; in
    evaluation mode it reads them as always. What was tracked is tracked again on leaving, also after an exception.

    Covers ``BatchNorm1d/2d/3d`` and ``SyncBatchNorm``. ``InstanceNorm``, which does not track by default, has no such
    switch.
    """
    tracking = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True

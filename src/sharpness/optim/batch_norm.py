"""BatchNorm in SAM's second pass."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class frozen_statistics:  # named like torch.no_grad, and used like it
    """Keep BatchNorm's running statistics still; a model in training mode still normalises by the batch's own.

    Around SAM's second pass, it lets the first pass alone decide the statistics that evaluation uses. A BatchNorm in
    training mode that does not track touches neither ``running_mean``, ``running_var`` nor ``num_batches_tracked``; in
    evaluation mode it reads them as always. What was tracked is tracked again on leaving, also after an exception.

    One may be kept and entered at every step, which saves the search through the model. It knows the layers that the
    model had when it was made.

    Only the forward pass has to lie inside; with activation checkpointing, which repeats it in the backward pass, that
    one as well.

    Covers ``BatchNorm1d/2d/3d`` and ``SyncBatchNorm``. ``InstanceNorm``, which does not track by default, has no such
    switch.

    Args:
        model: the model that holds them.

    Raises:
        ValueError: A BatchNorm of the model is scripted or traced, which has made its tracking a constant.
    """

    def __init__(self, model: nn.Module) -> None:
        for name, module in model.named_modules():
            if isinstance(module, torch.jit.ScriptModule) and "BatchNorm" in module.original_name:
                raise ValueError(f"model: its BatchNorm {name!r} is scripted and always tracks; pass the eager model")
        self._layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self._stopped: list[list[_BatchNorm]] = []  # by each entry that has not been left

    def __enter__(self) -> None:
        tracking = [layer for layer in self._layers if layer.track_running_stats]
        _set_tracking(tracking, False)
        self._stopped.append(tracking)

    def __exit__(self, *exception: object) -> None:
        _set_tracking(self._stopped.pop(), True)


def _set_tracking(layers: list[_BatchNorm], track: bool) -> None:
    for layer in layers:
        # Module's own __setattr__ first looks for parameters and submodules: 3 us a layer, twice in every step.
        object.__setattr__(layer, "track_running_stats", track)

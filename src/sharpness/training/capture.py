"""A whole training step as one CUDA graph: recorded once for each batch size, replayed without the host's overhead."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sharpness.errors import SettingError

WARM_UP_STEPS = 3


class CapturedStep:
    """A step of (inputs, labels) → logits that replays its recording.

    The step must read nothing back to the host and keep every parameter's, statistic's and momentum's storage. What
    changes between steps must be in tensors on the device: the learning rates are moved into some. The logits are the
    recording's own buffer, which the next call overwrites.

    Recording takes some steps for warm-up, in which libraries choose their kernels and the optimizer makes its
    momentum; afterwards weights, statistics, momentum and random state are as they were. Momentum that did not exist
    before is left at zero, from which SGD's next step is its first.

    Raises:
        SettingError: the optimizer ascends in some of its steps alone.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], model: nn.Module, optimizer: torch.optim.Optimizer):
        if getattr(optimizer, "when", None) is not None:
            raise SettingError("when: a recording holds one kind of step; set cuda_graph: false in config/config.yaml")
        self.step, self.model, self.optimizer = step, model, optimizer
        for group in optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"], device=group["params"][0].device)
        self._recordings: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, Tensor, Tensor]] = {}

    def __call__(self, inputs: Tensor, labels: Tensor) -> Tensor:
        if len(labels) not in self._recordings:
            self._recordings[len(labels)] = self._record(inputs.clone(), labels.clone())
        graph, static_inputs, static_labels, logits = self._recordings[len(labels)]
        static_inputs.copy_(inputs)
        static_labels.copy_(labels)
        graph.replay()
        return logits

    def _record(self, inputs: Tensor, labels: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor, Tensor]:
        device = inputs.device
        state = list(self.model.state_dict().values())
        saved = [tensor.clone() for tensor in state]
        momentum = self._momentum()
        saved_momentum = {id(buffer): buffer.clone() for buffer in momentum}
        random_state = torch.cuda.get_rng_state(device)

        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                self.step(inputs, labels)
        torch.cuda.current_stream(device).wait_stream(stream)

        for tensor, value in zip(state, saved, strict=True):
            tensor.copy_(value)
        for buffer in self._momentum():
            buffer.copy_(saved_momentum.get(id(buffer), torch.zeros((), device=device)))
        torch.cuda.set_rng_state(random_state, device)

        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            logits = self.step(inputs, labels)
        return graph, inputs, labels, logits

    def _momentum(self) -> list[Tensor]:
        return [
            value for state in self.optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
        ]

"""Memory: one copy of the weights that are perturbed, and what an ascent step needs for a moment."""

import gc
import weakref
from multiprocessing import get_context

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sharpness import SAM, preset

SIZE = 1 << 12  # entries of each parameter; what is smaller is not counted


def live_bytes():
    """Bytes of all large tensors that are alive, each storage once."""
    gc.collect()
    tensors = [found for found in gc.get_objects() if issubclass(type(found), torch.Tensor)]
    return sum(
        {
            tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
            for tensor in tensors
            if tensor.numel() >= SIZE
        }.values()
    )


class Made(TorchDispatchMode):
    """The most bytes alive at a time, after any operation inside, of the tensors that were made inside."""

    def __init__(self):
        super().__init__()
        self.references, self.most = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [result] if isinstance(result, torch.Tensor) else result if isinstance(result, list | tuple) else []
        self.references += [weakref.ref(tensor) for tensor in made if tensor.numel() >= SIZE]
        alive = [tensor for reference in self.references if (tensor := reference()) is not None]
        sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in alive}
        self.most = max(self.most, sum(sizes.values()))
        return result


def parameters():
    return [(name, nn.Parameter(torch.randn(SIZE))) for name in ("a.weight", "b.weight", "b.bias")]


def backward(named):
    for _, parameter in named:
        (parameter**2).sum().backward()


def sgd(named):
    return torch.optim.SGD(named, lr=0.1, momentum=0.9)


def after_a_step(settings):
    """Bytes that are alive after a step of SAM, or of SGD alone, gradients cleared, beside those before."""
    before = live_bytes()
    named = parameters()
    optimizer = sgd(named) if settings is None else SAM.wrap(sgd(named), **settings)
    backward(named)
    optimizer.step() if settings is None else optimizer.step(lambda: backward(named))
    optimizer.zero_grad()
    return live_bytes() - before


def test_one_copy_of_the_perturbed_weights_lasts_beyond_the_base_optimizer():
    """In a process of its own, where nobody else's tensors come and go."""
    cases = [None, preset("sam"), preset("asam"), preset("fisher"), {"perturb": "b.*"}]
    with get_context("spawn").Pool(1) as alone:
        found = [size / (SIZE * 4) for size in alone.map(after_a_step, cases)]
    assert found == [6, 9, 9, 9, 8]


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        (preset("sam"), 0),
        (preset("usam"), 0),
        (preset("linf-as-run"), 1),
        (preset("linf"), 1),
        (preset("asam-as-run"), 1),
        (preset("asam"), 4 / 3),  # its T follows two of the three
        (preset("fisher"), 2),
        ({"p": 3.0}, 2),
    ],
)
def test_an_ascent_step_needs_this_many_tensors_a_parameter_for_a_moment(settings, most):
    named = parameters()
    optimizer = SAM.wrap(sgd(named), **settings)
    backward(named)
    optimizer.step(lambda: backward(named))
    optimizer.zero_grad()
    backward(named)
    with Made() as made:
        optimizer.first_step()
    optimizer.restore()
    assert made.most / (3 * SIZE * 4) == pytest.approx(most)

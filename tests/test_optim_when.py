"""Steps that ascend and steps that do not: which, at what radius, and what they cost."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sharpness import SAM, After, Every, Last

SGD = {"lr": 0.1, "momentum": 0.9}
STEPS = 12


class Counted(nn.Module):
    """A network that counts its backward passes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
        self.backward_passes = 0
        self.layers[0].weight.register_post_accumulate_grad_hook(self._count)

    def _count(self, _):
        self.backward_passes += 1

    def forward(self, inputs):
        return self.layers(inputs)


def backward(model, step):
    generator = torch.Generator().manual_seed(step)
    loss = F.cross_entropy(model(torch.randn(8, 4, generator=generator)), torch.arange(8) % 2)
    loss.backward()
    return loss


def closure_loop(model, optimizer, steps):
    for step in steps:
        optimizer.zero_grad()
        backward(model, step)
        optimizer.step(lambda step=step: backward(model, step))


def manual_loop(model, optimizer, steps):
    for step in steps:
        backward(model, step)
        if optimizer.ascends:
            optimizer.first_step(zero_grad=True)
            backward(model, step)
            optimizer.second_step(zero_grad=True)
        else:
            optimizer.step()
            optimizer.zero_grad()


POLICIES = [
    (None, range(STEPS)),
    (Every(1), range(STEPS)),
    (Every(2), [1, 3, 5, 7, 9, 11]),
    (Every(5), [4, 9]),
    (Every(5, scale=0.0), []),
    (Last(0.25, STEPS), [9, 10, 11]),
    (Last(1.0, STEPS), range(STEPS)),
    (Last(0.0, STEPS), []),
    (After(4), range(4, STEPS)),
    (After(2, ramp=3), range(2, STEPS)),
    (lambda step: float(step in (0, 7)), [0, 7]),
]


@pytest.mark.parametrize(("when", "ascending"), POLICIES)
@pytest.mark.parametrize("loop", [closure_loop, manual_loop])
def test_a_plain_step_costs_one_backward_pass_and_one_that_ascends_two(when, ascending, loop):
    model = Counted()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, when=when, **SGD)
    costs = []
    for step in range(STEPS):
        before = model.backward_passes
        loop(model, optimizer, [step])
        costs.append(model.backward_passes - before)
    assert costs == [2 if step in ascending else 1 for step in range(STEPS)]
    assert optimizer.steps == STEPS


@pytest.mark.parametrize("loop", [closure_loop, manual_loop])
def test_plain_steps_are_the_base_optimizers_bit_for_bit(loop):
    model, plain_model = Counted(), Counted()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, when=Last(0.0, STEPS), **SGD)
    plain = torch.optim.SGD(plain_model.parameters(), **SGD)
    loop(model, optimizer, range(STEPS))
    for step in range(STEPS):
        plain.zero_grad()
        backward(plain_model, step)
        plain.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain_model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("when", "lengths"),
    [
        (Every(2, scale=3.0), [0, 0.3, 0, 0.3]),
        (After(1, ramp=1), [0, 0.05, 0.1, 0.1]),
        (Last(0.5, 4), [0, 0, 0.1, 0.1]),
    ],
)
@pytest.mark.parametrize("rho", [0.1, torch.tensor(0.1, dtype=torch.float64)])
def test_the_radius_is_scaled_as_given(when, lengths, rho):
    model = Counted().double()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=rho, when=when, lr=0.1)
    found = []
    for _ in lengths:
        model.zero_grad()
        model(torch.ones(1, 4, dtype=torch.float64)).sum().backward()
        before = [weight.detach().clone() for weight in model.parameters()]
        if optimizer.ascends:
            optimizer.first_step()
        moved = [weight.detach() - was for weight, was in zip(model.parameters(), before, strict=True)]
        found.append(torch.cat([move.flatten() for move in moved]).norm().item())
        optimizer.second_step() if optimizer.ascends else optimizer.step()
    assert found == pytest.approx(lengths)


def test_a_resumed_run_ascends_where_the_other_would_have():
    model = Counted()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, when=Every(3), **SGD)
    closure_loop(model, optimizer, range(4))
    resumed = Counted()
    resumed.load_state_dict(model.state_dict())
    resumed_optimizer = SAM(resumed.parameters(), torch.optim.SGD, when=Every(3), lr=1.0)
    resumed_optimizer.load_state_dict(pickle.loads(pickle.dumps(optimizer.state_dict())))
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    for net, its in ((model, optimizer), (resumed, resumed_optimizer), (twin, twin_optimizer)):
        closure_loop(net, its, range(4, 10))
    for other in (resumed, twin):
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert optimizer.steps == resumed_optimizer.steps == twin_optimizer.steps == 10


def test_updates_are_counted_whoever_calls_the_base_optimizers_step():
    model = Counted()
    optimizer = SAM(model.parameters(), torch.optim.SGD, when=Every(2), **SGD)
    backward(model, 0)
    optimizer.base_optimizer.step()
    assert optimizer.ascends


def test_a_pass_that_is_not_due_is_refused():
    model = Counted()
    optimizer = SAM(model.parameters(), torch.optim.SGD, when=Every(2), **SGD)
    backward(model, 0)
    with pytest.raises(RuntimeError, match=r"^first_step: this step is a plain one"):
        optimizer.first_step()
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"^step: SAM needs a closure"):
        optimizer.step()


def test_factors_and_intervals_that_are_none_are_refused():
    for arguments in ((0,), (2, -1.0), (2, float("nan"))):
        with pytest.raises(ValueError, match=r"^(k|when): "):
            Every(*arguments)
    with pytest.raises(ValueError, match=r"^fraction: "):
        Last(1.5, 10)
    with pytest.raises(ValueError, match=r"^ramp: "):
        After(1, ramp=-1)
    model = Counted()
    optimizer = SAM(model.parameters(), torch.optim.SGD, when=lambda step: -1.0, **SGD)
    with pytest.raises(ValueError, match=r"^when: the factor on the radius is -1.0"):
        optimizer.step()

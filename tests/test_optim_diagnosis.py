"""What a diagnosis records, and each of its warnings: provoked, and not."""

import math
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sharpness import SAM, diagnose, frozen_statistics, preset

torch.set_num_threads(1)

SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}


def network(dtype=torch.float32, dropout=0.2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Dropout(dropout), nn.Linear(16, 4)).to(
        dtype
    )


def batch(step, dtype=torch.float32):
    generator = torch.Generator().manual_seed(step)
    return torch.randn(32, 6, generator=generator).to(dtype), torch.randint(0, 4, (32,), generator=generator)


def train(
    model, optimizer, steps=3, *, freeze=True, second_batch=0, decay=0.0, with_closure=False, micro_batches=1, clip=None
):
    """A loop with its faults to choose."""
    dtype = next(model.parameters()).dtype

    def one_pass(step):
        inputs, labels = batch(step, dtype)
        for x, y in zip(inputs.chunk(micro_batches), labels.chunk(micro_batches), strict=True):
            loss = F.cross_entropy(model(x).float(), y)
            loss = loss + 0.5 * decay * sum(weight.float().square().sum() for weight in model.parameters())
            (loss / micro_batches).backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)

    for step in range(steps):
        one_pass(step)

        def second_pass(step=step):
            if freeze:
                with frozen_statistics(model):
                    one_pass(step + second_batch)
            else:
                one_pass(step + second_batch)

        if with_closure:
            optimizer.step(second_pass)
        else:
            optimizer.first_step(zero_grad=True)
            second_pass()
            optimizer.second_step()
        optimizer.zero_grad()


def diagnosed(model, optimizer, **faults):
    """The diagnosis of a loop, which has warned of exactly what it lists."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with diagnose(optimizer, model) as found:
            train(model, optimizer, **faults)
    assert [str(warning.message) for warning in caught] == [f"SAM: {line}" for line in found.warnings]
    return found


@pytest.mark.parametrize("with_closure", [False, True])
@pytest.mark.parametrize(
    "faults", [{}, {"micro_batches": 2}, {"clip": 0.5}], ids=["whole batch", "accumulated", "clipped"]
)
@pytest.mark.parametrize("name", ["sam", "asam", "usam", "linf", "fisher"])
def test_a_sound_loop_is_not_warned_of_and_not_changed(with_closure, faults, name):
    model, plain = network(), network()
    torch.manual_seed(1)
    found = diagnosed(
        model,
        SAM(model.named_parameters(), torch.optim.SGD, **preset(name), **SGD),
        with_closure=with_closure,
        **faults,
    )
    assert found.warnings == []
    torch.manual_seed(1)
    train(
        plain,
        SAM(plain.named_parameters(), torch.optim.SGD, **preset(name), **SGD),
        with_closure=with_closure,
        **faults,
    )
    for ours, theirs in zip(model.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_records_are_what_the_step_did():
    """On a quadratic, where every number is known."""
    weight = nn.Parameter(torch.tensor([1.0, 2.0], dtype=torch.float64))
    curvature = torch.tensor([3.0, 1.0], dtype=torch.float64)
    optimizer = SAM([weight], torch.optim.SGD, rho=0.5, lr=0.0)

    def loss():
        value = 0.5 * (curvature * weight**2).sum()
        value.backward()
        return value

    with diagnose(optimizer) as found:
        for _ in range(2):
            loss()
            optimizer.step(loss)
            optimizer.zero_grad()
    g = curvature * torch.tensor([1.0, 2.0], dtype=torch.float64)
    epsilon = 0.5 * g / g.norm()
    perturbed = g + curvature * epsilon
    assert len(found.steps) == 2
    step = found.steps[-1]
    assert step.epsilon == pytest.approx(0.5)
    assert step.arrived == pytest.approx(1.0)
    assert step.gradient == pytest.approx(g.norm().item())
    assert step.perturbed_gradient == pytest.approx(perturbed.norm().item())
    assert step.cosine == pytest.approx((g @ perturbed / g.norm() / perturbed.norm()).item())
    assert step.first_order == pytest.approx(0.5 * g.norm().item())
    assert step.increase == pytest.approx((g @ epsilon + 0.5 * (curvature * epsilon**2).sum()).item())
    assert str(found).startswith("2 steps, medians: ‖ε‖ 0.5, ")


def test_it_leaves_nothing_behind():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
    before = set(vars(optimizer)), len(optimizer.base_optimizer._optimizer_step_pre_hooks)
    found = diagnosed(model, optimizer)
    with pytest.raises(KeyError), diagnose(optimizer, model):
        raise KeyError
    assert (set(vars(optimizer)) - {"_opt_called"}, len(optimizer.base_optimizer._optimizer_step_pre_hooks)) == before
    assert not model._forward_hooks
    assert not model._forward_pre_hooks
    train(model, optimizer)
    assert len(found.steps) == 3


class TestPerturbationLostToRounding:
    def test_is_warned_of_in_bfloat16_parameters(self):
        model = network(torch.bfloat16)
        found = diagnosed(model, SAM(model.parameters(), torch.optim.SGD, rho=1e-3, **SGD))
        assert [line.split(":")[0] for line in found.warnings] == ["perturbation lost"]
        assert found.steps[0].arrived < 0.5

    def test_is_not_where_it_is_large_enough_or_under_autocast(self):
        model = network(torch.bfloat16)
        assert diagnosed(model, SAM(model.parameters(), torch.optim.SGD, rho=1.0, lr=0.01)).warnings == []
        model = network()
        with torch.autocast("cpu", torch.bfloat16):
            found = diagnosed(model, SAM(model.parameters(), torch.optim.SGD, rho=1e-3, **SGD))
        assert found.warnings == []


class TestRadiusTooLarge:
    def found(self, rho):
        """The loss −cos(w): at w = 1 an ascent step of π − 1 ends on the maximum, whose gradient is 0."""
        weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
        optimizer = SAM([weight], torch.optim.SGD, rho=rho, lr=0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with diagnose(optimizer) as found:
                (-weight.cos()).sum().backward()
                optimizer.step(lambda: (-weight.cos()).sum().backward())
        return found

    def test_is_warned_of_where_the_second_gradient_vanishes(self):
        assert [line.split(":")[0] for line in self.found(math.pi - 1).warnings] == ["rho too large"]

    def test_is_not_where_it_does_not(self):
        assert self.found(0.5).warnings == []


class TestStatisticsMovedTwice:
    def test_is_warned_of_without_frozen_statistics(self):
        model = network()
        found = diagnosed(model, SAM(model.parameters(), torch.optim.SGD, **SGD), freeze=False)
        assert [line.split(":")[0] for line in found.warnings] == ["BatchNorm statistics moved twice"]

    def test_is_not_without_batch_norm(self):
        model = network()
        model[1] = nn.LayerNorm(16)
        assert diagnosed(model, SAM(model.parameters(), torch.optim.SGD, **SGD), freeze=False).warnings == []


class TestWeightDecayInTheAscentGradient:
    @pytest.mark.parametrize("decay", [5e-4, 0.1])
    def test_is_warned_of_with_its_factor(self, decay):
        model = network()
        found = diagnosed(model, SAM(model.parameters(), torch.optim.SGD, lr=0.1), decay=decay)
        (line,) = found.warnings
        assert line.startswith(f"weight decay in the ascent gradient: it holds {decay:.2g} times the weights")

    def test_is_not_where_the_base_optimizer_decays(self):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, lr=0.1, weight_decay=0.1)
        assert diagnosed(model, optimizer).warnings == []


class TestAnotherBatch:
    def test_is_warned_of(self):
        model = network()
        found = diagnosed(model, SAM(model.parameters(), torch.optim.SGD, **SGD), second_batch=1)
        assert [line.split(":")[0] for line in found.warnings] == ["another batch"]

    def test_is_not_where_a_validation_pass_comes_between(self):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
        with diagnose(optimizer, model) as found:
            for step in range(2):
                train(model, optimizer, 1)
                with torch.no_grad():
                    model(batch(step + 7)[0])
        assert found.warnings == []

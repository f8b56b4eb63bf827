"""The SAM optimizer: its numbers against an independent one, and what it promises to leave alone."""

import math

import pytest
import pytorch_optimizer
import torch
from optim_networks import SGD, assert_same_bits, backward, flat, network, snapshot, train
from torch import nn

from sharpness.optim import SAM, ascent_step

torch.set_num_threads(1)


def exact_squared_norm(groups, device=None, *, weight_adaptive):
    """pytorch_optimizer's squared norm, which it rounds to float32, without the rounding."""
    total = 0.0
    for group in groups:
        for p in group["params"]:
            scaled = p.grad * p.abs() if weight_adaptive and group["adaptive"] else p.grad
            total = total + scaled.square().sum()
    return total.reshape(1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize(("rho", "adaptive"), [(0.05, False), (2.0, True)])
def test_fifty_steps_equal_an_independent_implementation(rho, adaptive, dtype, tolerance, monkeypatch):
    if dtype == torch.float64:
        monkeypatch.setattr(pytorch_optimizer.optimizer.sam, "get_global_gradient_norm", exact_squared_norm)
    weights = []
    for implementation in (SAM, pytorch_optimizer.SAM):
        model = network(dtype)
        start = flat(model)
        optimizer = implementation(model.parameters(), torch.optim.SGD, rho=rho, adaptive=adaptive, **SGD)
        train(model, optimizer, range(50))
        weights.append(flat(model))
    ours, theirs = weights
    assert (theirs - start).norm() > 0.1 * start.norm()
    assert (ours - theirs).norm() <= tolerance * theirs.norm()
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


@pytest.mark.parametrize(
    "ball",
    [
        {"p": math.inf},
        {"p": 1.5, "geometry": "absolute"},
        {"geometry": "absolute-weights", "eta": 0.01},
        {"geometry": "fisher", "eta": 1.0},
        {"normalization": "none"},
        {"normalization": "max"},
    ],
)
def test_first_step_adds_the_ascent_step_of_the_chosen_ball(ball):
    model = network(torch.float64)
    optimizer = SAM(model.named_parameters(), torch.optim.SGD, rho=0.3, lr=0.1, **ball)
    backward(model)
    before = snapshot(model)
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    adapted = [name.endswith("weight") for name, _ in model.named_parameters()]
    assert 0 < sum(adapted) < len(adapted)
    optimizer.first_step()
    perturbations = ascent_step(before, gradients, 0.3, adapted=adapted, **ball)
    for parameter, weight, perturbation in zip(model.parameters(), before, perturbations, strict=True):
        torch.testing.assert_close(parameter.detach(), weight + perturbation, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_come_back_bit_for_bit_in_the_same_storage(dtype):
    model = network().to(memory_format=torch.channels_last)
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=3.0, lr=0.0)
    model.to(dtype)
    for step in range(3):
        optimizer.zero_grad()
        backward(model, step)
        before, storages = snapshot(model), [parameter.data_ptr() for parameter in model.parameters()]
        optimizer.first_step(zero_grad=True)
        assert not torch.equal(flat(model), torch.cat([weight.flatten() for weight in before]))
        backward(model, step)
        optimizer.second_step()
        assert_same_bits(snapshot(model), before)
        assert [parameter.data_ptr() for parameter in model.parameters()] == storages


def test_weights_come_back_bit_for_bit_after_a_cast_between_steps():
    model = network(torch.bfloat16)
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=3.0, lr=0.0)
    for dtype in (torch.bfloat16, torch.float64, torch.float32):
        model.to(dtype)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1 / 3)
        before = snapshot(model)
        backward(model)
        optimizer.first_step(zero_grad=True)
        backward(model)
        optimizer.second_step(zero_grad=True)
        assert_same_bits(snapshot(model), before)


def test_weight_decay_stays_out_of_the_perturbation():
    weights = []
    for weight_decay in (0.0, 0.5):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, lr=0.1, weight_decay=weight_decay)
        backward(model)
        optimizer.first_step(zero_grad=True)
        weights.append(snapshot(model))
    assert_same_bits(*weights)


def test_closure_runs_once_at_the_perturbed_weights_with_gradients_cleared():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.5, lr=0.1)
    loss_before = backward(model)
    calls = []

    def closure():
        assert all(parameter.grad is None for parameter in model.parameters())
        loss = backward(model)
        calls.append(loss)
        return loss

    returned = optimizer.step(closure)
    assert len(calls) == 1
    assert returned is calls[0]
    assert returned > loss_before


def test_an_exception_in_the_closure_leaves_the_weights_where_they_were():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
    backward(model)
    before = snapshot(model)

    def closure():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimizer.step(closure)
    assert_same_bits(snapshot(model), before)
    train(model, optimizer, range(1))


def test_parameters_without_a_gradient_stay_out():
    model = network()
    unused = nn.Parameter(torch.ones(3))
    frozen = model[0].weight.requires_grad_(False)
    frozen_before = frozen.clone()
    optimizer = SAM([*model.parameters(), unused], torch.optim.SGD, rho=1.0, **SGD)
    train(model, optimizer, range(2))
    assert torch.equal(unused, torch.ones(3))
    assert torch.equal(frozen, frozen_before)
    assert unused not in optimizer._copies._of


def test_a_gradient_in_one_pass_only():
    first, second, both = (nn.Parameter(torch.ones(2)) for _ in range(3))
    optimizer = SAM([first, second, both], torch.optim.SGD, rho=0.5, lr=0.1)
    (first.sum() + both.sum()).backward()
    optimizer.first_step(zero_grad=True)
    torch.testing.assert_close(both.detach(), torch.full((2,), 1.25))
    torch.testing.assert_close(first.detach(), torch.full((2,), 1.25))
    (second.sum() + both.sum()).backward()
    optimizer.second_step()
    torch.testing.assert_close(first.detach(), torch.full((2,), 1.0))
    torch.testing.assert_close(second.detach(), torch.full((2,), 0.9))
    torch.testing.assert_close(both.detach(), torch.full((2,), 0.9))


def test_groups_share_the_norm_and_have_their_own_radius():
    a, b, c = (nn.Parameter(torch.full((2,), 2.0, dtype=torch.float64)) for _ in range(3))
    optimizer = SAM(
        [{"params": [a], "rho": 0.5}, {"params": [b], "rho": torch.tensor(0.25)}, {"params": [c], "adaptive": True}],
        torch.optim.SGD,
        rho=0.1,
        lr=0.1,
    )
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "rho": 0.0})
    (a.sum() + 2 * b.sum() + 3 * c.sum()).backward()
    optimizer.first_step()
    norm = math.sqrt(2 * 1 + 2 * 4 + 2 * (2 * 3) ** 2)
    torch.testing.assert_close(a.detach(), torch.full_like(a, 2 + 0.5 * 1 / norm))
    torch.testing.assert_close(b.detach(), torch.full_like(b, 2 + 0.25 * 2 / norm))
    torch.testing.assert_close(c.detach(), torch.full_like(c, 2 + 0.1 * 4 * 3 / norm))


def test_zero_grad_clears_to_none_or_to_zero():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
    backward(model)
    optimizer.zero_grad(set_to_none=False)
    assert not any(parameter.grad.any() for parameter in model.parameters())
    backward(model)
    optimizer.first_step(zero_grad=True)
    assert all(parameter.grad is None for parameter in model.parameters())
    backward(model)
    optimizer.second_step(zero_grad=True)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_names_that_contain_weight_are_adapted_beside_frozen_parameters():
    frozen, bias, scale = (nn.Parameter(torch.tensor([3.0], dtype=torch.float64)) for _ in range(3))
    frozen.requires_grad_(False)
    named = [("weight", frozen), ("bias", bias), ("weight_g", scale)]
    optimizer = SAM(named, torch.optim.SGD, rho=0.5, geometry="absolute-weights", lr=0.1)
    (bias + scale).sum().backward()
    optimizer.first_step()
    length = math.sqrt(1 + 3**2)
    assert (frozen.item(), bias.item()) == (3.0, pytest.approx(3 + 0.5 / length))
    assert scale.item() == pytest.approx(3 + 0.5 * 9 / length)


def test_a_closure_has_gradients_under_no_grad_as_well():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
    backward(model)
    before = flat(model)
    with torch.no_grad():
        optimizer.step(lambda: backward(model))
    assert not torch.equal(flat(model), before)


class TestMisuse:
    @pytest.fixture
    def optimizer(self):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
        backward(model)
        return optimizer

    def test_second_step_comes_after_first_step(self, optimizer):
        with pytest.raises(RuntimeError, match="call first_step before"):
            optimizer.second_step()

    def test_first_step_does_not_come_twice(self, optimizer):
        optimizer.first_step()
        with pytest.raises(RuntimeError, match="perturbed already"):
            optimizer.first_step()

    def test_step_needs_a_closure(self, optimizer):
        with pytest.raises(RuntimeError, match="closure"):
            optimizer.step()

    def test_first_step_needs_gradients(self, optimizer):
        optimizer.zero_grad()
        with pytest.raises(RuntimeError, match="backward"):
            optimizer.first_step()

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"rho": -1.0}, "rho"),
            ({"p": 0.5}, "p:"),
            ({"geometry": "riemannian"}, "geometry"),
            ({"normalization": "l2"}, "normalization"),
            ({"eta": 0.1}, "eta"),
            ({"adaptive": True, "geometry": "fisher"}, "adaptive"),
            ({"geometry": "absolute-weights"}, "named_parameters"),
        ],
    )
    def test_bad_settings_are_refused_at_construction(self, settings, message):
        with pytest.raises(ValueError, match=message) as error:
            SAM(network().parameters(), torch.optim.SGD, lr=0.1, **settings)
        assert "\n" not in str(error.value)

    def test_a_group_with_a_negative_radius_is_refused(self, optimizer):
        with pytest.raises(ValueError, match="rho"):
            optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "rho": -1.0})
        assert len(optimizer.param_groups) == 1

    def test_a_group_is_not_adaptive_beside_a_geometry_for_all(self):
        with pytest.raises(ValueError, match="adaptive: geometry 'fisher' holds for every group"):
            SAM([{"params": [nn.Parameter(torch.ones(1))], "adaptive": True}], torch.optim.SGD, geometry="fisher", lr=1)

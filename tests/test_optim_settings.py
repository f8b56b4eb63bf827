"""SAM around an optimizer that exists, its presets, settings of single groups, and masks."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sharpness import SAM, ascent_step, preset, presets

torch.set_num_threads(1)

SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3)).double()


def backward(model, step=0):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(16, 4, generator=generator, dtype=torch.float64)
    loss = F.cross_entropy(model(inputs), torch.randint(0, 3, (16,), generator=generator))
    loss.backward()
    return loss


def train(model, optimizer, steps):
    for step in steps:
        optimizer.zero_grad()
        backward(model, step)
        optimizer.step(lambda step=step: backward(model, step))


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def perturbation(model, optimizer):
    """ε by parameter, and the gradients it comes from."""
    optimizer.zero_grad()
    backward(model)
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizer.first_step()
    moved = [weight.detach() - was for weight, was in zip(model.parameters(), before, strict=True)]
    optimizer.restore()
    return moved, before, [weight.grad for weight in model.parameters()]


class TestWrap:
    @pytest.mark.parametrize(
        ("base", "arguments"),
        [
            (torch.optim.SGD, SGD),
            (torch.optim.AdamW, {"lr": 1e-2}),
            (torch.optim.RAdam, {"lr": 1e-2}),
            (torch.optim.Rprop, {"lr": 1e-3}),
        ],
    )
    def test_steps_as_the_one_that_is_constructed(self, base, arguments):
        model, twin = network(), network()
        constructed = SAM(model.named_parameters(), base, **preset("asam"), **arguments)
        wrapped = SAM.wrap(base(twin.named_parameters(), **arguments), **preset("asam"))
        for optimizer, net in ((constructed, model), (wrapped, twin)):
            train(net, optimizer, range(5))
        assert torch.equal(flat(model.parameters()), flat(twin.parameters()))

    def test_shares_groups_and_state_that_exist_already(self):
        model = network()
        plain = torch.optim.SGD(model.parameters(), **SGD)
        scheduler = torch.optim.lr_scheduler.StepLR(plain, 1, gamma=0.5)
        backward(model)
        plain.step()
        scheduler.step()
        momentum = plain.state[model[0].weight]["momentum_buffer"]
        optimizer = SAM.wrap(plain, rho=0.1)
        assert optimizer.param_groups is plain.param_groups
        assert optimizer.state[model[0].weight]["momentum_buffer"] is momentum
        assert optimizer.param_groups[0]["lr"] == 0.05
        train(model, optimizer, range(2))
        plain.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 1.0})
        assert len(optimizer.param_groups) == 2

    def test_groups_of_the_optimizer_may_say_their_own_radius(self):
        model = network()
        *first, last = model.parameters()
        plain = torch.optim.SGD([{"params": first, "rho": 0.0}, {"params": [last]}], lr=0.1)
        moved, _, gradients = perturbation(model, SAM.wrap(plain, rho=0.5))
        assert not flat(moved[:-1]).any()
        torch.testing.assert_close(moved[-1], 0.5 * gradients[-1] / flat(gradients).norm())

    def test_a_class_of_somebody_elses_is_wrapped_as_well(self):
        class SignDescent(torch.optim.Optimizer):
            def __init__(self, params):
                super().__init__(params, {"lr": 0.01})

            @torch.no_grad()
            def step(self, closure=None):
                for group in self.param_groups:
                    for weight in group["params"]:
                        weight.sub_(weight.grad.sign(), alpha=group["lr"])

        model = network()
        before = flat(model.parameters())
        optimizer = SAM.wrap(SignDescent(model.parameters()), rho=0.1)
        train(model, optimizer, range(1))
        torch.testing.assert_close((flat(model.parameters()) - before).abs(), torch.full_like(before, 0.01))

    def test_wrapping_twice_is_refused(self):
        model = network()
        with pytest.raises(ValueError, match=r"^base_optimizer: this is a SAM already"):
            SAM.wrap(SAM(model.parameters(), torch.optim.SGD, lr=0.1))


def epsilon_of(name, w, g, adapted, rho):
    """ε of each preset written out, on whole vectors; adapted says where ASAM's T follows the weight."""
    if name == "sam":
        return rho * g / (g.norm() + 1e-12)
    if name == "asam":
        t = torch.where(adapted, w.abs() + 0.01, 1.0)
        return rho * t**2 * g / ((t * g).norm() + 1e-12)
    if name == "asam-as-run":
        return rho * w**2 * g / ((w.abs() * g).norm() + 1e-12)
    if name == "usam":
        return rho * g
    if name == "linf":
        return rho * g.sign()
    if name == "linf-as-run":
        return rho * g / (g.abs().max() + 1e-12)
    if name == "l1":
        return rho * g.sign() * (g.abs() == g.abs().max())
    assert name == "fisher"
    return rho * (g / (1 + g**2)) / ((g**2 / (1 + g**2)).sum().sqrt() + 1e-12)


class TestPresets:
    @pytest.mark.parametrize("name", [name for name in presets() if name != "sam-on"])
    def test_fifty_steps_equal_the_closed_form(self, name):
        """On a quadratic, whose gradient is known: 50 steps of SGD with momentum."""
        generator = torch.Generator().manual_seed(0)
        root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
        matrix = root @ root.T / 6
        start = torch.randn(6, generator=generator, dtype=torch.float64)
        weight, bias = nn.Parameter(start[:4].clone()), nn.Parameter(start[4:].clone())
        optimizer = SAM([("weight", weight), ("bias", bias)], torch.optim.SGD, **preset(name), lr=0.05, momentum=0.9)

        def loss():
            w = torch.cat([weight, bias])
            value = 0.5 * w @ matrix @ w
            value.backward()
            return value

        w, momentum, adapted = start.clone(), torch.zeros_like(start), torch.arange(6) < 4
        for _ in range(50):
            optimizer.zero_grad()
            loss()
            optimizer.step(loss)
            perturbed = w + epsilon_of(name, w, matrix @ w, adapted, presets()[name]["rho"])
            momentum = 0.9 * momentum + matrix @ perturbed
            w = w - 0.05 * momentum
        assert (torch.cat([weight, bias]) - w).norm() <= 1e-12 * start.norm()
        assert (w - start).norm() > 0.1 * start.norm()

    def test_are_listed_with_settings_that_can_be_changed(self):
        assert {"sam", "asam", "asam-as-run", "usam", "linf", "fisher", "sam-on"} <= presets().keys()
        presets()["sam"]["rho"] = 7.0
        assert preset("sam") == {"rho": 0.05}
        assert preset("asam", rho=1.0) == {"rho": 1.0, "geometry": "absolute-weights", "eta": 0.01}
        with pytest.raises(ValueError, match=r"^preset: unknown 'asamm'; choose one of sam, asam"):
            preset("asamm")


class TestGroups:
    def test_have_their_own_radius_and_geometry_in_one_norm(self):
        weights = [nn.Parameter(torch.tensor([2.0, -3.0], dtype=torch.float64)) for _ in range(4)]
        plain, absolute, fisher, named = weights
        optimizer = SAM(
            [
                {"params": [("plain", plain)]},
                {"params": [("absolute", absolute)], "geometry": "absolute", "rho": 0.2},
                {"params": [("fisher", fisher)], "geometry": "fisher", "eta": 2.0},
                {"params": [("weight", named)], "geometry": "absolute-weights", "eta": 0.5, "rho": torch.tensor(0.3)},
            ],
            torch.optim.SGD,
            rho=0.1,
            lr=0.1,
        )
        g = torch.tensor([1.5, 0.5], dtype=torch.float64)
        sum((g * weight).sum() for weight in weights).backward()
        diagonals = [torch.ones(2), absolute.detach().abs(), (1 + 2 * g**2) ** -0.5, named.detach().abs() + 0.5]
        norm = flat([diagonal * g for diagonal in diagonals]).norm()
        before = [weight.detach().clone() for weight in weights]
        optimizer.first_step()
        for weight, was, diagonal, rho in zip(weights, before, diagonals, (0.1, 0.2, 0.1, 0.3), strict=True):
            torch.testing.assert_close(weight.detach(), was + rho * diagonal**2 * g / norm, rtol=1e-7, atol=0)

    def test_with_another_p_have_a_ball_and_a_norm_of_their_own(self):
        model = network()
        first, second, third, *rest = model.parameters()
        optimizer = SAM(
            [{"params": [first, second]}, {"params": [third], "p": math.inf}, {"params": rest}],
            torch.optim.SGD,
            rho=0.5,
            lr=0.1,
        )
        moved, before, gradients = perturbation(model, optimizer)
        assert torch.equal(moved[2].abs() > 0.49, gradients[2] != 0)
        others = [0, 1, *range(3, len(moved))]
        expected = ascent_step([before[i] for i in others], [gradients[i] for i in others], 0.5)
        for i, epsilon in zip(others, expected, strict=True):
            torch.testing.assert_close(moved[i], epsilon, rtol=1e-9, atol=1e-15)

    def test_settings_are_saved_and_loaded_with_the_state(self):
        model = network()
        optimizer = SAM(model.named_parameters(), torch.optim.SGD, **preset("asam", rho=0.3), **SGD)
        train(model, optimizer, range(2))
        other_model = network()
        other_model.load_state_dict(model.state_dict())
        other = SAM(other_model.named_parameters(), torch.optim.SGD, lr=1.0)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for net, its in ((model, optimizer), (other_model, other)):
            train(net, its, range(2, 4))
        assert torch.equal(flat(model.parameters()), flat(other_model.parameters()))

"""Errors at every point of a step, and settings that do not fit: nothing half-perturbed is left."""

import copy
import math
import pickle

import pytest
import torch
from optim_networks import parameter
from torch import nn
from torch.nn import functional as F

from sharpness.optim import SAM

SGD = {"lr": 0.1, "momentum": 0.9}


def model_and_optimizer(**settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    return model, SAM(model.named_parameters(), torch.optim.SGD, **{"rho": 0.5, **SGD, **settings})


def backward(model):
    generator = torch.Generator().manual_seed(1)
    loss = F.cross_entropy(model(torch.randn(8, 4, generator=generator)), torch.arange(8) % 2)
    loss.backward()
    return loss


def everything(model, optimizer):
    """Bits of the weights and of the state, to be compared."""
    return pickle.dumps((model.state_dict(), optimizer.state_dict()))


def break_second_parameter(model, fault):
    bias = model[0].bias
    if fault == "sparse":
        bias.grad = bias.grad.to_sparse()
    else:
        bias.data = torch.zeros(1, 3)


class TestAnErrorInTheFirstStep:
    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            ("sparse", r"^first_step: 0.bias is sparse; .* perturb="),
            ("resized", r"^first_step: 0.bias has the shape \(1, 3\) and its gradient \(3,\)"),
        ],
    )
    @pytest.mark.parametrize("with_closure", [False, True])
    def test_leaves_weights_and_state_alone_and_training_goes_on(self, fault, message, with_closure):
        model, optimizer = model_and_optimizer()
        backward(model)
        optimizer.step(lambda: backward(model))
        optimizer.zero_grad()
        backward(model)
        break_second_parameter(model, fault)
        before = everything(model, optimizer)
        with pytest.raises(RuntimeError, match=message) as error:
            optimizer.step(lambda: backward(model)) if with_closure else optimizer.first_step()
        assert "\n" not in str(error.value)
        assert everything(model, optimizer) == before

        model[0].bias.data, model[0].bias.grad = torch.zeros(3), None
        optimizer.zero_grad()
        backward(model)
        optimizer.step(lambda: backward(model))

    def test_in_the_middle_of_the_addition_puts_the_moved_weights_back(self):
        """A radius that float32 kernels cannot take, found only when the second group is added."""
        first, second = parameter(1.0), parameter(2.0)
        optimizer = SAM([{"params": [first]}, {"params": [second]}], torch.optim.SGD, lr=0.1, normalization="none")
        (first + second).sum().backward()
        optimizer.param_groups[1]["rho"] = torch.tensor(3e38, dtype=torch.float64)
        optimizer.when = lambda step: 1e3  # 3e41
        with pytest.raises(RuntimeError, match="overflow"):
            optimizer.first_step()
        assert (first.item(), second.item()) == (1.0, 2.0)
        assert optimizer.state_dict()["steps"] == 0

    @pytest.mark.parametrize("rho", [-0.1, math.nan, math.inf, 1e39, torch.tensor(-1.0), torch.tensor(math.nan)])
    def test_a_radius_that_is_none_is_refused_wherever_it_is_set(self, rho):
        with pytest.raises(ValueError, match=r"^rho: the radius is"):
            model_and_optimizer(rho=rho)
        model, optimizer = model_and_optimizer()
        with pytest.raises(ValueError, match=r"^rho: the radius is"):
            optimizer.add_param_group({"params": [("more", parameter(1.0))], "rho": rho})
        assert len(optimizer.param_groups) == 1

        saved = copy.deepcopy(optimizer.state_dict())
        saved["param_groups"][0] |= {"rho": rho, "lr": 7.0}
        with pytest.raises(ValueError, match=r"^rho: the radius is"):
            optimizer.load_state_dict(saved)
        assert optimizer.param_groups[0]["lr"] == SGD["lr"]

        optimizer.param_groups[0]["rho"] = rho
        backward(model)
        before = everything(model, optimizer)
        with pytest.raises(ValueError, match=r"^rho: the radius is"):
            optimizer.first_step()
        assert everything(model, optimizer) == before

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"adaptive": True, "geometry": "fisher"}, "^adaptive: geometry 'fisher'"),
            ({"p": 0.5}, "^p: "),
            ({"geometry": "riemannian"}, "^geometry: "),
            ({"normalization": "l2"}, "^normalization: "),
            ({"eta": 0.1}, "^eta: "),
            ({"geometry": "fisher", "eta": math.inf}, "^eta: "),
        ],
    )
    def test_settings_changed_to_nonsense_after_construction_are_refused(self, changes, message):
        model, optimizer = model_and_optimizer()
        backward(model)
        optimizer.param_groups[0].update(changes)
        with pytest.raises(ValueError, match=message):
            optimizer.first_step()
        with pytest.raises(ValueError, match=message):
            SAM(model.parameters(), torch.optim.SGD, lr=0.1, **changes)


class TestGradientsThatAreNotFinite:
    @pytest.mark.parametrize("value", [math.nan, math.inf])
    @pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
    def test_make_a_perturbation_that_is_not_and_the_weights_come_back(self, value, p):
        model, optimizer = model_and_optimizer(p=p, momentum=0.0)
        backward(model)
        model[0].bias.grad[1] = value
        before = [weight.detach().clone() for weight in model.parameters()]
        optimizer.first_step(zero_grad=True)
        assert not all(weight.isfinite().all() for weight in model.parameters())
        optimizer.restore()
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))

    def test_have_no_say_in_the_length_for_p_inf(self):
        weight = parameter(0.0, 0.0, 0.0)
        weight.grad = torch.tensor([math.inf, -2.0, math.nan])
        optimizer = SAM([weight], torch.optim.SGD, rho=0.5, lr=0.1, p=math.inf)
        optimizer.first_step()
        assert weight.tolist() == [0.5, -0.5, 0.0]


class TestBetweenThePasses:
    def test_no_state_is_saved_or_loaded_while_the_weights_are_perturbed(self):
        model, optimizer = model_and_optimizer()
        saved = copy.deepcopy(optimizer.state_dict())
        backward(model)
        before = model[0].weight.detach().clone()
        optimizer.first_step()
        with pytest.raises(RuntimeError, match=r"^state_dict: the weights are at w"):
            optimizer.state_dict()
        with pytest.raises(RuntimeError, match=r"^load_state_dict: the weights are at w"):
            optimizer.load_state_dict(saved)
        optimizer.restore()
        assert torch.equal(model[0].weight, before)
        optimizer.load_state_dict(optimizer.state_dict())

    def test_an_interrupt_in_the_closure_leaves_a_state_that_can_be_saved(self):
        model, optimizer = model_and_optimizer()
        backward(model)
        before = everything(model, optimizer)

        def interrupted():
            backward(model)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            optimizer.step(interrupted)
        assert everything(model, optimizer) == before

    def test_a_copy_made_between_the_passes_comes_back_by_itself(self):
        model, optimizer = model_and_optimizer()
        backward(model)
        before = model[0].weight.detach().clone()
        optimizer.first_step()
        twin, twin_optimizer = copy.deepcopy((model, optimizer))
        optimizer.restore()
        assert not torch.equal(twin[0].weight, before)
        twin_optimizer.restore()
        assert torch.equal(twin[0].weight, before)


def test_perturbation_descends_where_the_base_optimizer_maximises():
    weight, other = parameter(1.0), parameter(1.0)
    groups = [{"params": [weight], "maximize": True}, {"params": [other]}]
    optimizer = SAM(groups, torch.optim.SGD, rho=torch.tensor(0.5), lr=0.1)
    (3 * weight + 4 * other).sum().backward()
    optimizer.first_step(zero_grad=True)
    assert (weight.item(), other.item()) == pytest.approx((1 - 0.5 * 0.6, 1 + 0.5 * 0.8))
    (weight + other).sum().backward()
    optimizer.second_step()
    assert (weight.item(), other.item()) == pytest.approx((1.1, 0.9))


@pytest.mark.parametrize("with_closure", [False, True])
def test_step_hooks_registered_on_sam_fire_once_a_step(with_closure):
    model, optimizer = model_and_optimizer()
    calls = []
    optimizer.register_step_pre_hook(lambda sam, args, kwargs: calls.append(("before", sam)))
    optimizer.register_step_post_hook(lambda sam, args, kwargs: calls.append(("after", sam)))
    for _ in range(2):
        optimizer.zero_grad()
        backward(model)
        if with_closure:
            optimizer.step(lambda: backward(model))
        else:
            optimizer.first_step(zero_grad=True)
            backward(model)
            optimizer.second_step()
    assert calls == [("before", optimizer), ("after", optimizer)] * 2


def test_hooks_around_the_state_fire():
    _, optimizer = model_and_optimizer()
    calls = []
    optimizer.register_state_dict_pre_hook(lambda *_: calls.append("save"))
    optimizer.register_load_state_dict_post_hook(lambda *_: calls.append("load"))
    optimizer.load_state_dict(optimizer.state_dict())
    assert calls == ["save", "load"]


@pytest.mark.parametrize("base", [torch.optim.LBFGS, torch.optim.Adadelta])
def test_a_base_optimizer_that_cannot_be_one_is_refused(base):
    weight = parameter(1.0)
    with pytest.raises(ValueError, match=r"^base_optimizer: (LBFGS|Adadelta)"):
        SAM([weight], base)
    plain = base([weight])
    groups = copy.deepcopy(
        [{key: value for key, value in group.items() if key != "params"} for group in plain.param_groups]
    )
    with pytest.raises(ValueError, match=r"^base_optimizer: (LBFGS|Adadelta)"):
        SAM.wrap(plain)
    assert [{key: value for key, value in group.items() if key != "params"} for group in plain.param_groups] == groups

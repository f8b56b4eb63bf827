"""The base optimizer as others use it: subclassed, wrapped again, loaded, extended and scheduled on its own."""

import copy
import warnings
from contextlib import nullcontext

import pytest
import torch
from optim_networks import SGD, assert_same_bits, backward, flat, network, parameter, snapshot, train
from torch import nn
from torch.optim import lr_scheduler

from sharpness.optim import SAM, Every, diagnose

torch.set_num_threads(1)


class Calling(torch.optim.SGD):
    """Steps by its parent class's step, which fires the hooks once more where plain SGD exists as well."""

    def step(self, closure=None):
        return super().step(closure)


def test_a_base_optimizer_that_calls_its_parents_step_counts_each_update_once():
    torch.optim.SGD([parameter(1.0)], lr=0.1)  # torch hooks a class's step when the class is first used
    weight, fired = parameter(1.0), []
    optimizer = SAM([weight], Calling, rho=0.5, lr=0.0, when=Every(2))
    optimizer.base_optimizer.register_step_post_hook(lambda *_: fired.append(optimizer.steps))
    for ascends in (False, True, False, True):
        assert optimizer.ascends is ascends
        weight.grad = torch.ones(1)
        optimizer.step(lambda: weight.sum().backward())
    assert optimizer.steps == 4
    assert fired == [1, 1, 2, 2, 3, 3, 4, 4]


class TestWrappedAgain:
    def test_the_later_settings_hold(self):
        plain = torch.optim.SGD(network().named_parameters(), **SGD)
        SAM.wrap(plain, rho=0.05, geometry="fisher", eta=1.0, perturb="*.bias")
        optimizer = SAM.wrap(plain, rho=0.5, adaptive=True)
        group = optimizer.param_groups[0]
        assert group is plain.param_groups[0]
        assert (group["rho"], group["adaptive"], group["geometry"], group["eta"]) == (0.5, True, None, 0.0)
        assert all(group["perturbed"])

    @pytest.mark.parametrize("settings", [{"perturb": "*norm*"}, {"rho": -1.0}, {"p": 0.5}, {"perturb": "0.*"}])
    @pytest.mark.parametrize("again", [False, True])
    def test_a_refusal_leaves_the_optimizer_as_it_was(self, settings, again):
        plain = torch.optim.SGD(network().parameters(), **SGD)  # without names
        if again:
            SAM.wrap(plain, rho=0.05)
        before = [(id(group), dict(group)) for group in plain.param_groups]
        with pytest.raises(ValueError, match=r"^(perturb|rho|p): "):
            SAM.wrap(plain, **settings)
        assert [(id(group), dict(group)) for group in plain.param_groups] == before


class TestLoadedByItself:
    """As Hugging Face's Trainer does, which holds the base optimizer."""

    def test_leaves_sam_with_what_was_loaded(self):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, **SGD)
        train(model, optimizer, range(3))
        saved = copy.deepcopy((model.state_dict(), optimizer.base_optimizer.state_dict()))
        resumed = network(seed=1)
        resumed_optimizer = SAM(resumed.parameters(), torch.optim.SGD, rho=7.0, lr=7.0)
        resumed.load_state_dict(saved[0])
        resumed_optimizer.base_optimizer.load_state_dict(saved[1])
        assert resumed_optimizer.param_groups is resumed_optimizer.base_optimizer.param_groups
        assert resumed_optimizer.state is resumed_optimizer.base_optimizer.state
        for net, its in ((model, optimizer), (resumed, resumed_optimizer)):
            train(net, its, range(3, 6))
        assert_same_bits(snapshot(resumed), snapshot(model))

    def test_keeps_sams_settings_where_the_state_has_none(self):
        model, rho = network(), torch.tensor(0.05)
        plain = torch.optim.SGD(model.parameters(), **SGD)
        backward(model)
        plain.step()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=rho, lr=0.0)
        optimizer.base_optimizer.load_state_dict(plain.state_dict())
        assert optimizer.param_groups[0]["rho"] is rho
        assert optimizer.param_groups[0]["lr"] == SGD["lr"]
        train(model, optimizer, range(1))
        plain.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("then", ["step", "load", "diagnose"])
def test_a_group_that_is_added_to_the_base_optimizer_gets_sams_settings(then):
    model, head = network(torch.float64), nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.5, **SGD)
    train(model, optimizer, range(2))
    optimizer.base_optimizer.add_param_group({"params": [head], "lr": 0.01})
    if then == "load":
        optimizer.load_state_dict(optimizer.state_dict())
    backward(model)
    head.sum().backward()
    gradients = [weight.grad.flatten() for weight in (*model.parameters(), head)]
    with diagnose(optimizer) if then == "diagnose" else nullcontext():
        optimizer.first_step()
    moved = head.detach() - 1.0
    torch.testing.assert_close(moved, 0.5 * gradients[-1] / torch.cat(gradients).norm())


def test_an_optimizer_in_place_of_its_class_is_refused():
    weight = parameter(1.0)
    with pytest.raises(TypeError, match=r"^base_optimizer: this is an optimizer, .* use SAM.wrap"):
        SAM([weight], torch.optim.SGD([weight], lr=0.1))


def test_a_step_in_inference_mode_is_refused_and_the_next_one_works():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
    backward(model)
    before = flat(model)
    with torch.inference_mode(), pytest.raises(RuntimeError, match=r"^first_step: inference mode"):
        optimizer.step(lambda: backward(model))
    assert torch.equal(flat(model), before)
    train(model, optimizer, range(1))


SCHEDULERS = {
    "one cycle": lambda it: lr_scheduler.OneCycleLR(it, max_lr=1.0, total_steps=8),
    "plateau": lambda it: lr_scheduler.ReduceLROnPlateau(it, patience=1, factor=0.5),
    "sequence": lambda it: lr_scheduler.SequentialLR(
        it, [lr_scheduler.LinearLR(it, total_iters=3), lr_scheduler.CosineAnnealingLR(it, 5)], [3]
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize(("base", "settings"), [(torch.optim.SGD, SGD), (torch.optim.AdamW, {"lr": 0.1})])
def test_schedulers_do_what_they_do_to_the_base_optimizer_alone(name, base, settings):
    model = network()
    sam, plain = SAM(model.parameters(), base, **settings), base(network().parameters(), **settings)
    seen = []
    for optimizer in (sam, plain):
        scheduler, rates = SCHEDULERS[name](optimizer), []
        with warnings.catch_warnings():
            warnings.simplefilter("error", category=UserWarning)
            for step in range(6):
                train(model, sam, [step]) if optimizer is sam else plain.step()
                scheduler.step(*([1.0] if name == "plateau" else []))
                group = optimizer.param_groups[0]
                rates.append([group[key] for key in ("lr", "momentum", "betas") if key in group])
        seen.append(rates)
    assert seen[0] == seen[1]
    assert seen[0][0] != seen[0][-1]

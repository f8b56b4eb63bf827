"""SAM around any base optimizer: its state, its groups and who else holds them."""

import copy
import math
import pickle
import warnings

import pytest
import torch
from optim_networks import SGD, assert_same_bits, backward, flat, network, snapshot, train
from torch import nn

from sharpness.optim import SAM

torch.set_num_threads(1)


def test_copies_are_reused_and_stay_out_of_the_state_dict():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
    train(model, optimizer, range(1))
    copies = {id(tensor) for tensor in optimizer._copies._of.values()}
    train(model, optimizer, range(1, 3))
    assert {id(tensor) for tensor in optimizer._copies._of.values()} == copies

    plain_model = network()
    plain = torch.optim.SGD(plain_model.parameters(), **SGD)
    backward(plain_model)
    plain.step()
    assert len(pickle.dumps(optimizer.state_dict())) < 1.1 * len(pickle.dumps(plain.state_dict()))
    assert all(set(state) == {"momentum_buffer"} for state in optimizer.state_dict()["state"].values())


class Averaging(torch.optim.Optimizer):
    """In the manner of schedule-free optimizers: the gradient is taken between a sequence and its mean."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr, "beta": 0.9, "steps_so_far": 0})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["steps_so_far"] += 1
            for weight in group["params"]:
                state = self.state[weight]
                ahead, mean = (state.setdefault(name, weight.detach().clone()) for name in ("ahead", "mean"))
                ahead.sub_(weight.grad, alpha=group["lr"])
                mean.lerp_(ahead, 1 / group["steps_so_far"])
                weight.copy_(ahead.lerp(mean, group["beta"]))


@pytest.mark.parametrize(
    ("base", "settings"),
    [
        (torch.optim.SGD, SGD),
        (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 0.1}),
        (torch.optim.RMSprop, {"lr": 1e-3, "momentum": 0.9}),
        (torch.optim.AdamW, {"lr": 1e-2, "fused": True}),
        (torch.optim.NAdam, {"lr": 1e-2, "foreach": True}),
        (torch.optim.Adafactor, {"lr": 1e-2}),
        (Averaging, {"lr": 1e-2}),
    ],
)
class TestAroundAnyBaseOptimizer:
    def test_second_step_is_the_base_optimizers_with_the_second_gradient(self, base, settings):
        model, by_hand = network(torch.float64), network(torch.float64)
        optimizer = SAM(model.parameters(), base, rho=0.1, **settings)
        plain = base(by_hand.parameters(), **settings)
        for step in range(4):
            train(model, optimizer, [step])

            by_hand.zero_grad()
            backward(by_hand, step)
            before = snapshot(by_hand)
            norm = torch.cat([p.grad.flatten() for p in by_hand.parameters()]).norm()
            with torch.no_grad():
                for parameter in by_hand.parameters():
                    parameter.add_(0.1 * parameter.grad / norm)
            by_hand.zero_grad()
            backward(by_hand, step)
            with torch.no_grad():
                for parameter, weight in zip(by_hand.parameters(), before, strict=True):
                    parameter.copy_(weight)
            plain.step()
        torch.testing.assert_close(flat(model), flat(by_hand), rtol=1e-9, atol=1e-9)

    def test_a_loaded_state_continues_bit_for_bit(self, base, settings):
        model = network()
        optimizer = SAM(model.parameters(), base, rho=0.1, **settings)
        train(model, optimizer, range(5))
        saved = pickle.loads(pickle.dumps((model.state_dict(), optimizer.state_dict())))
        train(model, optimizer, range(5, 10))

        resumed = network(seed=1)
        resumed_optimizer = SAM(resumed.parameters(), base, rho=0.5, **{**settings, "lr": 7.0})
        resumed.load_state_dict(saved[0])
        resumed_optimizer.load_state_dict(saved[1])
        train(resumed, resumed_optimizer, range(5, 10))
        assert_same_bits(snapshot(resumed), snapshot(model))
        assert resumed_optimizer.base_optimizer.param_groups is resumed_optimizer.param_groups
        assert resumed_optimizer.base_optimizer.state is resumed_optimizer.state


@pytest.mark.parametrize("held", ["sam", "base"])
@pytest.mark.parametrize("with_closure", [True, False])
def test_schedulers_work_on_either_optimizer(held, with_closure):
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
    scheduler = torch.optim.lr_scheduler.StepLR(
        optimizer if held == "sam" else optimizer.base_optimizer, step_size=2, gamma=0.2
    )
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(4):
            seen.append(optimizer.base_optimizer.param_groups[0]["lr"])
            if with_closure:
                train(model, optimizer, [step])
            else:
                optimizer.zero_grad()
                backward(model, step)
                optimizer.first_step(zero_grad=True)
                backward(model, step)
                optimizer.second_step(zero_grad=True)
            scheduler.step()
    assert seen == pytest.approx([0.1, 0.1, 0.02, 0.02])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.004)


def test_an_added_group_gets_the_base_optimizers_defaults():
    model = network()
    head = nn.Parameter(torch.zeros(2))
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.3, **SGD)
    optimizer.add_param_group({"params": [head], "lr": 0.01})
    group = optimizer.base_optimizer.param_groups[1]
    assert group["params"][0] is head
    assert (group["lr"], group["momentum"], group["rho"], group["nesterov"]) == (0.01, 0.9, 0.3, False)


def test_a_radius_in_a_tensor_is_still_that_tensor_after_loading():
    model, rho = network(), torch.tensor(0.05)
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=rho, **SGD)
    saved = SAM(network().parameters(), torch.optim.SGD, rho=0.5, **SGD).state_dict()

    optimizer.load_state_dict(saved)

    assert optimizer.param_groups[0]["rho"] is rho
    assert optimizer.base_optimizer.param_groups[0]["rho"] is rho
    assert rho.item() == 0.5


@pytest.mark.parametrize("rho", [0.05, torch.tensor(0.05)])
def test_a_run_goes_over_from_sgd_to_sam(rho):
    model = network()
    plain = torch.optim.SGD(model.parameters(), **SGD)
    backward(model)
    plain.step()
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=rho, lr=0.0)

    optimizer.load_state_dict(plain.state_dict())

    group = optimizer.param_groups[0]
    assert optimizer.base_optimizer.param_groups[0] is group
    assert (group["lr"], group["rho"], group["adaptive"]) == (SGD["lr"], rho, False)
    assert_same_bits(*([state["momentum_buffer"] for state in each.state.values()] for each in (optimizer, plain)))
    train(model, optimizer, range(1))


def test_a_state_of_other_groups_is_refused_and_changes_nothing():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
    saved = SAM([{"params": [p]} for p in model.parameters()], torch.optim.SGD, **SGD).state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(saved)
    train(model, optimizer, range(1))


def test_a_deep_copy_with_its_model_trains_on_like_the_original():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, p=math.inf, rho=0.01, **SGD)
    train(model, optimizer, range(2))
    twin, twin_optimizer = copy.deepcopy((model, optimizer))

    train(model, optimizer, range(2, 4))
    train(twin, twin_optimizer, range(2, 4))

    assert twin_optimizer.base_optimizer.param_groups is twin_optimizer.param_groups
    assert_same_bits(snapshot(twin), snapshot(model))

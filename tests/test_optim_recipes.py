"""Accumulation, clipping, equal random numbers and compiling, each against plain SAM."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sharpness import SAM, frozen_statistics, preset, same_randomness

torch.set_num_threads(1)

SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}


def network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Dropout(dropout), nn.Linear(16, 4)
    )  # smooth: a kink would turn a rounding error into a percent


def loss_of(model, step=0, size=16):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(size, 6, generator=generator).to(model[0].weight.dtype)
    return F.cross_entropy(model(inputs).float(), torch.randint(0, 4, (size,), generator=generator))


def flat(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def same(tensors, others):
    return len(tensors) == len(others) and all(torch.equal(*pair) for pair in zip(tensors, others, strict=True))


def micro_batches_of(step):
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(16, 6, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 4, (16,), generator=generator)
    return list(zip(inputs.chunk(4), labels.chunk(4), strict=True)), (inputs, labels)


def smooth_network():
    """Without BatchNorm, whose statistics are a micro-batch's own."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4)).double()


class TestAccumulation:
    @pytest.mark.parametrize("name", ["sam", "asam", "usam", "fisher", "linf", "linf-as-run", "l1"])
    def test_four_micro_batches_equal_one_batch(self, name):
        model, accumulated = smooth_network(), smooth_network()
        optimizer = SAM(model.named_parameters(), torch.optim.SGD, **preset(name), **SGD)
        for step in range(5):
            _, (inputs, labels) = micro_batches_of(step)
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step(lambda i=inputs, t=labels: F.cross_entropy(model(i), t).backward())
            optimizer.zero_grad()

        optimizer = SAM(accumulated.named_parameters(), torch.optim.SGD, **preset(name), **SGD)
        for step in range(5):
            micro_batches, _ = micro_batches_of(step)

            def one_pass(micro_batches=micro_batches):
                for inputs, labels in micro_batches:
                    (F.cross_entropy(accumulated(inputs), labels) / len(micro_batches)).backward()

            one_pass()
            optimizer.step(one_pass)
            optimizer.zero_grad()
        assert (flat(accumulated) - flat(model)).abs().max() <= 1e-12 * flat(model).abs().max()

    def test_micro_batches_may_have_perturbations_of_their_own(self):
        """m-sharpness: the mean of the gradients at w + ε, each with the ε of its micro-batch."""
        model, by_hand = smooth_network(), smooth_network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.5, **SGD)
        plain = torch.optim.SGD(by_hand.parameters(), **SGD)
        for step in range(3):
            micro_batches, _ = micro_batches_of(step)
            total = [torch.zeros_like(weight) for weight in model.parameters()]
            for inputs, labels in micro_batches:
                F.cross_entropy(model(inputs), labels).backward()
                optimizer.first_step(zero_grad=True)
                F.cross_entropy(model(inputs), labels).backward()
                optimizer.restore()
                torch._foreach_add_(total, [weight.grad for weight in model.parameters()], alpha=1 / len(micro_batches))
                optimizer.zero_grad()
            for weight, gradient in zip(model.parameters(), total, strict=True):
                weight.grad = gradient
            optimizer.base_optimizer.step()
            optimizer.zero_grad()

            gradients = []
            for inputs, labels in micro_batches:
                there = copy.deepcopy(by_hand)
                first = torch.autograd.grad(F.cross_entropy(there(inputs), labels), list(there.parameters()))
                norm = torch.cat([gradient.flatten() for gradient in first]).norm() + 1e-12
                with torch.no_grad():
                    for weight, gradient in zip(there.parameters(), first, strict=True):
                        weight.add_(0.5 * gradient / norm)
                gradients.append(torch.autograd.grad(F.cross_entropy(there(inputs), labels), list(there.parameters())))
            for weight, own in zip(by_hand.parameters(), zip(*gradients, strict=True), strict=True):
                weight.grad = torch.stack(own).mean(dim=0)
            plain.step()
        assert (flat(model) - flat(by_hand)).abs().max() <= 1e-12 * flat(by_hand).abs().max()
        assert optimizer.steps == 3


@pytest.mark.parametrize("name", ["sam", "asam", "linf", "linf-as-run", "l1"])
def test_clipping_the_first_gradient_changes_nothing(name):
    """ε does not depend on the gradient's length, except in USAM and Fisher SAM."""
    weights = []
    for clip in (math.inf, 1e-3):
        model = smooth_network()
        optimizer = SAM(model.named_parameters(), torch.optim.SGD, **preset(name), **SGD)
        (inputs, labels), *_ = micro_batches_of(0)[0]
        F.cross_entropy(model(inputs), labels).backward()
        assert nn.utils.clip_grad_norm_(model.parameters(), clip) > 1e-2
        optimizer.first_step()
        weights.append(flat(model))
    torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-9)  # of 1e-12, which the norm is floored by


class TestSameRandomness:
    def masks(self, again):
        """The dropout masks of two steps, by pass."""
        dropout, masks = nn.Dropout(0.5), []
        torch.manual_seed(3)
        for _ in range(2):
            with same_randomness() as second:
                masks.append(dropout(torch.ones(64)))
            with second if again else torch.enable_grad():
                masks.append(dropout(torch.ones(64)))
        return masks

    def test_gives_both_passes_the_same_mask_and_each_step_another(self):
        first, repeated, next_first, next_repeated = self.masks(again=True)
        assert torch.equal(first, repeated)
        assert torch.equal(next_first, next_repeated)
        assert not torch.equal(first, next_first)
        first, other, *_ = self.masks(again=False)
        assert not torch.equal(first, other)

    def test_goes_on_as_if_there_had_been_no_second_pass(self):
        torch.manual_seed(3)
        with same_randomness() as again:
            torch.rand(5)
        expected_next = copy.deepcopy(torch.get_rng_state())
        with again:
            torch.rand(500)
        assert torch.equal(torch.get_rng_state(), expected_next)
        with pytest.raises(KeyError), again:
            raise KeyError
        assert torch.equal(torch.get_rng_state(), expected_next)

    def test_makes_the_second_gradient_that_of_the_same_thinned_network(self):
        """With rho = 0 both gradients are then equal; with masks of their own they are not."""
        for device, equal in ((None, False), ("cpu", True)):
            model = network(dropout=0.5)
            torch.manual_seed(5)
            with same_randomness(device or "cpu") as again:
                loss_of(model).backward()
            first = [weight.grad.clone() for weight in model.parameters()]
            model.zero_grad()
            with again if device else torch.enable_grad():
                loss_of(model).backward()
            assert same([weight.grad for weight in model.parameters()], first) is equal


@pytest.mark.filterwarnings("ignore")
class TestCompiled:
    def test_model_takes_the_eager_models_steps(self):
        model, eager = network(), network()
        compiled = torch.compile(model, backend="aot_eager")
        for net, called in ((model, compiled), (eager, eager)):
            optimizer = SAM(net.parameters(), torch.optim.SGD, rho=0.1, **SGD)
            for step in range(3):
                loss_of_called(called, step).backward()
                optimizer.first_step(zero_grad=True)
                with frozen_statistics(net):
                    loss_of_called(called, step).backward()
                optimizer.second_step(zero_grad=True)
        torch.testing.assert_close(flat(model), flat(eager), rtol=1e-5, atol=1e-6)
        assert same(list(model.buffers())[2:], list(eager.buffers())[2:])  # num_batches_tracked
        torch.testing.assert_close(list(model.buffers())[:2], list(eager.buffers())[:2])

    def test_step_takes_the_eager_steps(self):
        model, eager = network(), network()
        for net in (model, eager):
            optimizer = SAM(net.parameters(), torch.optim.SGD, rho=0.1, **SGD)

            def step(inputs, labels, net=net, optimizer=optimizer):
                F.cross_entropy(net(inputs), labels).backward()
                optimizer.first_step(zero_grad=True)
                F.cross_entropy(net(inputs), labels).backward()
                optimizer.second_step(zero_grad=True)

            if net is model:
                step = torch.compile(step, backend="eager")
            for seed in range(3):
                inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(seed))
                step(inputs, torch.arange(16) % 4)
        torch.testing.assert_close(flat(model), flat(eager), rtol=1e-5, atol=1e-6)


def loss_of_called(called, step):
    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
    return F.cross_entropy(called(inputs), torch.arange(16) % 4)

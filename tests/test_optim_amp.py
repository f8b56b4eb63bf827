"""SAM with a GradScaler: the steps of float32, and an overflow in either pass."""

import math

import pytest
import torch
from test_optim_recipes import SGD, flat, loss_of, network
from torch import nn

from sharpness import SAM, Every, frozen_statistics, preset

torch.set_num_threads(1)


def train(model, optimizer, steps, scaler=None, clip=None):
    scale = scaler.scale if scaler else lambda loss: loss

    for step in steps:
        scale(loss_of(model, step)).backward()

        def second_pass(step=step):
            with frozen_statistics(model):
                loss = loss_of(model, step)
            scale(loss).backward()
            if clip is not None:
                if scaler:
                    scaler.unscale_(optimizer.base_optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            return loss

        if scaler:
            optimizer.step(second_pass, scaler=scaler)
            scaler.update()
        else:
            optimizer.step(second_pass)
        optimizer.zero_grad()


def bits(model, optimizer):
    state = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    return [tensor.clone() for tensor in (*model.state_dict().values(), *state)]


def same(tensors, others):
    return len(tensors) == len(others) and all(torch.equal(*pair) for pair in zip(tensors, others, strict=True))


class TestGradScaler:
    @pytest.mark.parametrize("name", ["sam", "asam", "usam", "fisher", "linf", "l1"])
    @pytest.mark.parametrize("clip", [None, 0.5])
    @pytest.mark.parametrize("fused", [False, True])
    def test_gives_the_unscaled_steps(self, name, clip, fused):
        """USAM and Fisher SAM depend on the gradient's length, so the first one must be unscaled as well."""
        model, plain = network(), network()
        optimizers = [
            SAM(net.named_parameters(), torch.optim.SGD, **preset(name), fused=fused, **SGD) for net in (model, plain)
        ]
        train(model, optimizers[0], range(4), torch.amp.GradScaler("cpu", init_scale=2.0**12), clip)
        train(plain, optimizers[1], range(4), clip=clip)
        torch.testing.assert_close(flat(model), flat(plain), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("overflowing", ["first", "second"])
    @pytest.mark.parametrize("fused", [False, True])
    def test_an_overflow_in_either_pass_skips_the_update_and_lowers_the_scale(self, overflowing, fused):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, fused=fused, **SGD)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        train(model, optimizer, range(2), scaler)

        scaler.scale(loss_of(model, 2) * (math.inf if overflowing == "first" else 1)).backward()
        before = bits(model, optimizer)  # the first pass has moved BatchNorm's statistics already

        def second_pass():
            with frozen_statistics(model):
                loss = loss_of(model, 2)
            scaler.scale(loss * (math.inf if overflowing == "second" else 1)).backward()

        optimizer.step(second_pass, scaler=scaler)
        scaler.update()
        optimizer.zero_grad()
        assert same(bits(model, optimizer), before)
        assert scaler.get_scale() == 2.0**9
        train(model, optimizer, range(3, 5), scaler)
        assert not same(bits(model, optimizer), before)
        assert flat(model).isfinite().all()

    def test_an_overflow_that_p_inf_survives_lowers_the_scale_all_the_same(self):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=1e-3, p=math.inf, **SGD)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        (math.inf * scaler.scale(loss_of(model))).backward()
        optimizer.step(lambda: scaler.scale(loss_of(model)).backward(), scaler=scaler)
        scaler.update()
        assert scaler.get_scale() == 2.0**9
        assert flat(model).isfinite().all()

    def test_plain_steps_are_the_scalers_with_the_base_optimizer(self):
        model, plain = network(), network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, when=Every(3), **SGD)
        train(model, optimizer, range(2), torch.amp.GradScaler("cpu", init_scale=2.0**12))
        base = torch.optim.SGD(plain.parameters(), **SGD)
        for step in range(2):
            base.zero_grad()
            loss_of(plain, step).backward()
            base.step()
        torch.testing.assert_close(flat(model), flat(plain), rtol=1e-6, atol=1e-7)

    def test_a_scaler_that_is_switched_off_changes_nothing(self):
        model, plain = network(), network()
        for net, scaler in ((model, torch.amp.GradScaler("cpu", enabled=False)), (plain, None)):
            train(net, SAM(net.parameters(), torch.optim.SGD, **SGD), range(3), scaler)
        assert torch.equal(flat(model), flat(plain))

    def test_an_error_in_the_closure_leaves_the_weights(self):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, **SGD)
        scaler = torch.amp.GradScaler("cpu")
        scaler.scale(loss_of(model)).backward()
        before = flat(model)

        def second_pass():
            raise KeyError

        with pytest.raises(KeyError):
            optimizer.step(second_pass, scaler=scaler)
        assert torch.equal(flat(model), before)

    def test_the_steps_by_hand_work_as_well(self):
        model, plain = network(), network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, **SGD)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
        for step in range(3):
            scaler.scale(loss_of(model, step)).backward()
            optimizer.first_step(zero_grad=True)
            with frozen_statistics(model):
                scaler.scale(loss_of(model, step)).backward()
            optimizer.restore()
            scaler.step(optimizer.base_optimizer)
            scaler.update()
            optimizer.zero_grad()
        train(plain, SAM(plain.parameters(), torch.optim.SGD, rho=0.1, **SGD), range(3))
        torch.testing.assert_close(flat(model), flat(plain), rtol=1e-5, atol=1e-6)
        assert optimizer.steps == 3

"""The SAM optimizer: its numbers against an independent one, and what it promises to leave alone."""

import copy
import math
import pickle
import re
import warnings
from pathlib import Path

import pytest
import pytorch_optimizer
import torch
import torch.nn.functional as F
from torch import nn

from sharpness.optim import SAM, ascent_step, frozen_statistics

torch.set_num_threads(1)

SGD = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}


def network(dtype=torch.float32, seed=0):
    """Smooth, because a ReLU that lands on the other side of its kink turns a rounding error into a percent."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    ).to(dtype)


def batch(step, dtype=torch.float32, size=32):
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(size, 1, 8, 8, generator=generator, dtype=torch.float64).to(dtype)
    return images, torch.randint(0, 10, (size,), generator=generator)


def backward(model, step=0, scale=1.0):
    images, labels = batch(step, dtype=next(model.parameters()).dtype)
    loss = F.cross_entropy(model(images), labels)
    (scale * loss).backward()
    return loss


def train(model, optimizer, steps):
    for step in steps:
        optimizer.zero_grad()
        backward(model, step)

        def closure(step=step):
            optimizer.zero_grad()
            return backward(model, step)

        optimizer.step(closure)


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def assert_same_bits(tensors, others):
    assert len(tensors) == len(others)
    for tensor, other in zip(tensors, others, strict=True):
        assert torch.equal(tensor, other)


def snapshot(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


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


def test_weight_decay_stays_out_of_the_perturbation():
    weights = []
    for weight_decay in (0.0, 0.5):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, lr=0.1, weight_decay=weight_decay)
        backward(model)
        optimizer.first_step(zero_grad=True)
        weights.append(snapshot(model))
    assert_same_bits(*weights)


@pytest.mark.parametrize(
    ("base", "settings"),
    [
        (torch.optim.SGD, SGD),
        (torch.optim.AdamW, {"lr": 1e-2, "weight_decay": 0.1}),
        (torch.optim.RMSprop, {"lr": 1e-3, "momentum": 0.9}),
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


def test_an_added_group_gets_the_base_optimizers_defaults():
    model = network()
    head = nn.Parameter(torch.zeros(2))
    optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.3, **SGD)
    optimizer.add_param_group({"params": [head], "lr": 0.01})
    group = optimizer.base_optimizer.param_groups[1]
    assert group["params"][0] is head
    assert (group["lr"], group["momentum"], group["rho"], group["nesterov"]) == (0.01, 0.9, 0.3, False)


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


def test_a_deep_copy_with_its_model_trains_on_like_the_original():
    model = network()
    optimizer = SAM(model.parameters(), torch.optim.SGD, p=math.inf, rho=0.01, **SGD)
    train(model, optimizer, range(2))
    twin, twin_optimizer = copy.deepcopy((model, optimizer))

    train(model, optimizer, range(2, 4))
    train(twin, twin_optimizer, range(2, 4))

    assert twin_optimizer.base_optimizer.param_groups is twin_optimizer.param_groups
    assert_same_bits(snapshot(twin), snapshot(model))


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


class TestFrozenStatistics:
    def test_statistics_move_in_the_first_pass_only(self):
        model = network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.5, **SGD)
        backward(model)
        after_first_pass = [buffer.clone() for buffer in model.buffers()]
        assert any((a != b).any() for a, b in zip(after_first_pass, network().buffers(), strict=True))
        optimizer.first_step(zero_grad=True)
        with frozen_statistics(model):
            backward(model)
        optimizer.second_step()
        assert_same_bits(list(model.buffers()), after_first_pass)
        backward(model)
        assert not torch.equal(model[1].running_mean, after_first_pass[0])

    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_the_batch_still_normalises(self, momentum):
        model, tracking = network(), network()
        for module in (*model, *tracking):
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum
        images, _ = batch(0)
        with frozen_statistics(model):
            inside = model(images)
        assert torch.equal(inside, tracking(images))

    def test_evaluation_mode_still_reads_the_running_statistics(self):
        model = network()
        backward(model)
        model.eval()
        images, _ = batch(1)
        with frozen_statistics(model):
            inside = model(images)
        assert torch.equal(inside, model(images))

    def test_tracking_returns_after_an_exception_and_only_where_it_was(self):
        model = nn.Sequential(nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False), nn.SyncBatchNorm(3))

        def fail_inside():
            with frozen_statistics(model):
                assert not any(module.track_running_stats for module in model)
                raise KeyError

        with pytest.raises(KeyError):
            fail_inside()
        assert [module.track_running_stats for module in model] == [True, False, True]

    def test_one_may_be_entered_again_also_inside_itself(self):
        model = network()
        frozen, norm = frozen_statistics(model), model[1]
        for _ in range(2):
            with frozen:
                with frozen:
                    assert not norm.track_running_stats
                assert not norm.track_running_stats
            assert norm.track_running_stats


class TestRecipes:
    """What docs/optimizer.md recommends."""

    def test_gradient_scaler_gives_the_unscaled_steps_and_skips_an_overflow(self):
        model, plain = network(), network()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.1, **SGD)
        plain_optimizer = SAM(plain.parameters(), torch.optim.SGD, rho=0.1, **SGD)
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)

        def scaled_step(step, factor=1.0):
            scaler.scale(factor * F.cross_entropy(model(batch(step)[0]), batch(step)[1])).backward()
            optimizer.first_step(zero_grad=True)
            with frozen_statistics(model):
                scaler.scale(F.cross_entropy(model(batch(step)[0]), batch(step)[1])).backward()
            optimizer.restore()
            scaler.unscale_(optimizer.base_optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer.base_optimizer)
            scaler.update()
            optimizer.zero_grad()

        for step in range(3):
            scaled_step(step)
            backward(plain, step)
            plain_optimizer.first_step(zero_grad=True)
            with frozen_statistics(plain):
                backward(plain, step)
            torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
            plain_optimizer.second_step(zero_grad=True)
        torch.testing.assert_close(flat(model), flat(plain))

        before = snapshot(model)
        scaled_step(3, factor=math.inf)
        assert_same_bits(snapshot(model), before)
        assert scaler.get_scale() == 2.0**9
        assert all(buffer.isfinite().all() for buffer in model.buffers())

    def test_clipping_the_first_gradient_changes_nothing(self):
        model, clipped = network(torch.float64), network(torch.float64)
        for net in (model, clipped):
            optimizer = SAM(net.parameters(), torch.optim.SGD, rho=0.1, **SGD)
            backward(net)
            if net is clipped:
                assert torch.nn.utils.clip_grad_norm_(net.parameters(), 1e-3) > 1e-2
            optimizer.first_step(zero_grad=True)
        torch.testing.assert_close(flat(clipped), flat(model), rtol=1e-8, atol=1e-10)

    def test_accumulated_micro_batches_equal_one_batch(self):
        """Without BatchNorm, whose statistics are a micro-batch's own."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10)).double()
        accumulated = copy.deepcopy(model)
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.5, **SGD)
        for step in range(3):
            train(model, optimizer, [step])

        optimizer = SAM(accumulated.parameters(), torch.optim.SGD, rho=0.5, **SGD)
        for step in range(3):
            images, labels = batch(step, torch.float64)
            micro_batches = list(zip(images.chunk(4), labels.chunk(4), strict=True))
            for pass_step in (optimizer.first_step, optimizer.second_step):
                for x, y in micro_batches:
                    (F.cross_entropy(accumulated(x), y) / len(micro_batches)).backward()
                pass_step(zero_grad=True)
        torch.testing.assert_close(flat(accumulated), flat(model), rtol=1e-9, atol=1e-12)

    def test_the_page_runs_as_it_is_written(self):
        page = (Path(__file__).parents[1] / "docs" / "optimizer.md").read_text(encoding="utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
        assert len(blocks) == 4
        namespace = {}
        for block in blocks:
            exec(block, namespace)
            loss = F.cross_entropy(namespace["model"](namespace["images"]), namespace["labels"])
            assert loss < 0.1

    def test_every_constructor_of_the_page_makes_its_method(self):
        page = (Path(__file__).parents[1] / "docs" / "optimizer.md").read_text(encoding="utf-8")
        constructors = re.findall(r"`(SAM\(.*?lr=0.1\))` \|", page)
        assert len(constructors) == 9
        for constructor in constructors:
            model = network()
            names = {"SAM": SAM, "SGD": torch.optim.SGD, "math": math, "model": model, "params": model.parameters()}
            train(model, eval(constructor, names), range(2))
            assert flat(model).isfinite().all()

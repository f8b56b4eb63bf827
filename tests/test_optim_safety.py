"""What SAM does with parameters, gradients and settings that do not fit, and with errors at every point of a step."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from sharpness.optim import SAM, ascent_step, frozen_statistics

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


def parameter(*values, dtype=torch.float32):
    return nn.Parameter(torch.tensor(values, dtype=dtype))


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


class TestParameters:
    def test_a_complex_parameter_with_a_gradient_is_refused_unless_left_out(self):
        real, imaginary = parameter(1.0), nn.Parameter(torch.tensor([1j]))
        for perturb in (True, ["real"]):
            named = [("real", real), ("imaginary", imaginary)]
            optimizer = SAM(named, torch.optim.SGD, lr=0.1, rho=0.5, perturb=perturb)
            optimizer.zero_grad()
            (real.sum() + imaginary.abs().sum()).backward()
            if perturb is True:
                with pytest.raises(RuntimeError, match=r"^first_step: imaginary is complex64"):
                    optimizer.first_step()
                assert real.item() == 1.0
            else:
                optimizer.step(lambda: (real.sum() + imaginary.abs().sum()).backward())
                assert imaginary.item() == pytest.approx(0.9j)

    def test_sparse_gradients_train_beside_perturbed_weights_when_left_out(self):
        torch.manual_seed(0)
        embedding, linear = nn.Embedding(5, 3, sparse=True), nn.Linear(3, 2)
        named = [("embedding", embedding.weight), *linear.named_parameters()]
        optimizer = SAM(named, torch.optim.SGD, lr=0.1, perturb=lambda name, _: name != "embedding")

        def loss():
            loss = linear(embedding(torch.tensor([0, 3]))).square().sum()
            loss.backward()
            return loss

        before = embedding.weight.detach().clone()
        loss()
        optimizer.step(loss)
        moved = (embedding.weight != before).any(dim=1)
        assert moved.tolist() == [True, False, False, True, False]

    def test_an_integer_parameter_without_a_gradient_is_left_alone(self):
        codes, weight = nn.Parameter(torch.arange(3), requires_grad=False), parameter(1.0)
        optimizer = SAM([codes, weight], torch.optim.SGD, lr=0.1)
        weight.sum().backward()
        optimizer.step(lambda: weight.sum().backward())
        assert torch.equal(codes, torch.arange(3))

    def test_an_integer_parameter_with_a_gradient_is_not_moved_either(self):
        codes, weight = nn.Parameter(torch.arange(3), requires_grad=False), parameter(1.0)
        codes.grad = torch.ones(3, dtype=torch.int64)
        optimizer = SAM([codes, weight], torch.optim.SGD, lr=1.0)
        weight.sum().backward()
        optimizer.step(lambda: weight.sum().backward())
        assert torch.equal(codes, torch.arange(3))

    @pytest.mark.parametrize("when", [None, lambda step: 0.0])
    def test_a_frozen_parameter_with_an_old_gradient_is_not_moved(self, when):
        model, optimizer = model_and_optimizer(when=when)
        backward(model)
        model[0].weight.requires_grad_(False)
        before = [weight.detach().clone() for weight in model.parameters()]
        if optimizer.ascends:
            optimizer.first_step()
            moved = [weight.detach() - was for weight, was in zip(model.parameters(), before, strict=True)]
            assert not moved[0].any()
            assert torch.cat([move.flatten() for move in moved]).norm().item() == pytest.approx(0.5, rel=1e-5)
            optimizer.second_step()
        else:
            optimizer.step()
        assert torch.equal(model[0].weight, before[0])
        assert not torch.equal(model[2].weight, before[2])

    def test_a_parameter_twice_in_a_group_or_in_two_groups_is_refused(self):
        weight = parameter(1.0)
        with pytest.raises(ValueError, match=r"^params: a parameter appears twice"):
            SAM([weight, weight], torch.optim.SGD, lr=0.1)
        with pytest.raises(ValueError, match="more than one parameter group"):
            SAM([{"params": [weight]}, {"params": [weight]}], torch.optim.SGD, lr=0.1)

    def test_a_parameter_shared_by_two_modules_is_perturbed_once(self):
        encoder, decoder = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        decoder.weight = encoder.weight
        model = nn.Sequential(encoder, decoder).double()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.5, lr=0.1)
        model(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
        before = encoder.weight.detach().clone()
        optimizer.first_step()
        assert (encoder.weight - before).norm().item() == pytest.approx(0.5)

    def test_groups_without_parameters_change_nothing(self):
        weight = parameter(1.0)
        optimizer = SAM([{"params": []}, {"params": [weight]}], torch.optim.SGD, rho=0.5, lr=0.1)
        weight.sum().backward()
        optimizer.first_step()
        assert weight.item() == 1.5
        with pytest.raises(ValueError, match=r"^perturb: none"):
            SAM([{"params": []}], torch.optim.SGD, lr=0.1)

    def test_parameters_on_two_devices_are_refused_in_one_line(self):
        here, elsewhere = parameter(1.0), nn.Parameter(torch.ones(1, device="meta"))
        here.grad, elsewhere.grad = torch.ones(1), torch.ones(1, device="meta")
        optimizer = SAM([here, elsewhere], torch.optim.SGD, lr=0.1)
        with pytest.raises(RuntimeError, match=r"^first_step: the parameters lie on cpu and meta;"):
            optimizer.first_step()
        assert here.item() == 1.0

    def test_parameters_of_several_dtypes_share_one_norm(self):
        weights = [parameter(1.0, dtype=dtype) for dtype in (torch.float64, torch.float32, torch.bfloat16)]
        optimizer = SAM(weights, torch.optim.SGD, rho=0.5, lr=0.1)
        sum(weight.sum().double() for weight in weights).backward()
        optimizer.first_step()
        assert weights[0].item() == pytest.approx(1 + 0.5 / math.sqrt(3), rel=1e-9)
        optimizer.second_step()
        assert [weight.dtype for weight in weights] == [torch.float64, torch.float32, torch.bfloat16]

    def test_a_parameter_resized_between_steps_is_perturbed_and_put_back_in_its_new_shape(self):
        weight = parameter(1.0, 2.0)
        optimizer = SAM([weight], torch.optim.SGD, rho=0.5, lr=0.0)
        for size in (2, 3, 1):
            weight.data, weight.grad = torch.ones(size), None
            weight.sum().backward()
            optimizer.first_step(zero_grad=True)
            assert weight.norm().item() == pytest.approx(math.sqrt(size) + 0.5)
            weight.sum().backward()
            optimizer.second_step()
            assert torch.equal(weight, torch.ones(size))

    @pytest.mark.parametrize("kind", ["sparse", "complex64"])
    def test_the_ascent_step_itself_refuses_them(self, kind):
        gradient = torch.ones(2).to_sparse() if kind == "sparse" else torch.ones(2, dtype=torch.complex64)
        with pytest.raises(ValueError, match=f"^a tensor is {kind}"):
            ascent_step([torch.ones(2)], [gradient], 0.1)


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


def batch_norm_block():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_statistics_stay_frozen_in_a_recomputation_inside(use_reentrant):
    block = batch_norm_block()
    images = torch.randn(8, 1, 6, 6, requires_grad=True)
    before = [buffer.clone() for buffer in block.buffers()]
    with frozen_statistics(block):
        checkpoint(block, images, use_reentrant=use_reentrant).sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(block.buffers(), before, strict=True))
    assert block[0].weight.grad is not None


@pytest.mark.filterwarnings("ignore")
def test_scripted_and_traced_batch_norms_are_refused():
    script = torch.jit.script(batch_norm_block())
    trace = torch.jit.trace(batch_norm_block(), torch.randn(2, 1, 6, 6))
    for model in (script, trace, nn.Sequential(script)):
        with pytest.raises(ValueError, match=r"^model: its BatchNorm '.*1' is scripted"):
            frozen_statistics(model)
    frozen_statistics(torch.jit.script(nn.Linear(2, 2)))

"""Parameters and gradients of unusual kinds: perturbed, left alone, or refused in a line."""

import math

import pytest
import torch
from optim_networks import parameter
from torch import nn

from sharpness.optim import SAM, ascent_step


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
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.5, when=when, lr=0.1)
        model(torch.ones(1, 4)).square().sum().backward()
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

    def test_a_recurrent_network_with_a_tied_head_and_unused_weights_takes_the_steps_by_hand(self):
        class Recurrent(nn.Module):
            def __init__(self):
                super().__init__()
                torch.manual_seed(0)
                self.layers, self.out = nn.GRU(3, 4, num_layers=2, batch_first=True), nn.Linear(4, 4, bias=False)
                self.head, self.unused = nn.Linear(4, 4), nn.Linear(2, 2)
                self.head.weight = self.out.weight
                self.double()

            def backward(self, step):
                generator = torch.Generator().manual_seed(step)
                inputs = torch.randn(6, 5, 3, generator=generator, dtype=torch.float64)
                self.head(torch.tanh(self.out(self.layers(inputs)[0]))).square().mean().backward()

        model, by_hand = Recurrent(), Recurrent()
        optimizer = SAM(model.parameters(), torch.optim.SGD, rho=0.2, lr=0.1, momentum=0.9)
        plain = torch.optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
        for step in range(20):
            model.backward(step)
            optimizer.step(lambda step=step: model.backward(step))
            optimizer.zero_grad()

            by_hand.backward(step)
            used = [weight for weight in by_hand.parameters() if weight.grad is not None]
            before = [weight.detach().clone() for weight in used]
            norm = math.sqrt(sum(weight.grad.square().sum().item() for weight in used)) + 1e-12
            with torch.no_grad():
                for weight in used:
                    weight += 0.2 * weight.grad / norm
            plain.zero_grad()
            by_hand.backward(step)
            with torch.no_grad():
                for weight, was in zip(used, before, strict=True):
                    weight.copy_(was)
            plain.step()
            plain.zero_grad()
        for (name, weight), other in zip(model.named_parameters(), by_hand.parameters(), strict=True):
            assert (weight - other).abs().max() <= 1e-12 * other.abs().max(), name
            assert torch.equal(weight, dict(Recurrent().named_parameters())[name]) is name.startswith("unused")

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

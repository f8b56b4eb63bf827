"""The probe: gradients as two plain passes give them, and nothing of the run that it touches."""

import copy
import math

import pytest
import torch
from torch import nn

from sharpness.networks import build_network
from sharpness.optim import ascent_step
from sharpness.training.augmentation import normalized
from sharpness.training.data import Data
from sharpness.training.device import configure
from sharpness.training.loss import SmoothedLoss
from sharpness.training.probe import Probe
from sharpness.training.step import build_optimizer, build_step

CPU = torch.device("cpu")
CLASSES = 7
RECIPE = {"momentum": 0.9, "weight_decay": 5e-4, "learning_rate": 0.1}
SGD = RECIPE | {"optimizer": "sgd"}
SAM = RECIPE | {"optimizer": "sam", "rho": 0.05, "p": 2.0, "geometry": "euclidean", "eta": 0.0, "normalization": "dual"}
ASCENTS = {
    "SAM": SAM,
    "ASAM": SAM | {"rho": 2.0, "geometry": "absolute"},
    "L∞": SAM | {"p": "inf"},
    "unnormalised": SAM | {"normalization": "none"},
    "radius 0": SAM | {"rho": 0.0},
}
NETWORKS = {
    "wide_resnet": {"depth": 10, "width": 1},
    "vgg": {"convolutions": [1, 1], "width": 8, "head": 16},
}
LOSS = SmoothedLoss(CLASSES, 0.1)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    configure(CPU, "fp32")


def make_data(images: int = 640) -> Data:
    """Random images of seven classes, with an augmentation that the probe must not use."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 8, 8, 1), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, CLASSES, (images,), generator=generator)
    mean, std = torch.full((1,), 120.0), torch.full((1,), 64.0)
    return Data(pixels, labels, normalized(pixels[:2], mean, std), labels[:2], mean, std, CLASSES, "", 1, True, 4)


def trained_a_little(network: str, spec: dict, data: Data) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network after three steps, so that statistics, momentum and SAM's copies are there."""
    torch.manual_seed(0)
    model = build_network(network, NETWORKS[network], in_channels=1, image_size=8, num_classes=CLASSES)
    model = model.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(model, spec)
    step = build_step(model, optimizer, LOSS, "fp32")
    for start in (0, 32, 64):
        images = normalized(data.train_images[start : start + 32], data.mean, data.std)
        step(images, data.train_labels[start : start + 32])
    return model, optimizer


def plain_gradients(model: nn.Module, probe: Probe) -> list[torch.Tensor]:
    model.zero_grad()
    LOSS(model(probe.inputs), probe.labels).backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def test_the_probe_is_spread_over_the_training_set():
    data = make_data(640)
    probe = Probe(data, batch_size=64)
    assert torch.equal(probe.labels, data.train_labels[::32])
    assert torch.equal(probe.inputs, normalized(data.train_images[::32], data.mean, data.std))
    assert torch.equal(probe.inputs, Probe(data, batch_size=32).inputs)
    assert len(Probe(data, batch_size=8).labels) == 8, "no more than a batch"
    assert len(Probe(make_data(20), batch_size=8).labels) == 1


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("ascent", ASCENTS)
def test_norms_and_cosine_are_those_of_two_plain_passes(network, ascent):
    data, spec = make_data(), ASCENTS[ascent]
    model, optimizer = trained_a_little(network, spec, data)
    probe = Probe(data, 64)
    found = probe.measure(model, optimizer, LOSS, "fp32")

    model.eval()
    gradients = plain_gradients(model, probe)
    weights = list(model.parameters())
    settings = {key: spec[key] for key in ("geometry", "eta", "normalization")} | {"p": float(spec["p"])}
    for weight, part in zip(weights, ascent_step(weights, gradients, spec["rho"], **settings), strict=True):
        weight.data += part
    first, second = (
        torch.cat([gradient.flatten() for gradient in each]).double()
        for each in (gradients, plain_gradients(model, probe))
    )
    assert found["gradient_norm"] == pytest.approx(first.norm().item(), rel=1e-5)
    assert found["perturbed_gradient_norm"] == pytest.approx(second.norm().item(), rel=1e-4)
    cosine = (first @ second / first.norm() / second.norm()).item()
    assert found["gradient_cosine"] == pytest.approx(cosine, abs=1e-5)
    if ascent == "radius 0":
        assert found["perturbed_gradient_norm"] == found["gradient_norm"]
        assert found["gradient_cosine"] == pytest.approx(1, abs=1e-12)
    else:
        assert found["gradient_cosine"] < 1 - 1e-5


@pytest.mark.parametrize("network", NETWORKS)
def test_without_an_ascent_step_there_is_one_pass(network, monkeypatch):
    data = make_data()
    model, optimizer = trained_a_little(network, SGD, data)
    passes = []
    model.register_forward_hook(lambda *arguments: passes.append(1))
    found = Probe(data, 64).measure(model, optimizer, LOSS, "fp32")
    assert len(passes) == 1
    assert found["gradient_norm"] == found["perturbed_gradient_norm"] > 0
    assert found["gradient_cosine"] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("spec", [SGD, *ASCENTS.values()], ids=["SGD", *ASCENTS])
def test_nothing_of_the_run_is_touched(network, spec):
    data = make_data()
    model, optimizer = trained_a_little(network, spec, data)
    state, momentum = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict()["state"])
    places = [parameter.data_ptr() for parameter in model.parameters()]
    random_state = torch.get_rng_state()
    Probe(data, 64).measure(model, optimizer, LOSS, "fp32")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(map(torch.equal, model.state_dict().values(), state.values()))
    for index, entry in optimizer.state_dict()["state"].items():
        assert torch.equal(entry["momentum_buffer"], momentum[index]["momentum_buffer"])
    assert [parameter.data_ptr() for parameter in model.parameters()] == places
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_parameter_without_a_part_in_the_loss_is_no_obstacle():
    data = make_data()
    model, _ = trained_a_little("wide_resnet", SAM, data)
    model.idle = nn.Parameter(torch.ones(3))
    found = Probe(data, 64).measure(model, build_optimizer(model, SAM), LOSS, "fp32")
    assert all(map(math.isfinite, found.values()))
    assert torch.equal(model.idle, torch.ones(3))


@pytest.mark.parametrize("spec", [SGD, SAM])
def test_a_network_that_has_diverged_has_no_gradient(spec):
    data = make_data()
    model, optimizer = trained_a_little("vgg", spec, data)
    with torch.no_grad():
        model.head[-1].weight.fill_(math.nan)
    assert all(map(math.isnan, Probe(data, 64).measure(model, optimizer, LOSS, "fp32").values()))
    assert not any(parameter.isnan().any() for parameter in model.features.parameters())

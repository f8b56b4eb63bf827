"""The networks are those of the study: size, cost, initialisation and what they compute."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from sharpness import registry
from sharpness.errors import SettingError, UserError
from sharpness.networks import build_network
from sharpness.networks.pyramidnet import Bottleneck

torch.set_num_threads(1)

NETWORKS = registry.names("networks")
ROOT = Path(__file__).parents[1]
SMALL = {
    "wide_resnet": {"depth": 10, "width": 1},
    "resnet": {"blocks": 1, "width": 4},
    "pyramidnet": {"depth": 11, "alpha": 12},
    "vgg": {"convolutions": [1, 1, 1], "width": 8, "head": 16},
}


def small_network(name):
    """A small network for 8×8 images of one channel; its head is random, so that the WideResNet is not constant."""
    torch.manual_seed(0)
    network = build_network(name, SMALL[name], in_channels=1, image_size=8, num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.1)
    return network


def cifar_network(name, num_classes=10):
    torch.manual_seed(0)
    return build_network(name, {}, in_channels=3, image_size=32, num_classes=num_classes)


@pytest.mark.parametrize(
    ("name", "num_classes", "parameters"),
    [
        ("wide_resnet", 10, 17_158_106),
        ("wide_resnet", 100, 17_158_106 + 90 * 513),
        ("resnet", 10, 11_173_962),
        ("resnet", 100, 11_220_132),
        ("pyramidnet", 10, 121_402),
        ("pyramidnet", 100, 121_402 + 90 * 257),
        ("vgg", 10, 15_245_130),
        ("vgg", 100, 15_245_130 + 90 * 513),
    ],
)
def test_default_size_has_the_parameters_of_the_study(name, num_classes, parameters):
    network = cifar_network(name, num_classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "billions"), [("wide_resnet", 2.454), ("resnet", 0.555), ("pyramidnet", 0.035), ("vgg", 0.314)]
)
def test_forward_pass_takes_the_multiplications_of_the_study(name, billions):
    network = cifar_network(name)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 32, 32))
    assert counter.get_total_flops() / 2 / 1e9 == pytest.approx(billions, abs=5e-4)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("in_channels", "image_size", "num_classes"), [(1, 8, 10), (3, 32, 7), (2, 28, 3)])
def test_logits_for_any_image(name, in_channels, image_size, num_classes):
    shape = {"in_channels": in_channels, "image_size": image_size, "num_classes": num_classes}
    network = build_network(name, SMALL[name], **shape)
    logits = network(torch.randn(5, in_channels, image_size, image_size))
    assert logits.shape == (5, num_classes)
    assert logits.isfinite().all()


@pytest.mark.parametrize("depth", [10, 16, 22, 28])
def test_wide_resnet_has_as_many_convolutions_as_its_depth(depth):
    network = build_network("wide_resnet", {"depth": depth, "width": 2}, in_channels=3, image_size=32, num_classes=10)
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == depth


def test_pyramidnet_widens_linearly():
    network = build_network("pyramidnet", {"depth": 29, "alpha": 90}, in_channels=3, image_size=32, num_classes=10)
    assert [block.conv1.out_channels for block in network.blocks] == [26, 36, 46, 56, 66, 76, 86, 96, 106]
    assert [block.stride for block in network.blocks] == [1, 1, 1, 2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("wide_resnet", lambda out, fan_in, area: 2 / fan_in),
        ("resnet", lambda out, fan_in, area: 1 / (3 * fan_in)),
        ("pyramidnet", lambda out, fan_in, area: 2 / (area * out)),
        ("vgg", lambda out, fan_in, area: 2 / (9 * out)),
    ],
)
def test_convolutions_start_with_the_stated_variance(name, variance):
    for module in cifar_network(name).modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight
            expected = variance(len(weight), weight[0].numel(), weight[0, 0].numel())
            # Five standard errors of the mean square of a normal variable, whose fourth moment is the largest here.
            assert weight.square().mean().item() == pytest.approx(expected, rel=5 * math.sqrt(2 / weight.numel()))
            if weight.numel() > 10_000:
                kurtosis = (weight.pow(4).mean() / weight.square().mean() ** 2).item()
                assert kurtosis == pytest.approx(9 / 5 if name == "resnet" else 3, abs=0.3)
            assert module.bias is None or not module.bias.any()


@pytest.mark.parametrize("name", ["wide_resnet", "resnet", "pyramidnet"])
def test_batch_norm_starts_at_one_and_zero(name):
    norms = [module for module in cifar_network(name).modules() if isinstance(module, nn.BatchNorm2d)]
    assert norms
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)


def test_untrained_wide_resnet_predicts_every_class_alike():
    network = build_network("wide_resnet", {"depth": 10, "width": 1}, in_channels=1, image_size=8, num_classes=10)
    assert not network(torch.randn(4, 1, 8, 8)).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_reaches_every_parameter(name):
    network = small_network(name).eval()  # BatchNorm in training would cancel the shifts before it
    network(torch.randn(16, 1, 8, 8)).square().sum().backward()
    idle = [key for key, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert idle == []


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_last_changes_nothing(name):
    images = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        network = small_network(name).double().to(memory_format=memory_format)
        torch.manual_seed(1)  # the same dropout
        logits = network(images.to(memory_format=memory_format))
        logits.square().sum().backward()
        results.append([logits.detach(), *(parameter.grad for parameter in network.parameters())])
    torch.testing.assert_close(results[1], results[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation_is_deterministic_and_treats_images_one_by_one(name):
    network = small_network(name).double()
    images = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    network(images)  # moves BatchNorm's running statistics off their start
    network.eval()
    together = network(images)
    assert torch.equal(network(images), together)
    torch.testing.assert_close(torch.cat([network(image[None]) for image in images]), together, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_only_vgg_drops_out_and_only_in_training(name):
    network = small_network(name).double()
    images = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    assert torch.equal(network(images), network(images)) == (name != "vgg")


def test_resnet_equals_torchvision():
    ours = cifar_network("resnet").double()
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs.double().load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-9, atol=1e-9)


def test_vgg_features_equal_torchvision():
    ours = cifar_network("vgg").features.double()
    with torch.device("meta"):  # VGG-16's own head takes seconds to initialise
        theirs = torchvision.models.vgg16().features
    theirs.to_empty(device="cpu").double().load_state_dict(
        dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True))
    )
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(ours(images), theirs(images), rtol=1e-9, atol=1e-9)


def with_random_batch_norm(network):
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return network


def batch_norm(x, state, name):
    return F.batch_norm(x, None, None, state[f"{name}.weight"], state[f"{name}.bias"], training=True)


def test_wide_resnet_equals_its_definition():
    network = with_random_batch_norm(small_network("wide_resnet")).double()
    images = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    state = network.state_dict()
    x = F.conv2d(images, state["stem.weight"], padding=1)
    for block, stride in (("blocks.0", 1), ("blocks.1", 2), ("blocks.2", 2)):
        y = batch_norm(x, state, f"{block}.norm1").relu()
        x = x if stride == 1 else F.conv2d(y, state[f"{block}.projection.weight"], stride=stride)
        y = F.conv2d(y, state[f"{block}.conv1.weight"], stride=stride, padding=1)
        y = batch_norm(y, state, f"{block}.norm2").relu()
        x = x + F.conv2d(y, state[f"{block}.conv2.weight"], padding=1)
    x = batch_norm(x, state, "norm").relu().mean((2, 3))
    torch.testing.assert_close(network(images), F.linear(x, state["head.weight"], state["head.bias"]))


def test_pyramidnet_equals_its_definition():
    network = with_random_batch_norm(small_network("pyramidnet")).double()
    images = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    state = network.state_dict()
    x = batch_norm(F.conv2d(images, state["stem.weight"], padding=1), state, "norm1")
    for block, stride in (("blocks.0", 1), ("blocks.1", 2), ("blocks.2", 2)):
        y = batch_norm(x, state, f"{block}.norm1")
        y = F.conv2d(y, state[f"{block}.conv1.weight"])
        y = batch_norm(y, state, f"{block}.norm2").relu()
        y = F.conv2d(y, state[f"{block}.conv2.weight"], stride=stride, padding=1)
        y = batch_norm(y, state, f"{block}.norm3").relu()
        y = F.conv2d(y, state[f"{block}.conv3.weight"])
        y = batch_norm(y, state, f"{block}.norm4")
        x = F.avg_pool2d(x, stride)
        x = torch.cat([x + y[:, : x.shape[1]], y[:, x.shape[1] :]], dim=1)
    x = batch_norm(x, state, "norm2").relu().mean((2, 3))
    torch.testing.assert_close(network(images), F.linear(x, state["head.weight"], state["head.bias"]))


def test_vgg_head_drops_half_before_each_of_its_hidden_layers():
    head = cifar_network("vgg").head
    assert [type(module).__name__ for module in head] == [*("Dropout", "Linear", "ReLU") * 2, "Linear"]
    assert [module.p for module in head if isinstance(module, nn.Dropout)] == [0.5, 0.5]
    assert [module.out_features for module in head if isinstance(module, nn.Linear)] == [512, 512, 10]


@pytest.mark.parametrize(("stride", "size"), [(1, 5), (2, 6), (2, 5)])
def test_pyramidnet_block_pads_and_pools_its_input(stride, size):
    block = Bottleneck(3, width=2, stride=stride)
    nn.init.zeros_(block.norm4.weight)
    images = torch.randn(2, 3, size, size)
    y = block(images)
    assert y.shape[1:] == (8, math.ceil(size / stride), math.ceil(size / stride))
    torch.testing.assert_close(y[:, :, 0, 0][:, :3], images[:, :, :stride, :stride].mean((2, 3)))
    assert not y[:, 3:].any()


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet", {"block": 2}, "resnet has no argument 'block'; did you mean 'blocks'?"),
        ("resnet", {"in_chanels": 2}, "resnet has no argument 'in_chanels'; choose from: blocks, width"),
        ("resnet", {"num_classes": 2}, "resnet has no argument 'num_classes'; choose from: blocks, width"),
        ("vgg", {"image_size": 8}, "vgg has no argument 'image_size'; choose from: convolutions, head, width"),
        ("resnet", {"width": 0}, "width: 0 is not a positive integer; give one"),
        ("resnet", {"width": 2.0}, "width: 2.0 is not a positive integer; give one"),
        ("resnet", {"width": True}, "width: True is not a positive integer; give one"),
        ("resnet", {"blocks": [1, 1]}, "blocks: [1, 1] is not a positive integer; give one"),
        ("wide_resnet", {"depth": "22"}, "depth: '22' is not a positive integer; give one"),
        ("pyramidnet", {"alpha": -1}, "alpha: -1 is not a positive integer; give one"),
        ("vgg", {"convolutions": 2}, "convolutions: 2 is not a list of positive integers; give one"),
        ("vgg", {"convolutions": []}, "convolutions: [] is not a list of positive integers; give one"),
        ("vgg", {"convolutions": [1, 0]}, "convolutions: 0 is not a positive integer; give one"),
        ("wide_resnet", {"depth": 18}, "depth: 18 is outside its range; choose 10, 16, 22, ... up to 1000"),
        ("wide_resnet", {"depth": 4}, "depth: 4 is outside its range; choose 10, 16, 22, ... up to 1000"),
        ("pyramidnet", {"depth": 10}, "depth: 10 is outside its range; choose 11 to 1000"),
        ("vgg", {"width": 10**9}, "width: 1000000000 is outside its range; choose 1 to 2000"),
        ("vgg", {"convolutions": [1] * 17}, "convolutions: 17 items are too many; give 16 at most"),
        ("vgg", {}, "vgg at this size needs images of at least 32 pixels a side, not 8; choose another size"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(name, size, message):
    with pytest.raises(SettingError) as raised:
        build_network(name, size, in_channels=1, image_size=8, num_classes=10)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wideresnet", "unknown network 'wideresnet'; did you mean 'wide_resnet'?"),
        ("lenet5000", "unknown network 'lenet5000'; choose from: pyramidnet, resnet, vgg, wide_resnet"),
    ],
)
def test_a_network_that_is_not_there_is_refused(name, message):
    with pytest.raises(UserError) as raised:
        build_network(name, {}, in_channels=1, image_size=8, num_classes=10)
    assert str(raised.value) == f"networks: {message}"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_says_its_title_and_its_source(name):
    constants = registry.constants("networks", name)
    assert constants["TITLE"]
    assert f"{{{constants['CITATION']}," in (ROOT / "workflow/report/references.bib").read_text(encoding="utf-8")


def test_what_a_spec_says_of_its_network_needs_no_torch():
    spec = {"network": "vgg", "network_head": 2, "method": "sgd"}
    code = (
        f"import sys, sharpness.networks; print(sharpness.networks.network_arguments({spec}), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "{'head': 2} False\n"

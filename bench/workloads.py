"""What is timed: the study's networks at their sizes, each with a batch of random images."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from sharpness.datasets import prepared_shape
from sharpness.networks import build_network
from sharpness.study import load_study
from sharpness.training.loss import SmoothedLoss

CLASSES = 10


@dataclass(frozen=True)
class Workload:
    """A network of some size on batches of square images.

    Attributes:
        title: what a table calls it.
        network: its name in sharpness.networks.
        channels, image_size: of the images.
        batch_size: images.
        size: the network's own size arguments.
    """

    title: str
    network: str
    channels: int
    image_size: int
    batch_size: int
    size: dict = field(default_factory=dict)

    def build(self, device: torch.device, memory_format: torch.memory_format = torch.channels_last) -> nn.Module:
        """The network in training mode, always with the same weights."""
        torch.manual_seed(0)
        network = build_network(
            self.network, self.size, in_channels=self.channels, image_size=self.image_size, num_classes=CLASSES
        )
        return network.to(device, memory_format=memory_format)

    def batch(
        self, device: torch.device, memory_format: torch.memory_format = torch.channels_last
    ) -> tuple[Tensor, Tensor]:
        """Random images and labels, always the same."""
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch_size, self.channels, self.image_size, self.image_size)
        images = torch.randn(shape, generator=generator).to(device).contiguous(memory_format=memory_format)
        return images, torch.randint(CLASSES, (self.batch_size,), generator=generator).to(device)


def laptop_networks() -> list[Workload]:
    """The four networks of the laptop scale on 8×8 digits."""
    return scale_networks("laptop")


def scale_networks(scale: str) -> list[Workload]:
    """The networks of a scale on images of its size."""
    settings = load_study(scale).settings
    shape = prepared_shape(settings["dataset"], Path("data"))
    titles = {"wide_resnet": "WRN-{depth}-{width}", "resnet": "ResNet", "pyramidnet": "PyramidNet", "vgg": "VGG"}
    return [
        Workload(titles[name].format(**size), name, shape.channels, shape.image_size, settings["batch_size"], size)
        for name, size in settings["networks"].items()
    ]


def wrn_16_2(batch_size: int = 64) -> Workload:
    return Workload("WRN-16-2", "wide_resnet", 3, 32, batch_size, {"depth": 16, "width": 2})


def wrn_22_8(batch_size: int = 16) -> Workload:
    """The report's WideResNet; a step at its batch of 128 would take half a minute on a CPU."""
    return Workload("WRN-22-8", "wide_resnet", 3, 32, batch_size, {"depth": 22, "width": 8})


@cache
def sam_spec(scale: str = "laptop") -> dict:
    """The spec of the study's SAM run on the WideResNet, ρ = 0.05, with the first of the scale's seeds."""
    runs = load_study(scale).runs.values()
    specs = (job.spec for job in runs)
    return next(
        spec for spec in specs if (spec["network"], spec["method"], spec.get("rho")) == ("wide_resnet", "sam", 0.05)
    )


def step_spec(optimizer: str = "sam") -> dict:
    """The recipe of a step that is taken again and again on one random batch: a rate at which that cannot diverge."""
    return sam_spec() | {"optimizer": optimizer, "learning_rate": 0.001}


def smoothed_loss() -> SmoothedLoss:
    return SmoothedLoss(CLASSES, sam_spec()["label_smoothing"])

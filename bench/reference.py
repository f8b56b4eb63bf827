"""What the project is measured against, written plainly in the manner of the code in wide use.

The training loop follows the manner of davda54/sam's example (and of the report's own fork of it): the optimizer goes
through the parameters one by one, each batch ends with several reads of the device, tensors are float32 in PyTorch's
default layout, and images come from worker processes that augment them one at a time with torchvision's transforms on
PIL images. The loop over measurements takes matrix sensing's sums as they are printed. All of it is our own code.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from sharpness.dynamics.matrix_sensing import Run
from sharpness.problems.matrix_sensing import Settings

if TYPE_CHECKING:
    from PIL import Image


class StockSAM(torch.optim.Optimizer):
    """SAM around SGD, one parameter after the other.

    Args:
        parameters: of the model.
        rho: radius.
        **descent: arguments of torch.optim.SGD.
    """

    def __init__(self, parameters: Iterator[nn.Parameter], rho: float, **descent):
        super().__init__(parameters, {"rho": rho, **descent})
        self.sgd = torch.optim.SGD(self.param_groups, **descent)
        self.param_groups = self.sgd.param_groups

    @torch.no_grad()
    def ascend(self) -> None:
        """Move the weights to w + ε."""
        parameters = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        length = torch.stack([weight.grad.norm() for weight in parameters]).norm()
        for weight in parameters:
            self.state[weight]["start"] = weight.detach().clone()
            weight.add_(weight.grad * (self.param_groups[0]["rho"] / (length + 1e-12)))
        self.zero_grad()

    @torch.no_grad()
    def descend(self) -> None:
        """Move the weights back to w, and by SGD's step from there."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.copy_(self.state[weight]["start"])
        self.sgd.step()
        self.zero_grad()


def stock_step(
    model: nn.Module, optimizer: StockSAM, smoothing: float
) -> Callable[[Tensor, Tensor], tuple[float, int]]:
    """A function of (inputs, labels) that takes one SAM step and reads the batch's loss and correct answers back."""
    momenta = {module: module.momentum for module in model.modules() if isinstance(module, nn.BatchNorm2d)}

    def track(tracking: bool) -> None:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momenta[module] if tracking else 0.0

    def step(inputs: Tensor, labels: Tensor) -> tuple[float, int]:
        track(True)
        logits = model(inputs)
        losses = smooth_loss(logits, labels, smoothing)
        losses.mean().backward()
        optimizer.ascend()
        track(False)
        smooth_loss(model(inputs), labels, smoothing).mean().backward()
        optimizer.descend()
        with torch.no_grad():
            correct = logits.argmax(dim=1) == labels
            return losses.sum().item(), correct.sum().item()

    return step


def smooth_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """KL(target ‖ softmax) of each image, from a target that is written out."""
    target = torch.full_like(logits, smoothing / (logits.shape[1] - 1))
    target.scatter_(1, labels[:, None], 1 - smoothing)
    return F.kl_div(F.log_softmax(logits, dim=1), target, reduction="none").sum(dim=1)


class Cutout:
    """Set a square of an image tensor (channels, height, width) to 0, with probability ½; the edge may clip it."""

    def __init__(self, side: int):
        self.side = side

    def __call__(self, image: Tensor) -> Tensor:
        if torch.rand(1).item() < 0.5:
            return image
        top, left = (torch.randint(length, (1,)).item() - self.side // 2 for length in image.shape[1:])
        image[:, max(top, 0) : top + self.side, max(left, 0) : left + self.side] = 0.0
        return image


class PictureDataset(Dataset):
    """Images (uint8, n × height × width × channels) and labels, given one by one through a transform of a PIL image."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Callable[["Image.Image"], Tensor]):
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image  # as in loaders

        image = self.images[index]
        return self.transform(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)), int(
            self.labels[index]
        )


def loaders(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    mean: list[float],
    std: list[float],
    spec: dict,
    workers: int,
) -> tuple[DataLoader, DataLoader]:
    """The training and the test loader.

    Args:
        train, test: uint8 images (n, height, width, channels) and int64 labels.
        mean, std: per channel, in the bytes' unit.
        spec: batch_size and the augmentation, as in a run's spec.
        workers: worker processes of each loader.
    """
    from torchvision import transforms  # the steps above are timed where it is missing

    as_inputs = [transforms.ToTensor(), transforms.Normalize([m / 255 for m in mean], [s / 255 for s in std])]
    augmentation = [transforms.RandomCrop(train[0].shape[1], padding=spec["crop_padding"])]
    if spec["flip"]:
        augmentation.append(transforms.RandomHorizontalFlip())
    transform = transforms.Compose([*augmentation, *as_inputs, Cutout(spec["cutout"])])
    settings = {"batch_size": spec["batch_size"], "num_workers": workers}
    return (
        DataLoader(PictureDataset(*train, transform), shuffle=True, **settings),
        DataLoader(PictureDataset(*test, transforms.Compose(as_inputs)), shuffle=False, **settings),
    )


def train(
    model: nn.Module, train_loader: DataLoader, test_loader: DataLoader, device: torch.device, spec: dict
) -> float:
    """Train for the spec's epochs, with a test after each, and return the last test accuracy."""
    descent = {"lr": spec["learning_rate"], "momentum": spec["momentum"], "weight_decay": spec["weight_decay"]}
    step = stock_step(model, StockSAM(model.parameters(), spec["rho"], **descent), spec["label_smoothing"])
    for _ in range(spec["epochs"]):
        model.train()
        loss, correct = 0.0, 0
        for inputs, labels in train_loader:
            batch_loss, batch_correct = step(inputs.to(device), labels.to(device))
            loss, correct = loss + batch_loss, correct + batch_correct
        model.eval()
        loss, correct = 0.0, 0
        with torch.no_grad():
            for inputs, labels in test_loader:
                inputs, labels = inputs.to(device), labels.to(device)
                logits = model(inputs)
                loss += smooth_loss(logits, labels, spec["label_smoothing"]).sum().item()
                correct += (logits.argmax(dim=1) == labels).sum().item()
    return correct / len(test_loader.dataset)


def sense_by_loop(matrices: Tensor, target: Tensor, start: Tensor, run: Run, settings: Settings) -> list[float]:
    """The losses of one trajectory of matrix sensing, its loss summed measurement by measurement.

    Args:
        matrices: A_i, (m, d, d).
        target: X*, (d, d).
        start: U before the first step, (d, k).
        run: the method, "sam" or "usam", and its radius.
        settings: learning rate and steps.
    """

    def loss_of(iterate: Tensor) -> Tensor:
        error = iterate @ iterate.T - target
        return sum((matrix * error).sum() ** 2 for matrix in matrices) / (2 * len(matrices))

    return _descend(loss_of, start, run, settings)


def sense_by_product(matrices: Tensor, target: Tensor, start: Tensor, run: Run, settings: Settings) -> list[float]:
    """As `sense_by_loop`, with the measurements in one matrix-vector product."""
    flat = matrices.flatten(1)

    def loss_of(iterate: Tensor) -> Tensor:
        return (flat @ (iterate @ iterate.T - target).flatten()).square().sum() / (2 * len(flat))

    return _descend(loss_of, start, run, settings)


def _descend(loss_of: Callable[[Tensor], Tensor], start: Tensor, run: Run, settings: Settings) -> list[float]:
    def loss_and_gradient(point: Tensor) -> tuple[float, Tensor]:
        point = point.detach().requires_grad_()
        loss = loss_of(point)
        return loss.item(), torch.autograd.grad(loss, point)[0]

    iterate, losses = start, []
    for _ in range(settings.steps):
        loss, gradient = loss_and_gradient(iterate)
        losses.append(loss)
        scale = run.rho / (gradient.norm() + 1e-12) if run.method == "sam" else run.rho
        _, gradient = loss_and_gradient(iterate + scale * gradient)
        iterate = iterate - settings.learning_rate * gradient
    return losses

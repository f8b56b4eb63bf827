"""The gradient before and after the ascent step, on a fixed set of training images."""

import torch
from torch import Tensor, nn

from sharpness.optim import SAM
from sharpness.training.augmentation import normalized
from sharpness.training.data import Data
from sharpness.training.loss import SmoothedLoss
from sharpness.training.step import autocast

# One training image in so many is in the probe, and no more than so many: it must not slow training.
ONE_IN = 32
MOST_IMAGES = 128


class Probe:
    """Training images, evenly spaced through the training set and not augmented, on which gradients are measured.

    Args:
        data: the data set, on its device.
        batch_size: of training; no pass takes more images at once, nor more memory.
    """

    def __init__(self, data: Data, batch_size: int):
        images = len(data.train_labels)
        count = min(max(1, images // ONE_IN), MOST_IMAGES)
        chosen = torch.arange(count, device=data.train_labels.device) * images // count
        self.inputs = normalized(data.train_images[chosen], data.mean, data.std)
        self.labels = data.train_labels[chosen]
        self.batch_size = batch_size

    def measure(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loss: SmoothedLoss, precision: str
    ) -> dict[str, float]:
        """The history's columns of the gradient g = ∇f(w) and g' = ∇f(w + ε), with ε the optimizer's own ascent step.

        f is the training loss over the probe with the network in evaluation mode: Dropout draws nothing, BatchNorm
        uses its running statistics and leaves them alone. Weights, momentum and random state stay as they are, and no
        gradient is left behind.

        Returns:
            ‖g‖ and ‖g'‖ (nats per unit of the weights), and the cosine of the angle between the two, NaN where one of
            them is zero. Without an ascent step g' is g.
        """
        model.eval()
        optimizer.zero_grad()
        gradient = self._gradient(model, loss, precision)
        if isinstance(optimizer, SAM):
            optimizer.first_step(zero_grad=True)
            perturbed = self._gradient(model, loss, precision)
            optimizer.restore()
        else:
            perturbed = gradient
        optimizer.zero_grad()
        norm, perturbed_norm = (torch.linalg.vector_norm(vector) for vector in (gradient, perturbed))
        return {
            "gradient_norm": norm.item(),
            "perturbed_gradient_norm": perturbed_norm.item(),
            "gradient_cosine": (gradient @ perturbed / (norm * perturbed_norm)).item(),
        }

    def _gradient(self, model: nn.Module, loss: SmoothedLoss, precision: str) -> Tensor:
        """Accumulate the gradient in the parameters; float64 (parameters,): all of it as one vector."""
        for inputs, labels in zip(self.inputs.split(self.batch_size), self.labels.split(self.batch_size), strict=True):
            with autocast(inputs.device, precision):
                logits = model(inputs)
            (loss(logits.float(), labels) * (len(labels) / len(self.labels))).backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        return torch.cat([gradient.flatten() for gradient in gradients]).double()

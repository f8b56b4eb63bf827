"""The gradient before and after the ascent step, on a fixed set of training images."""

import torch
from torch import Tensor, nn

from sharpness.optim import SAM
from sharpness.training.augmentation import normalized
from sharpness.training.data import Data
from sharpness.training.loss import SmoothedLoss
from sharpness.training.step import autocast

# One training image in this many is in the probe, so that it does not slow training.
ONE_IN = 32


class Probe:
    """Training images, evenly spaced through the training set and not augmented, on which gradients are measured.

    Args:
        data: the data set, on its device.
        batch_size: of training; the probe has no more images, so it needs no more memory.
    """

    def __init__(self, data: Data, batch_size: int):
        images = len(data.train_labels)
        count = max(1, min(images // ONE_IN, batch_size))
        chosen = torch.arange(count, device=data.train_labels.device) * images // count
        self.inputs = normalized(data.train_images[chosen], data.mean, data.std)
        self.labels = data.train_labels[chosen]

    def measure(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, loss: SmoothedLoss, precision: str
    ) -> dict[str, float]:
        """The history's columns of the gradients g = ∇f(w) and g' = ∇f(w + ε), with ε the optimizer's own ascent step.

        f is the training loss over the probe with the network in evaluation mode: Dropout draws nothing, and BatchNorm
        uses its running statistics and leaves them alone. Weights, momentum and random state stay as they are.

        The ascent step is taken at its whole radius, whether the next step of the training ascends or not.

        Returns:
            gradient_norm, perturbed_gradient_norm: ‖g‖ and ‖g'‖ (nats per unit of the weights).
            gradient_cosine: of the angle between the two; NaN where one of them is zero.

            Without an ascent step g' is g.
        """
        parameters = list(model.parameters())

        def gradients() -> tuple[Tensor, ...]:
            with autocast(self.inputs.device, precision):
                logits = model(self.inputs)
            return torch.autograd.grad(loss(logits.float(), self.labels), parameters, materialize_grads=True)

        model.eval()
        parts = gradients()
        gradient = perturbed = _vector(parts)
        if isinstance(optimizer, SAM):
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.grad = part
            when, optimizer.when = optimizer.when, None  # the next step may be a plain one
            optimizer.first_step(zero_grad=True)
            perturbed = _vector(gradients())
            optimizer.restore()
            optimizer.when = when
        norm, perturbed_norm = torch.linalg.vector_norm(gradient), torch.linalg.vector_norm(perturbed)
        return {
            "gradient_norm": norm.item(),
            "perturbed_gradient_norm": perturbed_norm.item(),
            "gradient_cosine": (gradient @ perturbed / (norm * perturbed_norm)).item(),
        }


def _vector(tensors: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors]).double()

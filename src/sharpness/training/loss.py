"""The report's loss: the Kullback-Leibler divergence of the prediction from smoothed labels."""

import math

from torch import Tensor
from torch.nn import functional

from sharpness.training.limits import check_smoothing


class SmoothedLoss:
    """KL(target ‖ softmax(logits)) in nats, averaged over the batch.

    The target has 1 − s on the label and s/(K − 1) on each other class (label smoothing, Szegedy et al. 2016, with
    the label left out of the uniform part). Its minimum is 0; a uniform predictor gives log K minus the target's
    entropy.

    Args:
        classes: number of classes K, at least 2.
        smoothing: s, from 0 to (K − 1)/K, which makes all classes alike.

    Raises:
        SettingError: the smoothing leaves the label less than any other class.
    """

    def __init__(self, classes: int, smoothing: float):
        check_smoothing(smoothing, classes)
        others = smoothing / (classes - 1)
        # cross_entropy's smoothing also gives the label its share of the uniform part: the same target from a larger s.
        self.smoothing = others * classes
        self.entropy = -sum(
            share * math.log(share) for share in [1 - smoothing, *[others] * (classes - 1)] if share > 0
        )

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of logits (batch, K) on labels (batch,): a scalar."""
        return functional.cross_entropy(logits, labels, label_smoothing=self.smoothing) - self.entropy

"""A data set on its device: whole as bytes, augmented there in batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sharpness.arrays import Arrays
from sharpness.datasets import open_arrays
from sharpness.training.augmentation import EpochDraws, augmented, normalized

# Images augmented at once: enough to amortise each operation's overhead, few enough for any memory (about 50 MB of
# 32×32 RGB).
IMAGES_AT_ONCE = 4096


@dataclass(frozen=True)
class Data:
    """A data set on its device, with the augmentation of a scale.

    Attributes:
        train_images: uint8 (n, height, width, channels).
        train_labels: int64 (n,).
        test_inputs: float32 (m, channels, height, width), normalised, channels last in memory.
        test_labels: int64 (m,).
        mean, std: float32 (channels,), of the training set, in the bytes' unit.
        classes: number of classes.
        sha256: digest of the prepared data set.
        crop_padding, flip, cutout: the augmentation, as in a spec.
    """

    train_images: Tensor
    train_labels: Tensor
    test_inputs: Tensor
    test_labels: Tensor
    mean: Tensor
    std: Tensor
    classes: int
    sha256: str
    crop_padding: int
    flip: bool
    cutout: int

    @property
    def image_size(self) -> int:
        return self.train_images.shape[1]

    @property
    def channels(self) -> int:
        return self.train_images.shape[3]

    def batches(self, draws: EpochDraws, batch_size: int, first: int = 0) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield an epoch's batches from image `first` on: which rows of the draws, inputs, labels."""
        at_once = batch_size * max(1, IMAGES_AT_ONCE // batch_size)
        images = len(self.train_images)
        for start in range(first, images, at_once):
            part = slice(start, min(start + at_once, images))
            inputs, labels = self.shown(draws, part)
            for offset in range(0, len(labels), batch_size):
                rows = slice(start + offset, min(start + offset + batch_size, part.stop))
                yield rows, inputs[offset : offset + batch_size], labels[offset : offset + batch_size]

    def shown(self, draws: EpochDraws, part: slice) -> tuple[Tensor, Tensor]:
        """Some of an epoch's augmented images, with their labels.

        Args:
            draws: the epoch's draws.
            part: which rows of them.

        Returns:
            float32 (rows, channels, height, width), channels last in memory; int64 (rows,).
        """
        rows = draws.rows(part, self.train_images.device)
        inputs = augmented(
            self.train_images[rows.order], rows, self.mean, self.std, self.crop_padding, self.flip, self.cutout
        )
        return inputs, self.train_labels[rows.order]


def load_data(folder: Path, spec: dict, device: torch.device) -> Data:
    """Bring a prepared data set to a device, with the augmentation of a spec.

    Raises:
        UserError: the prepared folder is damaged.
    """
    arrays, meta = open_arrays(folder)
    return on_device(arrays, meta, spec, device)


def on_device(arrays: Arrays, meta: dict, spec: dict, device: torch.device) -> Data:
    """Bring arrays to a device; `meta` has the training images' mean and std by channel, and the data set's sha256."""
    mean, std = (torch.tensor(meta[key], dtype=torch.float32, device=device) for key in ("mean", "std"))
    return Data(
        train_images=torch.from_numpy(arrays.train_images).to(device),
        train_labels=torch.from_numpy(arrays.train_labels).to(device),
        test_inputs=normalized(torch.from_numpy(arrays.test_images).to(device), mean, std),
        test_labels=torch.from_numpy(arrays.test_labels).to(device),
        mean=mean,
        std=std,
        classes=len(arrays.classes),
        sha256=meta["sha256"],
        crop_padding=spec["crop_padding"],
        flip=spec["flip"],
        cutout=spec["cutout"],
    )

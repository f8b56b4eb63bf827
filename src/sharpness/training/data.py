"""A data set on its device: whole as bytes, augmented there in batches, each epoch a function of seed and epoch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sharpness.arrays import Arrays
from sharpness.datasets import open_arrays

# Images augmented at once: enough to amortise each operation's overhead, few enough for any memory (about 50 MB of
# 32×32 RGB).
IMAGES_AT_ONCE = 4096


@dataclass(frozen=True)
class EpochDraws:
    """Every random choice of one epoch, on the CPU, so that each device sees the same; row i is the i-th image shown.

    Attributes:
        order: int64 (n,), which image of the training set.
        shift: int64 (n, 2), row and column of the crop's corner in the padded image, from 0 to 2 × padding.
        flip: bool (n,), whether it is mirrored.
        cutout: bool (n,), whether it loses a square.
        centre: int64 (n, 2), row and column of the square's centre.
    """

    order: Tensor
    shift: Tensor
    flip: Tensor
    cutout: Tensor
    centre: Tensor


def draw_epoch(seed: int, epoch: int, images: int, image_size: int, crop_padding: int) -> EpochDraws:
    """Draw an epoch's order and augmentation.

    Args:
        seed: the run's seed.
        epoch: counted from 1.
        images: number of training images n.
        image_size: height and width (pixels).
        crop_padding: pixels on each side.
    """
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(state >> np.uint64(1)))
    return EpochDraws(
        order=torch.randperm(images, generator=generator),
        shift=torch.randint(0, 2 * crop_padding + 1, (images, 2), generator=generator),
        flip=torch.rand(images, generator=generator) < 0.5,
        cutout=torch.rand(images, generator=generator) < 0.5,
        centre=torch.randint(0, image_size, (images, 2), generator=generator),
    )


def normalized(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Bytes (n, height, width, channels) as float32 (n, channels, height, width), channels last in memory.

    Args:
        images: uint8.
        mean, std: float32 (channels,), of the training set, in the bytes' unit.
    """
    return images.to(torch.float32).sub_(mean).div_(std).permute(0, 3, 1, 2)


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
        sha256: digest of the prepared arrays.
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
            inputs = self.augmented(draws, part)
            labels = self.train_labels[draws.order[part].to(self.train_labels.device)]
            for offset in range(0, len(labels), batch_size):
                rows = slice(start + offset, min(start + offset + batch_size, part.stop))
                yield rows, inputs[offset : offset + batch_size], labels[offset : offset + batch_size]

    def augmented(self, draws: EpochDraws, part: slice) -> Tensor:
        """Some of an epoch's images, cropped from a black border, mirrored, normalised, with a square set to 0.

        The square is Cutout's (DeVries & Taylor 2017): its centre may lie near the edge, which then clips it.

        Args:
            draws: the epoch's draws.
            part: which rows of them.

        Returns:
            float32 (rows, channels, height, width), channels last in memory.
        """
        device, padding = self.train_images.device, self.crop_padding
        pixels = torch.arange(self.image_size, device=device)
        batch = self.train_images[draws.order[part].to(device)]
        if padding:
            shift = draws.shift[part].to(device)
            bordered = torch.nn.functional.pad(batch, (0, 0, padding, padding, padding, padding))
            image = torch.arange(len(batch), device=device)[:, None, None]
            rows, columns = shift[:, 0, None] + pixels, shift[:, 1, None] + pixels
            batch = bordered[image, rows[:, :, None], columns[:, None, :]]
        if self.flip:
            batch = torch.where(draws.flip[part].to(device)[:, None, None, None], batch.flip(2), batch)
        batch = normalized(batch, self.mean, self.std)
        if self.cutout:
            corner = draws.centre[part].to(device) - self.cutout // 2
            inside = (pixels >= corner[:, :, None]) & (pixels < corner[:, :, None] + self.cutout)
            square = inside[:, 0, :, None] & inside[:, 1, None, :] & draws.cutout[part].to(device)[:, None, None]
            batch.masked_fill_(square[:, None], 0.0)
        return batch


def load_data(folder: Path, spec: dict, device: torch.device) -> Data:
    """Bring a prepared data set to a device, with the augmentation of a spec.

    Raises:
        UserError: the prepared folder is damaged.
    """
    arrays, meta = open_arrays(folder)
    return on_device(arrays, meta, spec, device)


def on_device(arrays: Arrays, meta: dict, spec: dict, device: torch.device) -> Data:
    """Bring arrays to a device; `meta` has the training images' mean and std by channel, and the arrays' sha256."""
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

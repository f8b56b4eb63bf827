"""Crop, flip and Cutout in batches on the device; each epoch's random choices are a function of seed and epoch."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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

    def rows(self, part: slice, device: torch.device) -> "EpochDraws":
        """Some of the rows, on a device."""
        return EpochDraws(*(tensor[part].to(device) for tensor in vars(self).values()))


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


def augmented(
    images: Tensor, draws: EpochDraws, mean: Tensor, std: Tensor, crop_padding: int, flip: bool, cutout: int
) -> Tensor:
    """Images cropped from a black border, mirrored, normalised, with a square set to 0.

    The square is Cutout's (DeVries & Taylor 2017): its centre may be near the edge, which then clips it.

    Args:
        images: uint8 (n, size, size, channels).
        draws: a row for each of them, on their device; the order is not read.
        mean, std: as for `normalized`.
        crop_padding: width of the border (pixels).
        flip: whether images are mirrored where the draws say so.
        cutout: side of the square (pixels), or 0.

    Returns:
        float32 (n, channels, size, size), channels last in memory.
    """
    pixels = torch.arange(images.shape[1], device=images.device)
    if crop_padding:
        bordered = torch.nn.functional.pad(images, (0, 0, crop_padding, crop_padding, crop_padding, crop_padding))
        image = torch.arange(len(images), device=images.device)[:, None, None]
        rows, columns = draws.shift[:, 0, None] + pixels, draws.shift[:, 1, None] + pixels
        images = bordered[image, rows[:, :, None], columns[:, None, :]]
    if flip:
        images = torch.where(draws.flip[:, None, None, None], images.flip(2), images)
    inputs = normalized(images, mean, std)
    if cutout:
        corner = draws.centre - cutout // 2
        inside = (pixels >= corner[:, :, None]) & (pixels < corner[:, :, None] + cutout)
        square = inside[:, 0, :, None] & inside[:, 1, None, :] & draws.cutout[:, None, None]
        inputs.masked_fill_(square[:, None], 0.0)
    return inputs

"""A data set as arrays of bytes: what they must be, their statistics, and smaller versions of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from sharpness.errors import UserError


@dataclass(frozen=True)
class Arrays:
    """A data set in memory or memory-mapped.

    Attributes:
        train_images, test_images: uint8 (images, size, size, channels).
        train_labels, test_labels: int64 (images,), from 0.
        classes: the classes' names, two at least; a label is an index into them.

    Raises:
        ValueError: the arrays are of another type or shape, or do not fit each other.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for split in ("train", "test"):
            images, labels = getattr(self, f"{split}_images"), getattr(self, f"{split}_labels")
            if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape or images.shape[1] != images.shape[2]:
                raise ValueError(f"{split}_images are not square images of bytes: {images.dtype} {images.shape}")
            if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
                raise ValueError(f"{split}_labels are not {len(images)} integers: {labels.dtype} {labels.shape}")
            if labels.min() < 0 or labels.max() >= len(self.classes):
                raise ValueError(f"{split}_labels are not all from 0 to {len(self.classes) - 1}")
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise ValueError("the training and the test images differ in size or channels")
        if len(self.classes) < 2:
            raise ValueError("fewer than two classes")

    @property
    def shape(self) -> "Shape":
        images, size, _, channels = self.train_images.shape
        return Shape(images, len(self.test_images), size, channels, len(self.classes))


@dataclass(frozen=True)
class Shape:
    """Numbers of images, their side (pixels) and channels, and the number of classes of a data set."""

    train_images: int
    test_images: int
    image_size: int
    channels: int
    classes: int

    def reduced(self, training_images: int | None = None, image_size: int | None = None) -> "Shape":
        """The shape with that many training images, and with images of that side; None leaves them as they are.

        Raises:
            UserError: there are not that many images, or they are smaller.
        """
        images = self.train_images if training_images is None else training_images
        size = self.image_size if image_size is None else image_size
        if not 1 <= images <= self.train_images:
            raise UserError(
                f"dataset.training_images: {images} of the {self.train_images} images of the training set; "
                f"choose 1 to {self.train_images}, or remove the key"
            )
        if not 1 <= size <= self.image_size:
            raise UserError(
                f"dataset.image_size: {size} pixels, but the images have {self.image_size}; "
                f"choose 1 to {self.image_size}, or remove the key"
            )
        return replace(self, train_images=images, image_size=size)


def reduced(arrays: Arrays, training_images: int | None = None, image_size: int | None = None) -> Arrays:
    """The arrays with that many training images (`stratified`), and all images averaged down to that side.

    Raises:
        UserError: there are not that many images, or they are smaller, or a class would lose all its images.
    """
    shape = arrays.shape.reduced(training_images, image_size)
    if shape.train_images < len(arrays.train_labels):
        chosen = stratified(arrays.train_labels, shape.train_images, arrays.classes)
        arrays = replace(arrays, train_images=arrays.train_images[chosen], train_labels=arrays.train_labels[chosen])
    if shape.image_size < arrays.train_images.shape[1]:
        arrays = replace(
            arrays,
            train_images=averaged(arrays.train_images, shape.image_size),
            test_images=averaged(arrays.test_images, shape.image_size),
        )
    return arrays


def stratified(labels: np.ndarray, images: int, classes: Sequence[str]) -> np.ndarray:
    """Which of the images to keep, so that each class keeps its share: indices, ascending.

    Shares are rounded by the largest remainder. Of each class every n-th image is kept, from its first to its last:
    nothing is drawn, so the choice is the same everywhere.

    Args:
        labels: int64 (all images,).
        images: how many to keep.
        classes: the classes' names.

    Raises:
        UserError: a class would lose all its images.
    """
    counts = np.bincount(labels, minlength=len(classes))
    kept, remainders = np.divmod(counts * images, len(labels))
    kept[np.argsort(-remainders, kind="stable")[: images - kept.sum()]] += 1
    if len(lost := np.flatnonzero((kept == 0) & (counts > 0))):
        raise UserError(
            f"dataset.training_images: {images} leaves class '{classes[lost[0]]}' without an image; choose more"
        )
    chosen = []
    for label, (count, share) in enumerate(zip(counts, kept, strict=True)):
        middles = (2 * np.arange(share) + 1) * count // (2 * share)
        chosen.append(np.flatnonzero(labels == label)[middles])
    return np.sort(np.concatenate(chosen))


def averaged(images: np.ndarray, size: int) -> np.ndarray:
    """Images reduced to `size` pixels a side, each the mean of the pixels whose centres are in its area (a box filter).

    Args:
        images: uint8 (images, height, width, channels), no smaller than that.

    Returns:
        uint8 (images, size, size, channels).
    """
    from PIL import Image

    result = np.empty((len(images), size, size, images.shape[3]), dtype=np.uint8)
    for image, smaller in zip(images, result, strict=True):
        for channel in range(images.shape[3]):
            picture = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            smaller[..., channel] = picture.resize((size, size), Image.Resampling.BOX)
    return result


def channel_statistics(arrays: Arrays) -> dict[str, list[float]]:
    """Mean and std of the training images by channel, in the bytes' unit; exact, so the same on every machine."""
    mean, std = [], []
    for channel in range(arrays.train_images.shape[3]):
        counts = np.bincount(arrays.train_images[..., channel].ravel(), minlength=256).tolist()
        pixels = sum(counts)
        total = sum(value * count for value, count in enumerate(counts))
        squares = sum(value**2 * count for value, count in enumerate(counts))
        mean.append(total / pixels)
        std.append(math.sqrt(Fraction(pixels * squares - total**2, pixels**2)))
    return {"mean": mean, "std": std}

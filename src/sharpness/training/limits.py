"""What a data set asks of the settings that train on it."""

from sharpness.settings import require


def check_batch(batch_size: int, images: int) -> None:
    """Refuse a batch larger than the training set, or an epoch that ends in a batch of one.

    Raises:
        SettingError: without its key, as below.
    """
    require(
        batch_size <= images,
        f"{batch_size} is more than the {images} images of the training set; choose a smaller batch",
    )
    require(
        images % batch_size != 1 and batch_size > 1,
        f"{batch_size} leaves a batch of one image out of {images}, too few for BatchNorm; choose another",
    )


def check_smoothing(smoothing: float, classes: int) -> None:
    """Refuse a label smoothing that leaves the label less than another class."""
    require(
        smoothing / (classes - 1) * classes <= 1,
        f"{smoothing} leaves the label less than the {classes - 1} others; choose a smaller one",
    )


def check_augmentation(crop_padding: int, cutout: int, image_size: int) -> None:
    """Refuse crops that can miss the image, and a square that is larger than it."""
    require(
        crop_padding < image_size,
        f"crop_padding is {crop_padding}; the images have {image_size} pixels a side, so choose 0 to {image_size - 1}",
    )
    require(
        cutout <= image_size,
        f"cutout is {cutout}; the images have {image_size} pixels a side, so choose 0 to {image_size}",
    )

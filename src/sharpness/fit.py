"""Whether a scale's settings fit its data set, as far as that is known before it is read."""

from collections.abc import Iterable

from sharpness.errors import UserError, settings_of
from sharpness.networks import check_sizes
from sharpness.settings import require
from sharpness.training.limits import check_augmentation, check_batch


def check_device(device: str, settings: dict, where: str) -> None:
    """Refuse a precision that the chosen device does not have.

    Raises:
        UserError: with the scale's file, `where`.
    """
    if device == "cpu" and settings["precision"] == "tf32":
        raise UserError(f"{where}: precision is tf32, which is CUDA's, but device is cpu; choose fp32 or bf16")


def check_fit(settings: dict, networks: Iterable[str], where: str) -> None:
    """Check a scale's subset, batches, augmentation and the sizes of some networks.

    Args:
        settings: the scale's settings.
        networks: names of networks.
        where: the scale's file, for the message.

    Raises:
        UserError: the first fault found.
    """
    from sharpness import datasets  # it imports NumPy, for which the command's help must not wait

    dataset = settings["dataset"]
    try:
        shape = datasets.known_shape(dataset)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    images = shape.train_images if shape else dataset.get("training_images")
    image_size = shape.image_size if shape else dataset.get("image_size")
    for name in networks:
        with settings_of(f"{where}: networks.{name}"):
            check_sizes(name, settings["networks"].get(name, {}), image_size)
    if image_size:
        with settings_of(f"{where}: dataset"):
            check_augmentation(dataset["crop_padding"], dataset["cutout"], image_size)
    if shape:
        few = f"{images} leaves a class without an image; choose {shape.classes} at least"
        with settings_of(f"{where}: dataset.training_images"):
            require(images >= shape.classes, few)
    if images:
        with settings_of(f"{where}: batch_size"):
            check_batch(settings["batch_size"], images)

"""The images that training is timed on."""

import os
from pathlib import Path

import numpy as np
import torch

from sharpness.arrays import Arrays, channel_statistics
from sharpness.config import load_config
from sharpness.datasets import open_arrays, prepare
from sharpness.study import load_study
from sharpness.training.data import Data, on_device


def digits() -> Arrays:
    """The laptop scale's data set."""
    return open_arrays(prepare(load_study("laptop").settings["dataset"], _data_dir()))[0]


def cifar_sized(train: int, test: int) -> Arrays:
    """Some 32×32 RGB images of ten classes: those of the folder that SHARPNESS_IMAGES names, or else noise.

    Args:
        train, test: numbers of images, drawn at random, always the same.
    """
    generator = np.random.default_rng(0)
    if folder := os.environ.get("SHARPNESS_IMAGES"):
        dataset = {"name": "image_folder", "title": "bench images", "folder": folder}
        arrays = open_arrays(prepare(dataset, _data_dir()))[0]
        first, second = (
            generator.choice(len(labels), count, replace=False)
            for labels, count in ((arrays.train_labels, train), (arrays.test_labels, test))
        )
        return Arrays(
            arrays.train_images[first],
            arrays.train_labels[first],
            arrays.test_images[second],
            arrays.test_labels[second],
            arrays.classes,
        )
    images = generator.integers(256, size=(train + test, 32, 32, 3), dtype=np.uint8)
    labels = generator.integers(10, size=train + test)
    return Arrays(images[:train], labels[:train], images[train:], labels[train:], tuple("0123456789"))


def images_on_device(arrays: Arrays, spec: dict, device: torch.device) -> Data:
    """Images as a run has them."""
    return on_device(arrays, {**channel_statistics(arrays), "sha256": ""}, spec, device)


def _data_dir() -> Path:
    return Path(load_config()["data_dir"])

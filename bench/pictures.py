"""The images that training is timed on."""

import os
from pathlib import Path

import numpy as np
import torch

from sharpness.study import load_config, load_study
from sharpness.training.data import Data, normalized
from sharpness.training.datasets import Arrays, open_arrays, prepare


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


def statistics(arrays: Arrays) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the training images by channel, in the bytes' unit."""
    pixels = arrays.train_images.reshape(-1, arrays.train_images.shape[-1])
    return pixels.mean(axis=0).tolist(), pixels.std(axis=0).tolist()


def on_device(arrays: Arrays, spec: dict, device: torch.device) -> Data:
    """A data set as a run has it."""
    mean, std = (torch.tensor(values, device=device) for values in statistics(arrays))
    return Data(
        train_images=torch.from_numpy(arrays.train_images).to(device),
        train_labels=torch.from_numpy(arrays.train_labels).to(device),
        test_inputs=normalized(torch.from_numpy(arrays.test_images).to(device), mean, std),
        test_labels=torch.from_numpy(arrays.test_labels).to(device),
        mean=mean,
        std=std,
        classes=len(arrays.classes),
        sha256="",
        crop_padding=spec["crop_padding"],
        flip=spec["flip"],
        cutout=spec["cutout"],
    )


def _data_dir() -> Path:
    return Path(load_config()["data_dir"])

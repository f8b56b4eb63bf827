"""CIFAR-10: 60,000 photographs in ten classes, 32×32 (Krizhevsky 2009)."""

import pickle
import tarfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import numpy as np

from sharpness import files
from sharpness.arrays import Arrays
from sharpness.datasets import fresh_folder
from sharpness.errors import UserError

TITLE = "CIFAR-10"
CITATION = "krizhevsky2009"
SHAPE = {"train_images": 50_000, "test_images": 10_000, "image_size": 32, "channels": 3, "classes": 10}
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


@dataclass(frozen=True)
class Source:
    """The archive of 170 MB, downloaded unless it is there."""

    def read(self, downloads: Path, show_progress: bool) -> Arrays:
        return read_archive(download(downloads))


def download(folder: Path) -> Path:
    """CIFAR-10's archive, downloaded where torchvision downloads it from, unless it is there.

    Raises:
        UserError: the download fails, or the archive is not the one expected.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_url

    archive = folder / CIFAR10.filename
    if not archive.exists():
        with fresh_folder(folder / ".incomplete") as incomplete:
            try:
                download_url(CIFAR10.url, incomplete, CIFAR10.filename, CIFAR10.tgz_md5)
            except (URLError, HTTPException, RuntimeError, TimeoutError, ConnectionError) as error:
                raise UserError(
                    f"CIFAR-10 could not be downloaded from {CIFAR10.url} ({error}); check the network and run again, "
                    f"or put {CIFAR10.filename} into {folder}"
                ) from None
            (incomplete / CIFAR10.filename).replace(archive)
    if files.sha256(archive) != ARCHIVE_SHA256:
        raise UserError(f"{archive}: not CIFAR-10's archive (cut short or altered); delete it and run again")
    return archive


def read_archive(archive: Path) -> Arrays:
    """The arrays of a verified archive (`download`), since a pickle can run code; nothing is unpacked to disk."""
    with tarfile.open(archive) as tar:

        def member(name: str) -> dict:
            return pickle.load(tar.extractfile(f"cifar-10-batches-py/{name}"), encoding="latin1")

        training = [member(f"data_batch_{index}") for index in range(1, 6)]
        test, meta = member("test_batch"), member("batches.meta")

    def images(batches: list[dict]) -> np.ndarray:
        return np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()

    def labels(batches: list[dict]) -> np.ndarray:
        return np.concatenate([batch["labels"] for batch in batches]).astype(np.int64)

    return Arrays(images(training), labels(training), images([test]), labels([test]), tuple(meta["label_names"]))

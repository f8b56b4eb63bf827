"""Data sets prepared once into arrays of bytes on disk: scikit-learn's digits, CIFAR-10, or a folder of images."""

import hashlib
import io
import json
import pickle
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import URLError

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from sharpness import files
from sharpness.errors import UserError

CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
DIGITS_TRAINING_IMAGES = 512
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Arrays:
    """A data set in memory or memory-mapped.

    Attributes:
        train_images, test_images: uint8 (images, height, width, channels).
        train_labels, test_labels: int64 (images,), from 0.
        classes: the classes' names; a label is an index into them.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: tuple[str, ...]


def prepared_folder(dataset: dict, data_dir: Path) -> Path:
    """Where a scale's data set (its `dataset` settings) is kept once prepared."""
    if dataset["name"] != "image_folder":
        return data_dir / dataset["name"]
    slug = re.sub(r"[^a-z0-9]+", "-", dataset["title"].lower()).strip("-")
    source = hashlib.sha256(str(Path(dataset["folder"]).resolve()).encode()).hexdigest()[:8]
    return data_dir / f"image_folder-{slug}-{source}"


def prepare(dataset: dict, data_dir: Path, show_progress: bool = False) -> Path:
    """Make the data set's arrays unless they are there as their source has them; concurrent callers wait for the first.

    Args:
        dataset: the `dataset` settings of a scale.
        data_dir: folder of all prepared data sets; made when missing.
        show_progress: show a progress bar.

    Returns:
        The prepared folder: train_images.npy and so on, and meta.json, which is written last.

    Raises:
        UserError: the source is missing, damaged or inconsistent, or cannot be downloaded.
    """
    folder = prepared_folder(dataset, data_dir)
    if _is_current(dataset, folder):
        return folder
    readers: dict[str, Callable[[], Arrays]] = {
        "digits": read_digits,
        "cifar10": lambda: read_cifar10(download_cifar10(data_dir / "downloads")),
        "image_folder": lambda: read_image_folder(Path(dataset["folder"]), show_progress),
    }
    data_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(data_dir / f"{folder.name}.lock"):
        if not _is_current(dataset, folder):
            source = _source(dataset)  # before it is read: a change meanwhile is then noticed the next time
            _write(readers[dataset["name"]](), dataset["title"], source, folder)
    return folder


def prepared_digest(dataset: dict, data_dir: Path) -> str | None:
    """The digest that a prepared data set has in its meta.json, without a look at the arrays; None if there is none."""
    return _read_meta(prepared_folder(dataset, data_dir)).get("sha256")


def open_arrays(folder: Path) -> tuple[Arrays, dict]:
    """The prepared arrays, memory-mapped (copy on write), and their meta.json, checked against their digest.

    Raises:
        UserError: the folder is damaged.
    """
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta["sha256"] != _digest(folder):
            raise ValueError("its content has changed")
        loaded = [np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in ARRAYS]
        return Arrays(*loaded, tuple(meta["classes"])), meta
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: prepared data damaged ({error}); delete this folder and run again") from None


def channel_statistics(arrays: Arrays) -> dict[str, list[float]]:
    """Mean and std of the training images by channel, in the bytes' unit."""
    pixels = arrays.train_images.reshape(-1, arrays.train_images.shape[-1])
    return {
        "mean": pixels.mean(axis=0, dtype=np.float64).tolist(),
        "std": pixels.std(axis=0, dtype=np.float64).tolist(),
    }


def read_digits() -> Arrays:
    """scikit-learn's 1,797 handwritten digits, 8×8, in a fixed stratified split: 512 train, the rest test."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images * 15).astype(np.uint8)[..., np.newaxis]  # 0..16 grey levels, spread over a byte
    train, test = train_test_split(
        np.arange(len(images)), train_size=DIGITS_TRAINING_IMAGES, stratify=digits.target, random_state=0
    )
    labels = digits.target.astype(np.int64)
    return Arrays(images[train], labels[train], images[test], labels[test], tuple(map(str, digits.target_names)))


def download_cifar10(folder: Path) -> Path:
    """CIFAR-10's archive of 170 MB, downloaded where torchvision downloads it from, unless it is there.

    Raises:
        UserError: the download fails, or the archive is not the one expected.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import download_url

    archive = folder / CIFAR10.filename
    if not archive.exists():
        with _fresh_folder(folder / ".incomplete") as incomplete:
            try:
                download_url(CIFAR10.url, incomplete, CIFAR10.filename, CIFAR10.tgz_md5)
            except (URLError, HTTPException, RuntimeError, TimeoutError, ConnectionError) as error:
                raise UserError(
                    f"CIFAR-10 could not be downloaded from {CIFAR10.url} ({error}); check the network and run again, "
                    f"or put {CIFAR10.filename} into {folder}"
                ) from None
            (incomplete / CIFAR10.filename).replace(archive)
    if files.sha256(archive) != CIFAR10_SHA256:
        raise UserError(f"{archive}: not CIFAR-10's archive (cut short or altered); delete it and run again")
    return archive


def read_cifar10(archive: Path) -> Arrays:
    """CIFAR-10 (Krizhevsky 2009) out of its verified archive, without unpacking it to disk."""
    with tarfile.open(archive) as tar:

        def member(name: str) -> dict:
            return _ArrayUnpickler(tar.extractfile(f"cifar-10-batches-py/{name}"), encoding="latin1").load()

        training = [member(f"data_batch_{index}") for index in range(1, 6)]
        test, meta = member("test_batch"), member("batches.meta")

    def images(batches: list[dict]) -> np.ndarray:
        return np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy()

    def labels(batches: list[dict]) -> np.ndarray:
        return np.concatenate([batch["labels"] for batch in batches]).astype(np.int64)

    return Arrays(images(training), labels(training), images([test]), labels([test]), tuple(meta["label_names"]))


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles NumPy arrays in plain containers and nothing that could run code."""

    allowed = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in self.allowed:
            raise UserError(f"CIFAR-10's archive holds a {module}.{name}, which is not data; delete it and run again")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_image_folder(folder: Path, show_progress: bool = False) -> Arrays:
    """Images in train/<class>/ and test/<class>/, all of one square size; grey if the first is, else RGB.

    Raises:
        UserError: the folder is missing, empty or unreadable, the classes of train and test differ, an image is
            corrupt, or the images are not all of one square size.
    """
    classes, sources = _image_sources(folder)
    decoder = _Decoder(sources["train"][0][0])
    decoded = {}
    for split, items in sources.items():
        shown = tqdm(items, desc=f"reading {split} images", unit=" images", disable=not show_progress)
        decoded[split] = np.stack([decoder.read(path) for path, _ in shown])
    labels = {split: np.array([label for _, label in items], dtype=np.int64) for split, items in sources.items()}
    return Arrays(decoded["train"], labels["train"], decoded["test"], labels["test"], tuple(classes))


def _image_sources(folder: Path) -> tuple[list[str], dict[str, list[tuple[Path, int]]]]:
    """The classes of an image folder, and for train and test the path and the label of each image."""
    classes = _class_folders(folder / "train")
    others = set(classes) ^ set(_class_folders(folder / "test"))
    if others:
        raise UserError(
            f"{folder}: class '{min(others)}' is in only one of train/ and test/; give both the same classes"
        )
    sources = {
        split: [(path, label) for label, name in enumerate(classes) for path in _image_files(folder / split / name)]
        for split in ("train", "test")
    }
    return classes, sources


class _Decoder:
    """Decodes images, all to the mode of the first and of its size."""

    def __init__(self, first: Path):
        self.first, self.mode, self.size = first, None, None
        self.read(first)

    def read(self, path: Path) -> np.ndarray:
        """uint8 (height, width, channels)."""
        from PIL import Image

        try:
            with Image.open(path) as image:
                if image.mode.startswith(("I", "F")):
                    raise UserError(f"{path}: more than 8 bits a pixel; save all images with 8 bits a channel")
                self.mode = self.mode or ("L" if image.mode in ("L", "1") else "RGB")
                pixels = np.asarray(image.convert(self.mode))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from None
        height, width = pixels.shape[:2]
        if height != width:
            raise UserError(f"{path}: {width}×{height} pixels; bring all images to one square size")
        self.size = self.size or width
        if width != self.size:
            raise UserError(
                f"{path}: {width}×{height} pixels, but {self.first} has {self.size}×{self.size}; "
                "bring all images to one square size"
            )
        return pixels.reshape(*pixels.shape[:2], -1)


def _class_folders(folder: Path) -> list[str]:
    try:
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be read ({error.strerror}); an image folder has train/<class>/ and test/<class>/"
        ) from None
    if len(names) < 2:
        raise UserError(
            f"{folder}: {len(names)} classes; put each class's images into a folder of its own, two at least"
        )
    return names


def _image_files(folder: Path) -> list[Path]:
    try:
        found = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
        )
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from None
    if not found:
        raise UserError(f"{folder}: no images; put some there, or remove the class from train/ and test/")
    return found


def _write(arrays: Arrays, title: str, source: str | None, folder: Path) -> None:
    """Write the arrays and their description beside the final folder, then rename it into place."""
    with _fresh_folder(folder.with_name(f".{folder.name}")) as temporary:
        for name in ARRAYS:
            content = io.BytesIO()  # straight to a file, NumPy reports a full disk without saying so
            np.save(content, getattr(arrays, name))
            with files.replacing(temporary / f"{name}.npy") as path:
                path.write_bytes(content.getbuffer())
        meta = {
            "title": title,
            "source": source,
            "classes": list(arrays.classes),
            **channel_statistics(arrays),
            "sha256": _digest(temporary),
        }
        files.write_json(temporary / "meta.json", meta)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)


def _is_current(dataset: dict, folder: Path) -> bool:
    """Whether a prepared folder is there and, if its source is a folder of images at hand, holds what that has now."""
    if not (folder / "meta.json").exists():
        return False
    source = _source(dataset)
    if source is None:
        return True
    meta = _read_meta(folder)
    return not meta or meta.get("source") == source  # a damaged one stays: who opens it will say so


def _read_meta(folder: Path) -> dict:
    """A prepared folder's meta.json, or nothing if it is missing or damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _source(dataset: dict) -> str | None:
    """A digest of an image folder's files by name, size and time of change; None if the data set has none at hand."""
    if dataset["name"] != "image_folder" or not Path(dataset["folder"]).exists():
        return None
    folder = Path(dataset["folder"])
    _, sources = _image_sources(folder)
    stats = [(path.relative_to(folder), path.stat()) for items in sources.values() for path, _ in items]
    lines = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _digest(folder: Path) -> str:
    """One SHA-256 for the four arrays of a prepared folder."""
    digests = [files.sha256(folder / f"{name}.npy") for name in ARRAYS]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@contextmanager
def _fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty folder, whatever a killed predecessor has left there; removed in the end unless it was renamed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

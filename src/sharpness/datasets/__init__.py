"""Data sets, prepared once into arrays of bytes on disk.

A module of this package is a data set of its name. It has a TITLE, a CITATION (a key of the bibliography, or None) and
a frozen dataclass Source, whose fields are the settings that the data set has of its own, and whose methods are

    read(downloads: Path, show_progress: bool) -> Arrays
    fingerprint() -> str | None     only if what is read can change: differs when it has, None if it is missing

A module may say the SHAPE of its data: what does not fit them is then refused before they are read.
"""

import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from sharpness import files, records, registry
from sharpness.arrays import Arrays, Shape, channel_statistics, reduced
from sharpness.errors import UserError
from sharpness.settings import build

# Raise this when the same source is prepared to other arrays, or they are kept in another way.
PREPARATION = 2

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
COMMON_SETTINGS = ("name", "title", "crop_padding", "flip", "cutout", "training_images", "image_size")


def source_of(dataset: dict, where: str = "the scale") -> Any:
    """The Source of a data set, with its own settings.

    Args:
        dataset: the `dataset` settings of a scale.
        where: the file that they are from, for the message.

    Raises:
        UserError: there is no such data set, or it has no such setting, or not at that value, or lacks one.
    """
    module = registry.load("datasets", dataset["name"], f"{where}: dataset.name")
    return build(module.Source, dataset, where, "dataset", beside=COMMON_SETTINGS)


def prepared_folder(dataset: dict, data_dir: Path) -> Path:
    """Where a scale's data set (its `dataset` settings) is kept once prepared.

    A data set with settings of its own is kept by its title and a hash of str(source).
    """
    source, name = source_of(dataset), dataset["name"]
    if fields(source):
        slug = re.sub(r"[^a-z0-9]+", "-", dataset["title"].lower()).strip("-")
        name += f"-{slug}-{hashlib.sha256(str(source).encode()).hexdigest()[:8]}"
    if "training_images" in dataset:
        name += f"-{dataset['training_images']}-images"
    if "image_size" in dataset:
        name += f"-{dataset['image_size']}-px"
    return data_dir / name


def prepare(dataset: dict, data_dir: Path, show_progress: bool = False) -> Path:
    """Make the data set's arrays unless they are there as their source has them; concurrent callers wait for the first.

    Args:
        dataset: the `dataset` settings of a scale. `training_images` is how many of the training images are
            kept, the same for every run; `image_size` the pixels a side to which all images are averaged down.
        data_dir: folder of all prepared data sets; made when missing.
        show_progress: show a progress bar.

    Returns:
        The prepared folder: train_images.npy and so on, and meta.json, which is written last.

    Raises:
        UserError: the source is missing, damaged or inconsistent, or cannot be downloaded, or has fewer or smaller
            images than asked for.
    """
    source, folder = source_of(dataset), prepared_folder(dataset, data_dir)
    if _is_current(source, folder):
        return folder
    data_dir.mkdir(parents=True, exist_ok=True)
    with FileLock(data_dir / f"{dataset['name']}.lock"):  # every size of a data set uses the same downloads
        if not _is_current(source, folder):
            fingerprint = _fingerprint(source)  # before it is read: a change meanwhile is then noticed the next time
            arrays = source.read(data_dir / "downloads", show_progress)
            arrays = reduced(arrays, dataset.get("training_images"), dataset.get("image_size"))
            _write(arrays, dataset["title"], fingerprint, folder)
    return folder


def prepared_digest(dataset: dict, data_dir: Path) -> str | None:
    """The digest that a prepared data set has in its meta.json, without a look at the arrays; None if there is none."""
    digest = _read_meta(prepared_folder(dataset, data_dir)).get("sha256")
    return digest if isinstance(digest, str) else None


def open_arrays(folder: Path) -> tuple[Arrays, dict]:
    """The prepared arrays, memory-mapped (copy on write), and their meta.json, checked against their digest.

    Raises:
        UserError: the folder is damaged.
    """
    try:
        meta = records.parse((folder / "meta.json").read_bytes(), records.PREPARED, sealed=False)
        if meta["sha256"] != _digest(folder, meta):
            raise ValueError("its content has changed")
        loaded = [np.load(folder / f"{name}.npy", mmap_mode="c", allow_pickle=False) for name in ARRAYS]
        arrays = Arrays(*loaded, tuple(meta["classes"]))
        if not len(meta["mean"]) == len(meta["std"]) == arrays.shape.channels:
            raise ValueError("mean and std are not those of its channels")
        return arrays, meta
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}: prepared data damaged ({error}); delete this folder and run again") from None


def prepared_shape(dataset: dict, data_dir: Path) -> Shape:
    """The shape that a data set has once prepared; it is prepared for that, unless its module says its SHAPE.

    Raises:
        UserError: as for `prepare`.
    """
    source_of(dataset)
    return known_shape(dataset) or open_arrays(prepare(dataset, data_dir))[0].shape


def known_shape(dataset: dict) -> Shape | None:
    """The shape that a data set has once prepared, if its module says its SHAPE.

    Raises:
        UserError: it has fewer or smaller images than asked for.
    """
    known = registry.constants("datasets", dataset["name"]).get("SHAPE")
    return Shape(**known).reduced(dataset.get("training_images"), dataset.get("image_size")) if known else None


def _write(arrays: Arrays, title: str, fingerprint: str | None, folder: Path) -> None:
    """Write the arrays and their description beside the final folder, then rename it into place."""
    with fresh_folder(folder.with_name(f".{folder.name}")) as temporary:
        for name in ARRAYS:
            content = io.BytesIO()  # straight to a file, NumPy reports a full disk without saying so
            np.save(content, getattr(arrays, name))
            with files.replacing(temporary / f"{name}.npy") as path:
                path.write_bytes(content.getbuffer())
        meta = {
            "title": title,
            "preparation": PREPARATION,
            "fingerprint": fingerprint,
            "classes": list(arrays.classes),
            **channel_statistics(arrays),
        }
        records.write(temporary / "meta.json", {**meta, "sha256": _digest(temporary, meta)})
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)


def _is_current(source: Any, folder: Path) -> bool:
    """Whether a prepared folder is there, made by this version, and of what its source has now, if that is there.

    A damaged one counts as current, since open_arrays says what to do about it.
    """
    if not (folder / "meta.json").exists():
        return False
    fingerprint, meta = _fingerprint(source), _read_meta(folder)
    if meta and meta.get("preparation") != PREPARATION:
        return False
    return not meta or fingerprint is None or meta.get("fingerprint") == fingerprint


def _fingerprint(source: Any) -> str | None:
    return source.fingerprint() if hasattr(source, "fingerprint") else None


def _read_meta(folder: Path) -> dict:
    """A prepared folder's meta.json, or nothing if it is missing or damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _digest(folder: Path, meta: dict) -> str:
    """One SHA-256 for all that a run reads of a prepared folder: the arrays, the classes, mean and std."""
    digests = [files.sha256(folder / f"{name}.npy") for name in ARRAYS]
    described = json.dumps([meta["classes"], meta["mean"], meta["std"]])
    return hashlib.sha256("".join([*digests, described]).encode()).hexdigest()


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty folder, whatever a killed predecessor has left there; removed in the end unless it was renamed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

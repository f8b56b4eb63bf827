"""A folder of images: train/<class>/ and test/<class>/, all of one square size."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sharpness import paths
from sharpness.arrays import Arrays
from sharpness.errors import UserError, setting

TITLE = "folder of images"
CITATION = None
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
# Pillow knows many more, some of which run other programs, and goes by a file's content, not by its name.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")


@dataclass(frozen=True)
class Source:
    """Images in train/<class>/ and test/<class>/; grey if all of them are, else RGB.

    Attributes:
        folder: where they are; relative to the working directory, or absolute, or from ~, the home folder.

    Raises:
        SettingError: the folder has a name that a shell or a file system takes for something else.
    """

    folder: str

    def __post_init__(self) -> None:
        with setting("folder"):
            self.path()

    def __str__(self) -> str:
        """The absolute path, which tells it from other folders."""
        return str(self.path().resolve())

    def path(self) -> Path:
        return paths.folder(self.folder)

    def read(self, downloads: Path, show_progress: bool) -> Arrays:
        """The images in the order of their names.

        Raises:
            UserError: the folder is missing, empty or unreadable, the classes of train and test differ, an image is
                corrupt, or the images are not all of one square size.
        """
        classes, listed = _listed(self.path())
        decoder = _Decoder(listed["train"][0][0])
        images, labels = {}, {}
        for split, items in listed.items():
            shown = tqdm(items, desc=f"reading {split} images", unit=" images", disable=not show_progress)
            images[split] = [decoder.read(path) for path, _ in shown]
            labels[split] = np.array([label for _, label in items], dtype=np.int64)
        channels = max(pixels.shape[-1] for pixels in (*images["train"], *images["test"]))
        train, test = (_stack(images[split], channels) for split in ("train", "test"))
        return Arrays(train, labels["train"], test, labels["test"], tuple(classes))

    def fingerprint(self) -> str | None:
        """A digest of the files by name, size and time of change; None if the folder is not there.

        Raises:
            UserError: as for `read`, but for what is in the files.
        """
        folder = self.path()
        if not folder.exists():
            return None
        _, listed = _listed(folder)
        stats = [(path.relative_to(folder), path.stat()) for items in listed.values() for path, _ in items]
        lines = [f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Decoder:
    """Decodes images, all of the size of the first."""

    def __init__(self, first: Path):
        self.first, self.size = first, None

    def read(self, path: Path) -> np.ndarray:
        """uint8 (height, width, channels): one channel if the image is grey, else three."""
        from PIL import Image

        try:
            with Image.open(path, formats=FORMATS) as image:
                if image.mode.startswith(("I", "F")):
                    raise UserError(f"{path}: more than 8 bits a pixel; save all images with 8 bits a channel")
                pixels = np.asarray(image.convert("L" if image.mode in ("L", "1") else "RGB"))
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


def _stack(images: list[np.ndarray], channels: int) -> np.ndarray:
    """One array of all images, the grey ones with their channel repeated if there are more."""
    return np.stack([np.broadcast_to(pixels, (*pixels.shape[:2], channels)) for pixels in images])


def _listed(folder: Path) -> tuple[list[str], dict[str, list[tuple[Path, int]]]]:
    """The classes of an image folder, and for train and test the path and the label of each image."""
    classes = _class_folders(folder / "train")
    others = set(classes) ^ set(_class_folders(folder / "test"))
    if others:
        raise UserError(
            f"{folder}: class '{min(others)}' is in only one of train/ and test/; give both the same classes"
        )
    listed = {
        split: [(path, label) for label, name in enumerate(classes) for path in _image_files(folder / split / name)]
        for split in ("train", "test")
    }
    return classes, listed


def _class_folders(folder: Path) -> list[str]:
    try:
        names = sorted(path.name for path in _entries(folder) if path.is_dir())
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
    """The images of a class; what a folder within it holds would be left out, and reading a pipe would never end."""
    try:
        entries = _entries(folder)
        found = sorted(path for path in entries if path.suffix.lower() in SUFFIXES)
        for path in entries:
            if path.is_dir():
                raise UserError(f"{path}: a folder within a class; move its images to where the class has its own")
        for path in found:
            if not path.is_file():
                raise UserError(f"{path}: no file that can be read; replace or remove it")
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from None
    if not found:
        raise UserError(f"{folder}: no images; put some there, or remove the class from train/ and test/")
    return found


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, but for hidden files.

    Raises:
        OSError: it cannot be read.
        UserError: a name cannot be written down, as it is no text.
    """
    entries = [path for path in folder.iterdir() if not path.name.startswith(".")]
    for path in entries:
        if not path.name.isprintable():
            raise UserError(f"{folder}: the name {path.name!r} has a character that does not print; rename it")
    return entries

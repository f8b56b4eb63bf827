"""scikit-learn's handwritten digits, which need no download."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sharpness.arrays import Arrays

TITLE = "digits (8×8)"
CITATION = "pedregosa2011"
SHAPE = {"train_images": 512, "test_images": 1285, "image_size": 8, "channels": 1, "classes": 10}


@dataclass(frozen=True)
class Source:
    """1,797 digits, 8×8, in a fixed stratified split: 512 train, the rest test."""

    def read(self, downloads: Path, show_progress: bool) -> Arrays:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        digits = load_digits()
        images = (digits.images * 15).astype(np.uint8)[..., np.newaxis]  # 0..16 grey levels, spread over a byte
        train, test = train_test_split(
            np.arange(len(images)), train_size=SHAPE["train_images"], stratify=digits.target, random_state=0
        )
        labels = digits.target.astype(np.int64)
        return Arrays(images[train], labels[train], images[test], labels[test], tuple(map(str, digits.target_names)))

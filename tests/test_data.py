"""Augmentation on the device: what each image becomes, and the distributions of crop, flip and Cutout."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sharpness.datasets import prepare
from sharpness.training import data as data_module
from sharpness.training.augmentation import EpochDraws, draw_epoch, normalized
from sharpness.training.data import Data, load_data

CPU = torch.device("cpu")


def make_data(images: int, size: int, channels: int = 1, padding: int = 0, flip: bool = False, cutout: int = 0) -> Data:
    """Random images, no pixel of them 0 after normalisation."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(1, 256, (images, size, size, channels), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (images,), generator=generator)
    mean, std = torch.full((channels,), 0.5), torch.full((channels,), 64.0)
    tests = normalized(pixels[:2], mean, std)
    return Data(pixels, labels, tests, labels[:2], mean, std, 10, "digest", padding, flip, cutout)


def augment_one(data: Data, draws: EpochDraws, index: int) -> np.ndarray:
    """The image shown at a place of the epoch, by loops over its pixels: (channels, height, width)."""
    image = data.train_images[draws.order[index]].numpy()
    size, padding, half = data.image_size, data.crop_padding, data.cutout // 2
    (top, left), centre = draws.shift[index].tolist(), draws.centre[index].tolist()
    result = np.zeros((data.channels, size, size), dtype=np.float32)
    for row in range(size):
        for column in range(size):
            seen = size - 1 - column if data.flip and draws.flip[index] else column
            source = (row + top - padding, seen + left - padding)
            inside = all(0 <= place < size for place in source)
            pixel = image[source] if inside else np.zeros(data.channels)
            cut = data.cutout and draws.cutout[index]
            cut = (
                cut
                and -half <= row - centre[0] < data.cutout - half
                and -half <= column - centre[1] < data.cutout - half
            )
            result[:, row, column] = 0 if cut else (pixel - data.mean.numpy()) / data.std.numpy()
    return result


@given(
    size=st.integers(2, 7),
    channels=st.sampled_from([1, 3]),
    padding=st.integers(0, 4),
    flip=st.booleans(),
    cutout=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_each_image_is_what_loops_over_its_pixels_give(size, channels, padding, flip, cutout, seed):
    data = make_data(6, size, channels, padding, flip, cutout)
    draws = draw_epoch(seed, 1, 6, size, padding)
    shown = data.shown(draws, slice(0, 6))[0].numpy()
    expected = np.stack([augment_one(data, draws, index) for index in range(6)])
    np.testing.assert_allclose(shown, expected, rtol=1e-6, atol=1e-6)


def is_uniform(counts: np.ndarray) -> bool:
    return stats.chisquare(counts.ravel()).pvalue > 1e-4


def test_crop_flip_and_cutout_are_drawn_evenly():
    images, size, padding = 200_000, 32, 4
    draws = draw_epoch(42, 1, images, size, padding)
    corners = np.zeros((2 * padding + 1, 2 * padding + 1))
    np.add.at(corners, tuple(draws.shift.T.numpy()), 1)
    assert is_uniform(corners), "each corner of the padded image is as likely as any other"
    centres = np.zeros((size, size))
    np.add.at(centres, tuple(draws.centre.T.numpy()), 1)
    assert is_uniform(centres), "Cutout's centre may be any pixel, those at the border too"
    together = np.zeros((2, 2))
    np.add.at(together, (draws.flip.int().numpy(), draws.cutout.int().numpy()), 1)
    assert is_uniform(together), "half are mirrored, half lose a square, independently"
    assert not is_uniform(np.array([[51_000, 49_000], [50_000, 50_000]])), "the check notices one per cent"


def test_cutout_clears_a_square_of_16_that_the_border_clips():
    images, size, cutout = 20_000, 32, 16
    data = make_data(4, size, cutout=cutout)
    draws = draw_epoch(7, 1, images, size, 0)
    draws = EpochDraws(draws.order % 4, draws.shift, draws.flip, draws.cutout, draws.centre)
    cleared = (data.shown(draws, slice(0, images))[0] == 0).sum((1, 2, 3))
    # The exact distribution: along each axis a centre c leaves the pixels from c − 8 to c + 7 that are inside.
    side = Counter(min(centre + 8, size) - max(centre - 8, 0) for centre in range(size))
    expected = Counter({0: 0.5})
    for height, first in side.items():
        for width, second in side.items():
            expected[height * width] += 0.5 * first * second / size**2
    assert max(expected) == 256
    observed = Counter(cleared.tolist())
    assert set(observed) <= set(expected)
    areas = [area for area in expected if expected[area] * images > 5]
    scale = sum(observed[area] for area in areas) / sum(expected[area] for area in areas)
    assert stats.chisquare([observed[area] for area in areas], [expected[area] * scale for area in areas]).pvalue > 1e-4


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_batches_cover_the_epoch_once_whatever_is_augmented_at_once(monkeypatch, at_once):
    monkeypatch.setattr(data_module, "IMAGES_AT_ONCE", at_once)
    data = make_data(23, 5, padding=1, flip=True, cutout=2)
    draws = draw_epoch(3, 2, 23, 5, 1)
    batches = list(data.batches(draws, 5))
    assert [len(labels) for _, _, labels in batches] == [5, 5, 5, 5, 3], "the last partial batch is kept"
    assert torch.equal(torch.cat([inputs for _, inputs, _ in batches]), data.shown(draws, slice(0, 23))[0])
    assert torch.equal(torch.cat([labels for _, _, labels in batches]), data.train_labels[draws.order])
    later = list(data.batches(draws, 5, first=10))
    assert [rows for rows, _, _ in later] == [rows for rows, _, _ in batches[2:]]
    for (_, inputs, labels), (_, expected, expected_labels) in zip(later, batches[2:], strict=True):
        assert torch.equal(inputs, expected)
        assert torch.equal(labels, expected_labels)
    assert not list(data.batches(draws, 5, first=23))


def test_an_epoch_is_a_function_of_seed_and_epoch():
    def fields(seed: int, epoch: int) -> list[torch.Tensor]:
        return list(vars(draw_epoch(seed, epoch, 100, 8, 1)).values())

    torch.manual_seed(0)
    first = fields(42, 3)
    torch.manual_seed(1)
    assert all(map(torch.equal, first, fields(42, 3)))
    assert sorted(first[0].tolist()) == list(range(100)), "each image is shown once"
    for other in (fields(42, 4), fields(43, 3)):
        assert not any(map(torch.equal, first, other))


def test_images_are_normalised_by_the_training_set(tmp_path):
    spec = {"crop_padding": 0, "flip": False, "cutout": 0}
    data = load_data(prepare({"name": "digits", "title": "digits"}, tmp_path), spec, CPU)
    train = normalized(data.train_images, data.mean, data.std)
    assert abs(train.mean()) < 1e-5
    assert abs(train.std(correction=0) - 1) < 1e-5
    assert data.test_inputs.shape == (1285, 1, 8, 8)
    assert data.classes == 10

"""Data sets as arrays: exact statistics, subsets that keep each class's share, images averaged down."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpness.arrays import Arrays, averaged, channel_statistics, reduced, stratified
from sharpness.errors import UserError


def random_arrays(images: int, size: int, channels: int, classes: int) -> Arrays:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, size, size, channels), dtype=np.uint8)
    labels = np.arange(images) % classes
    return Arrays(pixels, labels, pixels, labels, tuple(map(str, range(classes))))


def test_mean_and_std_are_those_of_each_channel():
    arrays = random_arrays(50, 7, 3, classes=2)
    statistics = channel_statistics(arrays)
    exact = arrays.train_images.astype(np.float64)
    np.testing.assert_allclose(statistics["mean"], exact.mean((0, 1, 2)), rtol=1e-14)
    np.testing.assert_allclose(statistics["std"], exact.std((0, 1, 2)), rtol=1e-13)


def rounded(counts: list[int], images: int) -> list[int]:
    """Each class's share of so many images by the largest remainder, in fractions; the first class wins a draw."""
    exact = [Fraction(count * images, sum(counts)) for count in counts]
    shares = [int(share) for share in exact]
    for label in sorted(range(len(counts)), key=lambda label: shares[label] - exact[label])[: images - sum(shares)]:
        shares[label] += 1
    return shares


@given(
    counts=st.lists(st.integers(1, 60), min_size=2, max_size=12),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_shares_are_rounded_by_the_largest_remainder(counts, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    images = max(1, round(share * len(labels)))
    names = tuple(map(str, range(len(counts))))
    expected = rounded(counts, images)
    if 0 in expected:
        lost = expected.index(0)
        with pytest.raises(UserError, match=rf"training_images: {images} leaves class '{lost}' without an image; choo"):
            stratified(labels, images, names)
    else:
        chosen = stratified(labels, images, names)
        assert (np.diff(chosen) > 0).all(), "each is taken once, in order"
        assert np.bincount(labels[chosen], minlength=len(counts)).tolist() == expected


def test_a_subset_is_spread_over_each_class():
    labels = np.repeat([0, 1], [100, 50])
    assert stratified(labels, 15, "ab").tolist() == [*range(5, 100, 10), *range(105, 150, 10)]


def test_a_class_without_training_images_is_not_in_the_way():
    assert stratified(np.array([0, 2, 0, 2]), 2, "abc").tolist() == [2, 3]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_pixel_is_the_mean_of_those_in_its_area(size, channels):
    images = random_arrays(9, 8, channels, classes=2).train_images
    centres = (np.arange(8) + 0.5) * size / 8
    cover = (np.arange(size)[:, None] == np.floor(centres)).astype(float)
    cover /= cover.sum(axis=1, keepdims=True)
    exact = np.einsum("ir,nrcx,jc->nijx", cover, images.astype(float), cover)
    result = averaged(images, size)
    assert result.shape == (9, size, size, channels)
    assert np.abs(result - exact).max() <= 1.01, "rows and columns are each rounded to bytes"


def test_what_is_not_reduced_stays_the_same():
    arrays = random_arrays(20, 6, 3, classes=4)
    for same in (reduced(arrays), reduced(arrays, training_images=20), reduced(arrays, image_size=6)):
        assert same.train_images is arrays.train_images
        assert same.test_images is arrays.test_images

"""A history's text, and the quantities of the test set against their definitions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sharpness.training.history import history_text
from sharpness.training.loop import calibration_error


def test_numbers_are_written_with_nine_digits_and_what_is_not_finite_by_name():
    row = {"epoch": 1, "learning_rate": 0.1, "train_loss": 1 / 3, "test_loss": math.inf, "test_ece": math.nan}
    text = history_text([row, row | {"epoch": 200, "test_loss": -math.inf, "train_loss": 1.23456789012e-7}])
    assert text == (
        "epoch,learning_rate,train_loss,test_loss,test_ece\n"
        "1,0.1,0.333333333,inf,nan\n"
        "200,0.1,1.23456789e-07,-inf,nan\n"
    )


def test_an_epoch_from_before_a_column_has_nan_there():
    rows = [{"epoch": 1, "test_loss": 0.5}, {"epoch": 2, "test_loss": 0.25, "test_nll": 0.75}]
    assert history_text(rows).splitlines() == ["epoch,test_loss,test_nll", "1,0.5,nan", "2,0.25,0.75"]


@given(
    images=st.integers(1, 300),
    classes=st.integers(2, 12),
    scale=st.floats(0, 20),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_the_calibration_error_is_that_of_a_loop_over_its_bins(images, classes, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=generator) * scale
    labels = torch.randint(0, classes, (images,), generator=generator)
    probabilities = functional.softmax(logits.double(), dim=1).numpy()
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels.numpy()
    expected = 0.0
    for index in range(15):
        inside = (confidence > index / 15) & (confidence <= (index + 1) / 15)
        if inside.any():
            expected += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    assert calibration_error(logits, labels) == pytest.approx(expected, abs=1e-12)


def test_a_calibrated_predictor_has_no_error_and_a_sure_one_that_of_its_accuracy():
    calibrated = torch.log(torch.tensor([[0.75, 0.25]])).repeat(400, 1)
    labels = (torch.arange(400) % 4 == 0).long()
    assert calibration_error(calibrated, labels) == pytest.approx(0, abs=1e-7)
    sure = torch.tensor([[100.0, 0.0]]).repeat(400, 1)
    assert calibration_error(sure, labels) == pytest.approx(0.25)
    assert math.isnan(calibration_error(torch.full((3, 2), np.nan), labels[:3]))

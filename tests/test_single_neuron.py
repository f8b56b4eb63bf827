"""The single neuron L(x, y) = ℓ(xy): its gradient, the descents, and where SAM and USAM end."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpness import files
from sharpness.compute import compute as compute_job
from sharpness.errors import SettingError
from sharpness.jobs import Job
from sharpness.problems.single_neuron import METHODS, SEMANTICS, Settings, compute, descend, gradient, summary
from sharpness.settings import plain

RATE, RHO = 0.1, 0.1
SETTING = Settings(learning_rate=RATE, rho=RHO, steps=200, starts=8, x0=(0.5, 2.0), gamma=(0.5, 2.0))
# The root of η y² (1 + ρ y²) = 2, below which USAM is stable in the valley.
EDGE = (math.sqrt(1 + 8 * RHO / RATE) - 1) / (2 * RHO)

coordinates = st.floats(-5, 5)


def loss(point: torch.Tensor) -> torch.Tensor:
    return (1 + point.prod() ** 2).sqrt() - 1


def autograd(point: torch.Tensor) -> torch.Tensor:
    point = point.detach().requires_grad_()
    return torch.autograd.grad(loss(point), point)[0]


@settings(deadline=None)
@given(coordinates, coordinates)
def test_the_gradient_is_that_of_the_loss(x, y):
    expected = autograd(torch.tensor([x, y], dtype=torch.float64))

    assert np.array(gradient(np.float64(x), np.float64(y))) == pytest.approx(expected.numpy(), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("method", METHODS)
def test_three_steps_are_the_method_s_definition(method):
    point = torch.tensor([0.7, -1.9], dtype=torch.float64)
    for _ in range(3):
        ascent = autograd(point)
        ascent = RHO * ascent / ascent.norm() if method == "sam" else RHO * ascent
        point = point - RATE * autograd(point + ascent)

    ends = descend(method, np.array([0.7]), np.array([-1.9]), RATE, RHO, steps=3)

    assert np.concatenate(ends) == pytest.approx(point.numpy(), rel=1e-9)


def test_usam_from_above_its_edge_stops_just_below_it():
    x, y = descend("usam", np.array([0.5, 1.0, 2.0]), np.sqrt([15.0, 18.0, 24.0]), RATE, RHO, steps=5000)

    assert np.all(np.abs(x) < 1e-9)
    assert np.all(y**2 < EDGE)
    assert np.all(y**2 > 0.95 * EDGE)


def test_usam_from_below_its_edge_stays_on_the_level_that_gradient_flow_conserves():
    x0, y0 = np.array([0.5, 0.5, 1.0]), np.array([1.5, 2.0, 2.5])

    _, y = descend("usam", x0, y0, RATE, RHO, steps=5000)

    assert y**2 == pytest.approx(y0**2 - x0**2, rel=0.2)


def test_sam_drifts_along_the_valley_at_the_rate_of_its_radius():
    x, y = descend("sam", np.array([0.01]), np.array([0.5]), RATE, RHO, steps=100)
    _, later = descend("sam", x, y, RATE, RHO, steps=1000)

    assert math.log(y.item() / later.item()) / 1000 == pytest.approx(RATE * RHO**2, rel=0.05)


def test_sam_ends_at_the_flattest_minima():
    x, y = descend("sam", np.array([0.5, 1.0, 2.0]), np.sqrt([4.0, 10.0, 24.0]), RATE, RHO, steps=10_000)

    assert np.all(y**2 < 1e-4)
    assert np.all(np.abs(x) < 1e-4)


def test_every_start_is_drawn_from_its_ranges_and_shared_by_the_methods():
    ends = compute(SETTING)

    assert list(ends.columns) == ["method", "start", "x0", "y0", "x", "y"]
    assert list(ends["method"]) == ["sam"] * 8 + ["usam"] * 8
    assert list(ends["start"]) == [*range(8), *range(8)]
    assert ends["x0"].between(0.5, 2.0).all()
    assert (RATE * (ends["y0"] ** 2 - ends["x0"] ** 2)).between(0.5 - 1e-12, 2.0 + 1e-12).all()
    sam, usam = ends[:8].reset_index(), ends[8:].reset_index()
    assert sam[["x0", "y0"]].equals(usam[["x0", "y0"]])
    assert sam["x0"].nunique() == 8
    assert not sam["y"].equals(usam["y"])


def test_the_seed_decides_everything():
    assert compute(SETTING).equals(compute(SETTING))
    assert not compute(SETTING)["x0"].equals(compute(Settings(**{**vars(SETTING), "seed": 1}))["x0"])


def test_a_start_ends_where_it_does_alone():
    ends = compute(SETTING)
    alone = ends[ends["method"] == "sam"].iloc[3]

    x, y = descend("sam", np.array([alone["x0"]]), np.array([alone["y0"]]), RATE, RHO, SETTING.steps)

    assert (x.item(), y.item()) == (alone["x"], alone["y"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 0),
        ("rho", -0.1),
        ("steps", 0),
        ("starts", 0),
        ("x0", (2, 1)),
        ("gamma", (0, 1)),
        ("seed", -1),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(key, value):
    with pytest.raises(SettingError, match=rf"^{key} is "):
        Settings(**{**vars(SETTING), key: value})


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="gd"):
        descend("gd", np.ones(1), np.ones(1), RATE, RHO, steps=1)


def test_its_summary_is_the_median_share_of_the_sharpness_that_is_left():
    ends = pd.DataFrame({"method": ["sam"] * 3 + ["usam"], "y0": [1.0, 2.0, 4.0, 2.0], "y": [0.5, -0.2, 4.0, 1.0]})

    assert summary(ends) == pytest.approx({"sam": 0.25, "usam": 0.25})


def test_a_job_leaves_its_table_and_a_run_json_that_describes_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = Job("single_neuron", plain(SETTING), SEMANTICS, "single-neuron", "smoke")

    compute_job(job)

    run = job.read()
    assert job.folder == tmp_path.joinpath("results/smoke/single_neuron", job.id).relative_to(tmp_path)
    assert (run["id"], run["kind"], run["spec"]) == (job.id, "single_neuron", job.spec)
    assert (run["semantics"], run["status"], run["sha256"]) == (SEMANTICS, "completed", files.sha256(job.data))
    assert run["provenance"]["device"] == "cpu"
    pd.testing.assert_frame_equal(pd.read_csv(job.data), compute(SETTING), rtol=1e-8)

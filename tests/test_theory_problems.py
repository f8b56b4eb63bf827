"""The single neuron and the diagonal network against what theory says of them; every problem of Part II computed."""

import numpy as np
import pandas as pd
import pytest
import theory

from sharpness import registry
from sharpness.dynamics import diagonal, neuron
from sharpness.dynamics.laws import LAWS
from sharpness.dynamics.quadratic import edge
from sharpness.errors import UserError
from sharpness.evidence.runs import read_problem
from sharpness.problems.edge_of_stability import LARGEST_GAIN, Settings
from sharpness.problems.edge_of_stability import compute as edge_of_stability
from sharpness.settings import build
from sharpness.study import load_study

KINDS = ["diagonal_network", "edge_of_stability", "neuron_phase", "quadratic_floor", "sensing_flatness", "sensing_map",
         "stability_border"]  # fmt: skip


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return theory.project(tmp_path)


# --- the single neuron


@pytest.mark.parametrize("loss", neuron.SLOPES)
@pytest.mark.parametrize("ratio", [0.3, 3.0, 20.0])
def test_usam_ends_at_the_predicted_sharpness(loss, ratio):
    rate = 0.01
    x, level = np.array([0.5, 1.0, 1.5, 2.0]), np.array([60.0, 110.0, 125.0, 180.0])
    starts = np.stack([x, np.sqrt(x**2 + level)], -1)

    ends = neuron.descend(loss, "usam", starts, ratio * rate, rate, steps=30_000)

    assert np.abs(ends.prod(-1)).max() < 1e-2, "x has died out"
    assert ends[:, 1] ** 2 == pytest.approx(neuron.settled(level, ratio * rate, rate), rel=0.02)


@pytest.mark.parametrize("loss", neuron.SLOPES)
@pytest.mark.parametrize(
    ("rho", "level", "steps"), [(0.003, 120.0, 20_000), (0.01, 60.0, 20_000), (0.02, 20.0, 60_000)]
)
def test_sam_drifts_at_the_predicted_rate(loss, rho, level, steps):
    start = np.array([[1.0, np.sqrt(1 + level)]])

    ends = neuron.descend(loss, "sam", start, rho, 0.01, steps)

    expected = neuron.drifted(np.array([level]), np.array([rho]), 0.01, steps)
    assert expected[0] < 0.99 * level
    assert ends[:, 1] ** 2 == pytest.approx(expected, rel=0.02)


def test_the_drift_is_that_of_its_differential_equation():
    rate, rho, sharpness = 0.02, 0.05, 70.0
    for _ in range(4000):
        sharpness -= 8 * rate * rho**2 * sharpness / (2 - rate * sharpness) ** 2

    assert neuron.drifted(np.array([70.0]), np.array([rho]), rate, 4000) == pytest.approx([sharpness], rel=1e-3)


def test_gradient_descent_ends_below_its_edge():
    starts = np.stack([np.ones(3), np.sqrt([101.0, 181.0, 251.0])], -1)

    ends = neuron.descend("sqrt", "gd", starts, 0.0, 0.01, steps=30_000)

    assert ends[:, 1] ** 2 == pytest.approx(neuron.settled(np.array([100.0, 180.0, 250.0]), 0.0, 0.01), rel=0.02)
    assert edge(0.0, 0.01) == 200


# --- the diagonal network

MU, RHO = np.array([1.0, 2.0, 3.0]), 0.2
STARTS = np.exp(np.random.default_rng(0).uniform(np.log(0.03), 0, (40, 3)))


@pytest.mark.parametrize("method", diagonal.METHODS)
def test_a_start_ends_on_the_predicted_coordinate(method):
    ends = diagonal.descend(MU, STARTS, method, RHO, 0.002, 15_000)

    expected = diagonal.limit(MU, STARTS, method, RHO)
    decided = expected != diagonal.UNDECIDED
    assert decided.sum() > 20
    assert np.array_equal(diagonal.leader(ends, 0.01)[decided], expected[decided])


def test_linf_sam_collapses_where_every_weight_is_below_the_radius_and_only_there():
    starts = np.array([[0.19, 0.19], [0.21, 0.19], [0.21, 0.21]])

    assert diagonal.limit(MU[:2], starts, "sam-linf", RHO).tolist() == [diagonal.COLLAPSED, 0, 1]


def test_l2_sam_amplifies_the_minor_coordinate_first_where_its_weights_are_small():
    small, large = np.array([[0.15, 0.15]]), np.array([[1.0, 1.0]])

    for starts, coordinate in ((small, 0), (large, 1)):
        grown = diagonal.descend(MU[:2], starts, "sam-l2", RHO, 1e-4, 10) / starts
        assert grown.argmax(-1) == diagonal.fastest(MU[:2], starts, "sam-l2", RHO) == coordinate


def test_an_unknown_method_is_refused():
    with pytest.raises(ValueError, match="unknown method 'sgd'"):
        diagonal.descend(MU, STARTS, "sgd", RHO, 0.01, 1)


# --- the problems


def test_every_problem_leaves_a_row_for_each_of_what_it_is_asked_for(study):
    for job in theory.jobs(study):
        frame, spec = read_problem(job), job.spec
        laws = spec.get("laws", spec.get("methods"))
        assert list(dict.fromkeys(frame["law" if "law" in frame else "method"])) == laws, job.id
        keys = ("loss", "law", "method", "learning_rate", "rho", "scale", "start", "draw", "step")
        assert not frame.duplicated([name for name in keys if name in frame]).any()
    cells = read_problem(study.problems["map-sam"])
    spec = study.problems["map-sam"].spec
    assert len(cells) == len(spec["learning_rate"]) * len(spec["rho"]) * spec["draws"]


def test_the_draws_of_matrix_sensing_are_shared_by_all_cells_and_laws(study):
    cells = pd.concat([read_problem(study.problems[f"map-{law}"]) for law in ("gd", "sam", "usam")])

    assert cells.groupby("draw")[["at_start", "at_solution"]].nunique().max().max() == 1
    assert cells["at_start"].nunique() == study.problems["map-sam"].spec["draws"]


def test_a_problem_does_not_depend_on_what_else_is_asked_for(study):
    job = study.problems["map-sam"]
    module = registry.load("problems", job.kind, "test")
    spec = job.spec | {"rho": job.spec["rho"][1:2], "draws": job.spec["draws"] - 1}

    alone = module.compute(build(module.Settings, spec, "test", "spec"))

    whole = read_problem(job)
    same = whole[whole["rho"].isin(spec["rho"]) & (whole["draw"] < spec["draws"])].reset_index(drop=True)
    assert alone["draw"].tolist() == same["draw"].tolist()
    assert alone["at_solution"].to_numpy() == pytest.approx(same["at_solution"].to_numpy(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_setting_out_of_range_is_refused_with_its_key(study, kind):
    module = registry.load("problems", kind, "test")
    spec = next(job.spec for job in theory.jobs(study) if job.kind == kind)
    for key, value in spec.items():
        if isinstance(value, list):
            bad = ["nonsense"] if isinstance(value[0], str) else [-1.0] * len(value)
        else:
            bad = -1 if isinstance(value, int) else -1.0
        with pytest.raises(UserError, match=key):
            build(module.Settings, spec | {key: bad}, "config/study.yaml", "problems.it")


def test_every_law_is_on_the_table_s_problems(study):
    for name in ("cycle", "border", "phases", "map"):
        assert [law for job in study.parts[name] for law in study.problems[job].spec["laws"]] == list(LAWS)


@pytest.mark.parametrize(("images", "gain", "layers"), [(2, 0.5, 2), (7, LARGEST_GAIN, 1), (7, LARGEST_GAIN, 4)])
def test_the_edge_is_measured_at_the_bounds_of_its_settings(images, gain, layers):
    """Of few images not every class is there; the steepest start still has a first point."""
    settings = Settings(images, 16, layers, gain, ("gd", "sam"), (0.1,), (0.1,), steps=2, every=1, seed=0)
    measured = edge_of_stability(settings)
    assert set(measured["law"]) == {"gd", "sam"}


def test_the_default_scale_has_fifty_draws_a_cell_and_three_step_sizes_at_the_edge():
    study = load_study("laptop", theory=True)

    assert study.problems["map-usam"].spec["draws"] >= 50
    assert len(study.problems["edge-sam"].spec["learning_rate"]) == 3
    assert len(study.problems["edge-sam"].spec["rho"]) == 2

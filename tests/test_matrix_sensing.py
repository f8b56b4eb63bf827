"""Matrix sensing: the batched losses and descents are those of the definition, and Table III is one draw of ours."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from sharpness.dynamics.matrix_sensing import MatrixSensing, Run, descend
from sharpness.errors import UserError
from sharpness.problems.matrix_sensing import Settings, compute
from sharpness.settings import build

torch.set_num_threads(1)

# As the original ran it, and a smaller problem.
AS_RUN = {"dimension": 100, "rank": 5, "iterate_rank": 5, "measurements": 2500, "learning_rate": 0.5, "steps": 10}
SMALL = {"dimension": 12, "rank": 2, "iterate_rank": 2, "measurements": 60, "learning_rate": 0.2, "steps": 6}
METHODS, RADII = ("gd", "sam", "usam"), (0.05, 0.1)
RUNS = [Run("gd"), *(Run(method, rho) for method in ("sam", "usam") for rho in RADII)]

# Table III of the original: losses at steps 1 to 4.
PUBLISHED = {"sam": [4.714, 2.81, 1.748, 1.199], "usam": [4.872, 22.873, 70595465.0, 1.545e65]}


def randn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sweep(setting, draws, methods=METHODS, rho=RADII, seed=0):
    """The losses at a setting, one row for each run, draw and step."""
    return compute(Settings(**setting, methods=tuple(methods), rho=tuple(rho), draws=draws, seed=seed))


def packed(matrices):
    """The rows that MatrixSensing takes, for general square matrices."""
    rows, columns = torch.triu_indices(*matrices.shape[-2:])
    symmetric = matrices + matrices.mT
    return torch.where(rows == columns, 0.5, 1.0) * symmetric[:, rows, columns]


def low_rank(*shape, seed):
    factor = randn(*shape, seed=seed)
    return factor @ factor.mT


def loss_of(matrices, target, iterate):
    """The definition, differentiable: (1/2m) Σᵢ (⟨Aᵢ, UUᵀ⟩ − bᵢ)² with bᵢ = ⟨Aᵢ, X*⟩."""
    measured = torch.tensordot(matrices, iterate @ iterate.T)
    return (measured - torch.tensordot(matrices, target)).square().sum() / (2 * len(matrices))


def loss_and_gradient_by_loop(matrices, target, iterate):
    """The same, one measurement after the other."""
    loss, gradient = 0.0, torch.zeros_like(iterate)
    for matrix in matrices:
        residual = (matrix * (iterate @ iterate.T)).sum() - (matrix * target).sum()
        loss += residual**2 / (2 * len(matrices))
        gradient += residual * (matrix + matrix.T) @ iterate / len(matrices)
    return loss, gradient


def descend_by_autograd(matrices, target, iterate, run, learning_rate, steps):
    """Losses before each step of one trajectory, from the methods' definitions."""
    losses = []
    for _ in range(steps):
        point = iterate.clone().requires_grad_()
        loss = loss_of(matrices, target, point)
        losses.append(loss.detach())
        (gradient,) = torch.autograd.grad(loss, point)
        match run.method:
            case "sam":
                point = iterate + run.rho * gradient / gradient.norm()
            case "usam":
                point = iterate + run.rho * gradient
        point = point.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss_of(matrices, target, point), point)
        iterate = iterate - learning_rate * gradient
    return torch.stack(losses)


def by_step(frame, method):
    """Losses of a method, (draws, steps)."""
    return frame[frame.method == method].pivot(index="draw", columns="step", values="loss").to_numpy()


def assert_same(frame, expected):
    """Equal but for the rounding that a different batch brings, which the descent enlarges from step to step."""
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), expected.reset_index(drop=True), rtol=1e-8)


@pytest.fixture(scope="module")
def forty_draws():
    return sweep(AS_RUN | {"steps": 4}, 40, ["sam", "usam"], [0.1])


@pytest.mark.parametrize(("d", "r", "k", "m"), [(7, 2, 2, 15), (6, 3, 6, 40), (1, 1, 1, 3), (100, 5, 5, 2500)])
def test_loss_and_gradient_agree_with_the_definition(d, r, k, m):
    matrices, target, iterates = randn(m, d, d), low_rank(d, r, seed=1), randn(2, d, k, seed=2) / math.sqrt(d)
    losses, gradients = MatrixSensing(packed(matrices), target).loss_and_gradient(iterates)
    for loss, gradient, iterate in zip(losses, gradients, iterates, strict=True):
        point = iterate.clone().requires_grad_()
        expected = loss_of(matrices, target, point)
        (expected_gradient,) = torch.autograd.grad(expected, point)
        looped, looped_gradient = loss_and_gradient_by_loop(matrices, target, iterate)
        for reference in (expected.detach(), looped):
            torch.testing.assert_close(loss, reference, rtol=1e-12, atol=0)
        for reference in (expected_gradient, looped_gradient):
            torch.testing.assert_close(gradient, reference, rtol=1e-12, atol=1e-12 * reference.abs().max().item())


def test_descent_agrees_with_the_methods_definitions():
    d, k, m, draws = 8, 3, 30, 4
    matrices, targets = randn(m, d, d), low_rank(draws, d, 2, seed=1) / d
    starts = randn(draws, len(RUNS), d, k, seed=2) / math.sqrt(d)
    losses = descend(MatrixSensing(packed(matrices), targets[:, None]), starts, RUNS, learning_rate=0.1, steps=5)
    assert losses.shape == (draws, len(RUNS), 5)
    for draw in range(draws):
        for index, run in enumerate(RUNS):
            expected = descend_by_autograd(matrices, targets[draw], starts[draw, index], run, 0.1, 5)
            torch.testing.assert_close(losses[draw, index], expected, rtol=1e-9, atol=0)


def test_sweep_is_tidy():
    frame = sweep(SMALL, 3)
    assert list(frame.columns) == ["method", "rho", "draw", "step", "loss"]
    keys = [(run.method, run.rho, draw, step) for run in RUNS for draw in range(3) for step in range(1, 7)]
    assert list(frame.drop(columns="loss").itertuples(index=False, name=None)) == keys
    assert frame.loss.dtype == np.float64
    assert frame.loss.is_unique  # nothing shares a start


def test_a_draw_does_not_depend_on_the_others():
    frame = sweep(SMALL, 45)
    assert_same(sweep(SMALL, 23), frame[frame.draw < 23])


def test_a_run_does_not_depend_on_the_others():
    frame = sweep(SMALL, 4)
    for run in RUNS:
        assert_same(
            sweep(SMALL, 4, [run.method], [run.rho]), frame[(frame.method == run.method) & (frame.rho == run.rho)]
        )


def test_the_seed_decides():
    assert sweep(SMALL, 3, seed=7).equals(sweep(SMALL, 3, seed=7))
    assert (sweep(SMALL, 3, seed=7).loss != sweep(SMALL, 3, seed=8).loss).all()


def test_the_global_generator_is_left_alone():
    state = torch.random.get_rng_state()
    sweep(SMALL, 2)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_threads_change_rounding_only():
    matrices, target = randn(2500, 100, 100), low_rank(100, 5, seed=1) / 100
    starts = randn(2, len(RUNS), 100, 5, seed=2) / 10
    problem = MatrixSensing(packed(matrices), target)
    alone = descend(problem, starts, RUNS, learning_rate=0.5, steps=2)
    torch.set_num_threads(2)
    try:
        torch.testing.assert_close(descend(problem, starts, RUNS, learning_rate=0.5, steps=2), alone, rtol=1e-8, atol=0)
    finally:
        torch.set_num_threads(1)


def test_a_job_s_bytes_do_not_depend_on_the_threads_of_its_process():
    alone = sweep(SMALL, 2)
    torch.set_num_threads(2)
    assert sweep(SMALL, 2).equals(alone)
    assert torch.get_num_threads() == 1


def test_first_loss_has_its_expectation(forty_draws):
    """E L(U₀) = ‖U₀U₀ᵀ − X*‖²/2 on average over Gaussian measurements, and r(1 − 1/d) over targets and starts."""
    first = forty_draws[forty_draws.step == 1].loss
    assert first.mean() == pytest.approx(5 * (1 - 1 / 100), abs=5 * first.std() / math.sqrt(len(first)))


@pytest.mark.parametrize("method", ["sam", "usam"])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_table_3_is_a_draw_of_this_distribution(forty_draws, method, step):
    logs = np.log(by_step(forty_draws, method)[:, step - 1])
    assert abs(math.log(PUBLISHED[method][step - 1]) - logs.mean()) < 3 * logs.std(ddof=1)


def test_sam_makes_progress_where_usam_diverges(forty_draws):
    """True of these forty draws; over thousands, SAM reaches 4 in about 3 % and USAM stays below 1e30 in 0.1 %."""
    assert (by_step(forty_draws, "sam")[:, 3] < 4).all()
    assert (by_step(forty_draws, "usam")[:, 3] > 1e30).all()


def test_small_radii_make_progress():
    frame = sweep(AS_RUN, 3, ["sam", "usam"], [0.001, 0.01])
    losses = frame.pivot(index=["method", "rho", "draw"], columns="step", values="loss")
    assert (losses[10] < losses[1] / 2).all()


def test_gradient_descent_beyond_the_stable_step():
    """At 0.5 it falls for some steps and then oscillates; at 0.3 it converges; at 0.7 most draws diverge."""
    losses = {
        learning_rate: by_step(sweep(AS_RUN | {"learning_rate": learning_rate, "steps": steps}, 3, ["gd"]), "gd")
        for learning_rate, steps in ((0.3, 30), (0.5, 30), (0.7, 8))
    }
    assert (losses[0.3][:, -1] < losses[0.3][:, 0] / 1000).all()
    assert (np.diff(losses[0.5][:, :5]) < 0).all()
    assert (losses[0.5] > 1e-2).all()
    assert ((np.diff(losses[0.5][:, 10:]) > 0).sum(1) > 5).all()
    assert np.median(np.nan_to_num(losses[0.7][:, -1], nan=math.inf)) > 1e30


def test_divergence_is_a_value_and_stays_with_its_own_trajectory():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = sweep(AS_RUN | {"dimension": 20, "measurements": 500}, 3, ["sam", "usam"], [0.01, 1.0])
    assert np.isnan(by_step(frame[frame.rho == 1.0], "usam")[:, -1]).all()
    assert np.isfinite(by_step(frame[frame.rho == 0.01], "sam")).all()


def test_the_iterate_may_be_square():
    """As the original describes it: U ∈ R^{d×d}, over-parametrised, recovers X* with a learning rate small enough."""
    setting = SMALL | {"iterate_rank": 12, "measurements": 200, "learning_rate": 0.05, "steps": 400}
    losses = by_step(sweep(setting, 2, ["gd"]), "gd")
    assert (losses[:, -1] < 1e-3 * losses[:, 0]).all()


def test_gradient_descent_has_no_radius_and_is_run_once():
    frame = sweep(SMALL, 2)
    assert frame[frame.method == "gd"].rho.eq(0).all()
    assert len(frame[frame.method == "gd"]) == 2 * SMALL["steps"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "sensing.steps is 0; it must be more than 0"),
        ({"rank": -1}, "sensing.rank is -1; it must be more than 0"),
        ({"learning_rate": math.nan}, "sensing.learning_rate is nan; it must be more than 0"),
        ({"methods": ["asam"]}, "sensing.methods has 'asam'; choose from: gd, sam, usam"),
        ({"rho": [-0.1]}, "sensing.rho has -0.1; a radius is finite and at least 0"),
        ({"rho": [math.inf]}, "sensing.rho has inf; a radius is finite and at least 0"),
        ({"rho": [math.nan]}, "sensing.rho has nan; a radius is finite and at least 0"),
        ({"draws": 0}, "sensing.draws is 0; it must be more than 0"),
        ({"methods": []}, "sensing.methods is empty; give at least one"),
        ({"rho": []}, "sensing.rho is empty; give at least one"),
        ({"seed": -1}, "sensing.seed is -1; it must be at least 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_in_one_line(values, message):
    good = SMALL | {"methods": ["sam"], "rho": [0.1], "draws": 1, "seed": 0}
    with pytest.raises(UserError) as raised:
        build(Settings, good | values, "study.yaml", "sensing")
    assert str(raised.value) == f"study.yaml: {message}"

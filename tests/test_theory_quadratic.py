"""The quadratic: where descents end and where they diverge, against the closed forms."""

import math

import numpy as np
import pytest

from sharpness.dynamics.laws import LAWS, solve
from sharpness.dynamics.quadratic import border, descend, edge, floor, measured_border

EIGENVALUES = np.array([2.0, 1.1, 0.3])
STARTS = np.random.default_rng(1).normal(size=(6, 3))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("rho", [0.05, 0.5])
def test_sam_ends_in_the_cycle_along_the_top_eigenvector(rate, rho):
    ends = descend(EIGENVALUES, STARTS, "sam", rho, rate, steps=2000)
    after = descend(EIGENVALUES, ends, "sam", rho, rate, steps=1)

    assert np.abs(ends[:, 0]) == pytest.approx(rate * rho * 2 / (2 - rate * 2), rel=1e-9)
    assert after[:, 0] == pytest.approx(-ends[:, 0], rel=1e-9)
    assert np.abs(ends[:, 1:]).max() < 1e-9
    losses = (EIGENVALUES * ends**2).sum(-1) / 2
    assert losses == pytest.approx(rate**2 * rho**2 * 2**3 / (2 * (2 - rate * 2) ** 2), rel=1e-9)
    assert losses == pytest.approx(floor(2.0, "sam", rho, rate), rel=1e-9)


@pytest.mark.parametrize("law", [law for law in LAWS if law != "gd"])
@pytest.mark.parametrize(("rate", "rho"), [(0.25, 0.3), (0.5, 0.4), (0.8, 0.2), (0.8, 2.0)])
def test_each_law_ends_at_the_floor_of_its_formula(law, rate, rho):
    ends = descend(EIGENVALUES, STARTS, law, rho, rate, steps=2000)

    expected = floor(2.0, law, rho, rate)
    losses = (EIGENVALUES * ends**2).sum(-1) / 2
    assert np.all(losses == expected) if math.isinf(expected) else losses == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("rate", "rho"), [(0.1, 0.05), (0.3, 0.1), (0.3, 2.0)])
def test_the_border_is_found_by_bisection(law, rate, rho):
    measured = measured_border(law, rho, rate, steps=200, far=1e9, digits=1e-9)

    assert measured == pytest.approx(border(law, rho, rate), rel=1e-6)


def test_usam_s_border_is_the_root_of_its_equation_and_gradient_descent_s_at_no_radius():
    for rate, rho in [(0.1, 0.05), (0.01, 3.0), (1.0, 1e-9)]:
        sharpness = edge(rho, rate)
        assert rate * sharpness * (1 + rho * sharpness) == pytest.approx(2, rel=1e-12)
        assert sharpness == pytest.approx((math.sqrt(1 + 8 * rho / rate) - 1) / (2 * rho), rel=1e-6)
    assert edge(0.0, 0.1) == 20


@pytest.mark.parametrize("law", ["sam", "monge", "interpolation", "damped"])
@pytest.mark.parametrize("c", [0.2, 1.5, 1.9])
def test_a_law_is_solved_where_it_has_the_value(law, c):
    norm = solve(law, c)

    assert LAWS[law](norm) == pytest.approx(1 / c, rel=1e-9) if norm else LAWS[law](0.0) <= 1 / c


def test_the_ends_of_the_laws_are_those_that_their_table_says():
    far, near = 1e9, 1e-9
    lengths = {law: (h(near) * near, h(far) * far) for law, h in LAWS.items()}
    assert {law for law, (at_rest, _) in lengths.items() if at_rest > 0.4} == {"sam", "monge", "interpolation"}
    assert {law for law, (_, thrown) in lengths.items() if thrown > 1.1} == {"usam", "interpolation"}

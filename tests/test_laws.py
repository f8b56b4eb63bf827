"""The radial laws of the ascent step: their closed forms, what is refused, and that theory measures the same ones."""

import math

import numpy as np
import projects
import pytest
import synthetic
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpness import SAM
from sharpness.dynamics import laws as dynamics
from sharpness.errors import UserError
from sharpness.evidence.formatting import ascent
from sharpness.optim import ascent_step
from sharpness.optim.ascent import NORMALIZATIONS
from sharpness.optim.laws import FORMULAS, LAWS
from sharpness.study import load_study

torch.set_num_threads(1)

# ρ h(n) g by name, as each is written in its source, with λ = ½.
CLOSED = {
    "dual": lambda g, n: g / n,
    "none": lambda g, n: g,
    "interpolation": lambda g, n: (1 - 0.5 + 0.5 / n) * g,
    "monge": lambda g, n: g / (n * math.sqrt(1 + n**2)),
    "damped": lambda g, n: g / math.sqrt(1 + n**2),
}
IN_THEORY = {"dual": "sam", "none": "usam"}


def gradient(norm: float, size: int = 7) -> torch.Tensor:
    g = torch.randn(size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return norm * g / g.norm()


@pytest.mark.parametrize("law", CLOSED)
@settings(deadline=None)
@given(exponent=st.floats(-3, 6), rho=st.floats(1e-3, 10), cut=st.integers(1, 6))
def test_a_law_is_its_closed_form_whatever_the_gradient_s_length(law, exponent, rho, cut):
    g = gradient(10**exponent)
    parts = [g[:cut], g[cut:]]
    step = torch.cat(ascent_step([torch.ones_like(part) for part in parts], parts, rho, normalization=law))
    torch.testing.assert_close(
        step, rho * CLOSED[law](g, g.norm().item()), rtol=3e-9 if exponent < 0 else 1e-11, atol=0
    )


@pytest.mark.parametrize("law", FORMULAS)
@pytest.mark.parametrize("geometry", ["absolute", "fisher"])
def test_in_a_geometry_the_norm_is_that_of_the_scaled_gradient(law, geometry):
    g, w = gradient(2.0), gradient(3.0).flip(0)
    diagonal = w.abs() if geometry == "absolute" else (1 + g**2).rsqrt()
    eta = float(geometry == "fisher")
    [step] = ascent_step([w], [g], 0.3, geometry=geometry, eta=eta, normalization=law)
    expected = 0.3 * diagonal * CLOSED[law](diagonal * g, (diagonal * g).norm().item())
    torch.testing.assert_close(step, expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_gradient_gives_no_step_and_a_huge_one_a_finite_one(law, dtype):
    zero, huge = torch.zeros(5, dtype=dtype), torch.full((5,), 1e30, dtype=dtype)
    for g in (zero, huge):
        [step] = ascent_step([torch.ones_like(g)], [g], 0.5, normalization=law)
        assert step.isfinite().all()
    assert not ascent_step([zero], [zero], 0.5, normalization=law)[0].any()


@pytest.mark.parametrize("law", FORMULAS)
@pytest.mark.parametrize("p", [1.0, 3.0, math.inf])
def test_a_law_is_of_the_euclidean_norm(law, p):
    with pytest.raises(ValueError, match=f"^normalization: '{law}' is a law of the Euclidean norm; use it with p = 2$"):
        SAM([torch.nn.Parameter(torch.ones(2))], torch.optim.SGD, lr=0.1, p=p, normalization=law)


def test_a_study_may_train_a_law_and_is_refused_one_of_another_norm(tmp_path, monkeypatch):
    synthetic.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config/study.yaml"
    projects.replace(file, {"methods.sam.normalization": "monge"})
    specs = [job.spec for job in load_study("laptop").experiments["radius"]]
    assert {spec["normalization"] for spec in specs} == {"monge"}
    projects.replace(file, {"methods.sam.p": "inf"})
    with pytest.raises(UserError) as refused:
        load_study("laptop")
    line = "methods.sam: normalization monge is a law of the Euclidean norm; give it p: 2"
    assert str(refused.value) == f"config/study.yaml: {line}"


@pytest.mark.parametrize("law", CLOSED)
def test_fifty_steps_of_the_optimizer_are_those_that_theory_takes(law):
    """On the quadratic ½ wᵀHw, from near its minimum and from far off."""
    hessian, rho, rate = np.array([1.0, 0.7, 0.3, 0.1]), 0.3, 0.5
    for size in (1e-2, 30.0):
        weight = torch.nn.Parameter(size * torch.ones(4, dtype=torch.float64))
        optimizer = SAM([weight], torch.optim.SGD, lr=rate, rho=rho, normalization=law)
        point = weight.detach().numpy().copy()
        for _ in range(50):
            for step in (optimizer.first_step, optimizer.second_step):
                optimizer.zero_grad()
                (0.5 * torch.from_numpy(hessian) * weight**2).sum().backward()
                step()
            point = dynamics.advance(lambda w: hessian * w, point, IN_THEORY.get(law, law), rho, rate, np.linalg.norm)
        np.testing.assert_allclose(weight.detach().numpy(), point, rtol=1e-8, atol=1e-11)


def test_every_law_of_theory_that_ascends_can_be_trained():
    assert {IN_THEORY.get(law, law) for law in CLOSED} == dynamics.LAWS.keys() - {"gd"}
    assert {*CLOSED, "max"} == set(NORMALIZATIONS)
    assert FORMULAS.keys() == LAWS.keys() - {"dual"}
    for law, of_norm in LAWS.items():
        for norm in (1e-3, 0.5, 2.0, 1e4):
            assert of_norm(norm) == pytest.approx(dynamics.LAWS[IN_THEORY.get(law, law)](norm), rel=2e-9)


def test_two_laws_in_one_optimizer_have_a_ball_each_and_come_back_from_disk(tmp_path):
    def built(laws):
        weights = [torch.nn.Parameter(gradient(1.0)) for _ in laws]
        groups = [{"params": [w], "normalization": law} for w, law in zip(weights, laws, strict=True)]
        return weights, SAM(groups, torch.optim.SGD, lr=0.1, rho=0.2)

    weights, optimizer = built(["monge", "dual"])
    for weight in weights:
        weight.grad = gradient(3.0)
    before = [weight.detach().clone() for weight in weights]
    optimizer.first_step()
    lengths = [(weight.detach() - old).norm().item() for weight, old in zip(weights, before, strict=True)]
    assert lengths == pytest.approx([0.2 / math.sqrt(10), 0.2])
    optimizer.restore()
    torch.save(optimizer.state_dict(), tmp_path / "state.pt")
    other = built(["dual", "none"])[1]
    other.load_state_dict(torch.load(tmp_path / "state.pt"))
    assert [group["normalization"] for group in other.param_groups] == ["monge", "dual"]


@pytest.mark.parametrize(
    ("geometry", "law", "formula"),
    [
        ("euclidean", "damped", r"$\rho\, \frac{1}{\sqrt{1 + \lVert g\rVert_2^2}}\, g$"),
        (
            "absolute",
            "interpolation",
            r"$\rho\, \tfrac{1}{2}\left(1 + 1/\lVert Tg\rVert_2\right)\, T^2g, \quad T = \left\lvert w\right\rvert$",
        ),
    ],
)
def test_the_report_writes_a_law_as_a_formula(geometry, law, formula):
    assert ascent({"optimizer": "sam", "p": 2, "geometry": geometry, "normalization": law}) == formula

"""The ascent step solves the problem that defines it: maximise ⟨g, ε⟩ over ‖T⁻¹ε‖_p ≤ ρ."""

import math

import pytest
import torch
from family import FAMILY, GEOMETRIES, METRICS, dual_of, eta_of, flat, geometry_vector, norm, random_tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sharpness.optim import ascent_step

torch.set_num_threads(1)

metrics = st.one_of(
    st.sampled_from(METRICS),
    st.floats(1.0, 1.1),
    st.floats(1.1, 10.0),
    st.floats(10.0, 1e6),
)
magnitudes = st.floats(0.1, 10.0)
entries = st.one_of(magnitudes, magnitudes.map(lambda x: -x))


@st.composite
def problems(draw):
    """Weights without a zero, gradients with some, one adapted flag a tensor; shapes from 0-dim to 3-dim."""
    shapes = draw(st.lists(hnp.array_shapes(min_dims=0, max_dims=3, max_side=4), min_size=1, max_size=4))
    weights = [torch.from_numpy(draw(hnp.arrays("float64", shape, elements=entries))) for shape in shapes]
    gradient_entries = st.one_of(st.just(0.0), entries)
    gradients = [torch.from_numpy(draw(hnp.arrays("float64", shape, elements=gradient_entries))) for shape in shapes]
    return weights, gradients, draw(st.lists(st.booleans(), min_size=len(shapes), max_size=len(shapes)))


@settings(max_examples=300, deadline=None)
@given(problem=problems(), p=metrics, geometry=st.sampled_from(GEOMETRIES), rho=st.floats(1e-3, 10.0))
def test_step_lies_on_the_sphere_and_attains_the_dual_norm(problem, p, geometry, rho):
    weights, gradients, adapted = problem
    step = ascent_step(weights, gradients, rho, p=p, geometry=geometry, eta=eta_of(geometry), adapted=adapted)
    assert [tensor.shape for tensor in step] == [weight.shape for weight in weights]

    epsilon, g = flat(step), flat(gradients)
    diagonal = geometry_vector(weights, gradients, geometry, adapted)
    if not g.any():
        assert not epsilon.any()
        return
    assert norm(epsilon / diagonal, p).item() == pytest.approx(rho, rel=1e-9)
    assert (g @ epsilon).item() == pytest.approx(rho * norm(diagonal * g, dual_of(p)).item(), rel=1e-9)


@settings(max_examples=150, deadline=None)
@given(problem=problems(), p=metrics, geometry=st.sampled_from(GEOMETRIES), seed=st.integers(0, 2**32 - 1))
def test_no_random_point_of_the_ball_ascends_more(problem, p, geometry, seed):
    weights, gradients, adapted = problem
    step = flat(ascent_step(weights, gradients, 0.5, p=p, geometry=geometry, eta=eta_of(geometry), adapted=adapted))
    g, diagonal = flat(gradients), geometry_vector(weights, gradients, geometry, adapted)

    directions = torch.randn(50, g.numel(), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    directions[25:] = step / diagonal + 0.01 * directions[25:]  # half of them close to the answer
    for direction in directions:
        point = 0.5 * diagonal * direction / norm(direction, p)
        assert (g @ point).item() <= (g @ step).item() * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("p", [1.2, 1.5, 2.0, 3.0, 7.0])
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_step_is_the_formula_written_out(p, geometry):
    weights, gradients = random_tensors(0, (3, 4), (5,)), random_tensors(1, (3, 4), (5,))
    adapted = [True, False]
    settings_of_ball = {"p": p, "geometry": geometry, "eta": eta_of(geometry), "adapted": adapted}
    g, diagonal, q = flat(gradients), geometry_vector(weights, gradients, geometry, adapted), dual_of(p)
    numerator = 0.2 * diagonal * torch.sign(diagonal * g) * (diagonal * g).abs() ** (q - 1)

    dual = ascent_step(weights, gradients, 0.2, **settings_of_ball)
    torch.testing.assert_close(flat(dual), numerator / torch.linalg.vector_norm(diagonal * g, q) ** (q - 1))
    none = ascent_step(weights, gradients, 0.2, normalization="none", **settings_of_ball)
    torch.testing.assert_close(flat(none), numerator)
    largest = ascent_step(weights, gradients, 0.2, normalization="max", **settings_of_ball)
    torch.testing.assert_close(flat(largest), 0.2 * diagonal**2 * g / (diagonal * g).abs().max())


def test_named_methods_of_the_study():
    weights, gradients = random_tensors(2, (4, 3), (3,)), random_tensors(3, (4, 3), (3,))
    w, g = flat(weights), flat(gradients)

    sam = flat(ascent_step(weights, gradients, 0.05))
    torch.testing.assert_close(sam, 0.05 * g / g.norm())
    asam = flat(ascent_step(weights, gradients, 2.0, geometry="absolute"))
    torch.testing.assert_close(asam, 2.0 * w**2 * g / (w.abs() * g).norm())
    usam = flat(ascent_step(weights, gradients, 0.1, normalization="none"))
    torch.testing.assert_close(usam, 0.1 * g)
    fisher = flat(ascent_step(weights, gradients, 0.1, geometry="fisher", eta=1.0))
    inverse_fisher = 1 / (1 + g**2)
    torch.testing.assert_close(fisher, 0.1 * inverse_fisher * g / (g @ (inverse_fisher * g)).sqrt())
    sign_step = flat(ascent_step(weights, gradients, 0.05, p=math.inf))
    assert torch.equal(sign_step, 0.05 * torch.sign(g))

    linf_as_run = flat(ascent_step(weights, gradients, 0.05, normalization="max"))
    longer_sam = flat(ascent_step(weights, gradients, 0.05 * (g.norm() / g.abs().max()).item()))
    torch.testing.assert_close(linf_as_run, longer_sam)


def test_p_one_moves_the_largest_coordinate_and_ties_share():
    weights = [torch.ones(2, 2), torch.ones(2)]
    gradients = [torch.tensor([[1.0, -5.0], [2.0, 0.0]]), torch.tensor([5.0, 4.9999])]
    step = flat(ascent_step(weights, gradients, 0.6, p=1.0))
    torch.testing.assert_close(step, torch.tensor([0.0, -0.3, 0.0, 0.0, 0.3, 0.0]))


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("p", [2 - 1e-7, 2 + 1e-7])
def test_general_p_meets_the_euclidean_path(p, geometry):
    weights, gradients = random_tensors(4, (20, 5), (7,)), random_tensors(5, (20, 5), (7,))
    ball = {"geometry": geometry, "eta": eta_of(geometry), "adapted": [True, False]}
    near, at = (ascent_step(weights, gradients, 0.3, p=metric, **ball) for metric in (p, 2.0))
    torch.testing.assert_close(flat(near), flat(at), rtol=2e-6, atol=0)


@pytest.mark.parametrize(("p", "geometry", "normalization"), FAMILY)
def test_zero_gradients_and_zero_weights_give_zero(p, geometry, normalization):
    ball = {"p": p, "geometry": geometry, "normalization": normalization, "adapted": [True, False]}
    gradients = random_tensors(6, (3,), (2, 2), dtype=torch.float32)
    weights = random_tensors(7, (3,), (2, 2), dtype=torch.float32)
    zeros = [torch.zeros_like(weight) for weight in weights]

    step = ascent_step(weights, zeros, 0.5, eta=eta_of(geometry), **ball)
    assert all(torch.equal(tensor, torch.zeros_like(tensor)) for tensor in step)
    step = ascent_step(zeros, gradients, 0.5, **ball)
    assert not flat(step).isnan().any()
    if geometry == "absolute":
        assert not flat(step).any()


@pytest.mark.parametrize("geometry", ["euclidean", "absolute", "absolute-weights"])
@pytest.mark.parametrize("p", METRICS)
def test_step_does_not_depend_on_the_scale_of_the_gradient(p, geometry):
    weights, gradients = random_tensors(8, (6, 2), (3,)), random_tensors(9, (6, 2), (3,))
    ball = {"p": p, "geometry": geometry, "adapted": [True, False]}
    expected = flat(ascent_step(weights, gradients, 0.1, **ball))
    scaled = flat(ascent_step(weights, [1024 * gradient for gradient in gradients], 0.1, **ball))
    torch.testing.assert_close(scaled, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("p", METRICS)
def test_asam_follows_a_rescaling_of_the_weights(p):
    """A network that computes the same after w → cw, with gradients g/c, is perturbed to the same function."""
    weights, gradients = random_tensors(10, (6, 2), (3,)), random_tensors(11, (6, 2), (3,))
    scales = [8.0, 0.25]
    expected = ascent_step(weights, gradients, 0.1, p=p, geometry="absolute")
    rescaled = ascent_step(
        [c * w for c, w in zip(scales, weights, strict=True)],
        [g / c for c, g in zip(scales, gradients, strict=True)],
        0.1,
        p=p,
        geometry="absolute",
    )
    for c, before, after in zip(scales, expected, rescaled, strict=True):
        torch.testing.assert_close(after, c * before, rtol=1e-9, atol=0)


@pytest.mark.parametrize("geometry", ["euclidean", "absolute", "fisher"])
@pytest.mark.parametrize("normalization", ["dual", "max"])
@settings(max_examples=30, deadline=None)
@given(p=metrics, cuts=st.sets(st.integers(1, 39)), seed=st.integers(0, 1000))
def test_step_sees_one_vector_however_it_is_cut(geometry, normalization, p, cuts, seed):
    (w, g) = random_tensors(seed, (40,), (40,))
    ball = {"p": p, "geometry": geometry, "eta": eta_of(geometry), "normalization": normalization}
    whole = ascent_step([w], [g], 0.1, **ball)[0]

    cut_w, cut_g = w.tensor_split(sorted(cuts)), g.tensor_split(sorted(cuts))
    torch.testing.assert_close(flat(ascent_step(cut_w, cut_g, 0.1, **ball)), whole, rtol=1e-9, atol=0)
    reversed_step = ascent_step(cut_w[::-1], cut_g[::-1], 0.1, **ball)
    torch.testing.assert_close(flat(reversed_step[::-1]), whole, rtol=1e-9, atol=0)


def test_no_tensors_give_no_perturbations():
    assert ascent_step([], [], 0.1) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rho": -0.1}, "rho"),
        ({"rho": math.nan}, "rho"),
        ({"p": 0.5}, "p:"),
        ({"p": math.nan}, "p:"),
        ({"geometry": "riemannian"}, "geometry"),
        ({"normalization": "l2"}, "normalization"),
        ({"geometry": "fisher", "eta": -1.0}, "eta"),
        ({"eta": 0.1}, "eta"),
        ({"geometry": "absolute", "eta": 0.1}, "eta"),
        ({"geometry": "absolute-weights"}, "adapted"),
        ({"geometry": "absolute-weights", "adapted": [True, False]}, "adapted"),
        ({"p": 1.0, "normalization": "none"}, "normalization"),
        ({"gradients": []}, "gradients"),
    ],
)
def test_bad_settings_are_refused_in_one_line(arguments, message):
    arguments = {"weights": [torch.ones(2)], "gradients": [torch.ones(2)], "rho": 0.1, **arguments}
    with pytest.raises(ValueError, match=message) as error:
        ascent_step(**arguments)
    assert "\n" not in str(error.value)

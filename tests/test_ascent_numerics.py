"""The ascent step in numbers of every size and precision, on every device, for lists of tensors of every shape."""

import math

import pytest
import torch
from family import FAMILY, GEOMETRIES, dual_of, eta_of, flat, norm, random_tensors

from sharpness.optim import ascent_step

torch.set_num_threads(1)


@pytest.mark.parametrize("p", [1.0, 1.01, 1.5, 2.0, 4.0, 100.0, math.inf])
def test_two_million_float32_parameters_keep_float_accuracy(p):
    weights = random_tensors(12, (1_900_000,), (100_000,), dtype=torch.float32)
    gradients = [1e-3 * g for g in random_tensors(13, (1_900_000,), (100_000,), dtype=torch.float32)]
    epsilon = flat(ascent_step(weights, gradients, 0.05, p=p)).double()
    g = flat(gradients).double()
    assert norm(epsilon, p).item() == pytest.approx(0.05, rel=5e-7)
    assert (g @ epsilon).item() == pytest.approx(0.05 * norm(g, dual_of(p)).item(), rel=5e-7)


@pytest.mark.parametrize("shape", [(3_000_000,), (1, 3_000_000), (2, 1_500_000), (3, 1000, 1000)])
def test_a_long_tensor_of_any_shape_keeps_float_accuracy(shape):
    gradients = random_tensors(13, shape, dtype=torch.float32)
    epsilon = flat(ascent_step(gradients, gradients, 0.05)).double()
    assert norm(epsilon, 2.0).item() == pytest.approx(0.05, rel=1e-5)


@pytest.mark.parametrize(("p", "geometry", "normalization"), FAMILY)
def test_tensors_without_entries_change_nothing(p, geometry, normalization):
    weights, gradients = random_tensors(23, (3, 2), (0, 4)), random_tensors(24, (3, 2), (0, 4))
    ball = {"p": p, "geometry": geometry, "eta": eta_of(geometry), "normalization": normalization}
    first, empty = ascent_step(weights, gradients, 0.1, adapted=[True, False], **ball)
    torch.testing.assert_close(first, ascent_step(weights[:1], gradients[:1], 0.1, adapted=[True], **ball)[0])
    assert empty.shape == (0, 4)
    assert not ascent_step(weights[1:], gradients[1:], 0.1, adapted=[True], **ball)[0].numel()


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8, 1e18])
@pytest.mark.parametrize("p", [1.0, 1.05, 1.5, 3.0, 1e4, math.inf])
def test_float32_gradients_of_any_size_neither_overflow_nor_vanish(p, size):
    gradients = [size * g for g in random_tensors(14, (30,), (2, 2), dtype=torch.float32)]
    epsilon = flat(ascent_step(gradients, gradients, 0.05, p=p)).double()
    assert norm(epsilon, p).item() == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("size", [1e-6, 1e20, 1e30])
def test_euclidean_norm_of_float32_gradients_does_not_overflow(size):
    gradients = [size * g for g in random_tensors(14, (30,), (2, 2), dtype=torch.float32)]
    assert norm(flat(ascent_step(gradients, gradients, 0.05)).double(), 2.0).item() == pytest.approx(0.05, rel=2e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("p", [1.5, 2.0, math.inf])
def test_half_precision_is_computed_in_float32(p, geometry, dtype):
    weights = random_tensors(15, (50, 2), (5,), dtype=dtype)
    gradients = [1e-4 * g for g in random_tensors(16, (50, 2), (5,), dtype=dtype)]
    ball = {"p": p, "geometry": geometry, "eta": eta_of(geometry), "adapted": [True, False]}
    step = ascent_step(weights, gradients, 0.05, **ball)
    expected = ascent_step([w.float() for w in weights], [g.float() for g in gradients], 0.05, **ball)
    assert {tensor.dtype for tensor in step} == {torch.float32}
    assert torch.equal(flat(step), flat(expected))


def test_mixed_dtypes_share_the_widest():
    weights, gradients = random_tensors(17, (4,), (3,)), random_tensors(18, (4,), (3,))
    weights[1], gradients[1] = weights[1].float(), gradients[1].float()
    step = ascent_step(weights, gradients, 0.1)
    g = torch.cat([gradients[0], gradients[1].double()])
    torch.testing.assert_close(flat(step), 0.1 * g / g.norm(), rtol=1e-10, atol=0)


@pytest.mark.parametrize(("p", "geometry", "normalization"), FAMILY)
def test_step_reads_nothing_back_to_the_host(p, geometry, normalization):
    """Tensors on the meta device have no values: reading one, as ``.item()`` or ``if``, raises."""
    weights, gradients = ([torch.empty(3, 2, device="meta"), torch.empty(4, device="meta")] for _ in range(2))
    rho = torch.tensor(0.1, device="meta")
    step = ascent_step(
        weights,
        gradients,
        rho,
        p=p,
        geometry=geometry,
        eta=eta_of(geometry),
        normalization=normalization,
        adapted=[True, False],
    )
    assert [tensor.shape for tensor in step] == [(3, 2), (4,)]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_step_can_be_captured_in_a_cuda_graph():
    for p, geometry, normalization in FAMILY:
        weights, gradients = (
            [tensor.cuda() for tensor in random_tensors(seed, (30, 20), (5,), dtype=torch.float32)] for seed in (19, 20)
        )
        rho = torch.tensor(0.1, device="cuda")
        ball = {"p": p, "geometry": geometry, "eta": eta_of(geometry), "normalization": normalization}
        ball["adapted"] = [True, False]
        ascent_step(weights, gradients, rho, **ball)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = ascent_step(weights, gradients, rho, **ball)
        rho.fill_(0.4)
        gradients[0].mul_(3.0)
        graph.replay()
        torch.testing.assert_close(captured, ascent_step(weights, gradients, rho, **ball))


@pytest.mark.parametrize(("p", "geometry", "normalization"), FAMILY)
def test_radius_may_be_a_tensor_and_inputs_stay_as_they_are(p, geometry, normalization):
    weights, gradients = random_tensors(21, (3, 2), (4,)), random_tensors(22, (3, 2), (4,))
    before = [tensor.clone() for tensor in weights + gradients]
    ball = {"p": p, "geometry": geometry, "eta": eta_of(geometry), "normalization": normalization}
    ball["adapted"] = [True, False]
    with_float = ascent_step(weights, gradients, 0.25, **ball)
    with_tensor = ascent_step(weights, gradients, torch.tensor(0.25), **ball)
    assert torch.equal(flat(with_float), flat(with_tensor))
    for tensor in with_float:
        tensor.fill_(math.nan)
    assert all(torch.equal(a, b) for a, b in zip(before, weights + gradients, strict=True))

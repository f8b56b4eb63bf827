"""The instruments of Part II against what is known: spectra, traces, and Hessians that are computed in full."""

import pytest
import torch

from sharpness.dynamics.matrix_sensing import MatrixSensing, draw_measurements, draw_unit_columns, stream
from sharpness.dynamics.network import draw_weights, squared_loss
from sharpness.dynamics.sensing import HessianTrace, end_losses, largest_hessian_eigenvalues
from sharpness.dynamics.spectrum import NotConverged, largest_eigenvalue, trace


def matrix(values: list[float], seed: int = 0) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues."""
    square = torch.randn(len(values), len(values), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    basis, _ = torch.linalg.qr(square)
    return basis @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ basis.T


def gaussian(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


SPECTRA = [
    [5.0, 4.9, 1.0, 0.1, -3.0, *[0.01] * 30],
    [1.0, *[-100.0] * 10],  # the largest, not the largest in magnitude
    [2.0, 2.0, 2.0, 1.0],  # as often as it likes
    [3.0],
    [1e-8, 1e-9, 0.0, 0.0],
]


@pytest.mark.parametrize("values", SPECTRA)
def test_lanczos_finds_the_largest_eigenvalue_of_a_known_spectrum(values):
    known = matrix(values)

    found = largest_eigenvalue(lambda v: known @ v, gaussian(len(values)), tolerance=1e-8)

    assert float(found) == pytest.approx(max(values), rel=1e-9, abs=1e-15)


def test_lanczos_serves_several_matrices_at_once():
    several = torch.stack([matrix([7.0, 1.0, 0.5, -9.0], 1), matrix([0.2, 0.1, 0.0, 0.0], 2), matrix([4.0] * 4, 3)])

    found = largest_eigenvalue(lambda v: (several @ v.unsqueeze(-1)).squeeze(-1), gaussian(3, 4))

    assert found.tolist() == pytest.approx([7.0, 0.2, 4.0], rel=1e-9)


def test_lanczos_says_when_it_has_not_converged():
    known = matrix([1 - i / 1000 for i in range(100)])

    with pytest.raises(NotConverged, match="after 3 steps"):
        largest_eigenvalue(lambda v: known @ v, gaussian(100), tolerance=1e-10, steps=3)


def test_hutchinson_is_exact_on_a_diagonal_matrix_and_within_its_error_elsewhere():
    generator = torch.Generator().manual_seed(1)
    diagonal = torch.arange(1.0, 9.0, dtype=torch.float64)
    assert trace(lambda v: diagonal * v, 8, 5, generator) == (36.0, 0.0)

    known = matrix([float(i) for i in range(20)])
    estimate, error = trace(lambda v: known @ v, 20, 2000, generator)
    assert abs(estimate - 190) < 4 * error
    assert error < 2


@pytest.fixture
def network():
    loss, size = squared_loss(gaussian(12, 5), torch.arange(12) % 3, [4, 3], 3)
    weights = draw_weights(5, [4, 3], 3, 1.0, torch.Generator().manual_seed(2))
    assert len(weights) == size
    return loss, weights, torch.func.hessian(loss)(weights)


def test_the_instruments_agree_with_the_full_hessian_of_a_small_network(network):
    loss, weights, hessian = network
    product = lambda v: torch.func.jvp(torch.func.grad(loss), (weights,), (v,))[1]  # noqa: E731

    found = largest_eigenvalue(product, gaussian(len(weights)), tolerance=1e-8)
    estimate, error = trace(product, len(weights), 500, torch.Generator().manual_seed(3))

    assert float(found) == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-9)
    assert abs(estimate - float(hessian.trace())) < 4 * error
    assert error < 0.1 * float(hessian.trace())


@pytest.fixture
def sensing():
    factor = draw_unit_columns(6, 2, stream(0, "target"))
    return MatrixSensing(draw_measurements(18, 6, stream(0, "measurements")), factor @ factor.mT), factor


def full_hessian(problem: MatrixSensing, at: torch.Tensor) -> torch.Tensor:
    loss = lambda flat: problem.loss_and_gradient(flat.view_as(at))[0]  # noqa: E731
    return torch.func.hessian(loss)(at.flatten())


@pytest.mark.parametrize("columns", [2, 6])
def test_the_hessian_of_matrix_sensing_is_that_of_its_loss(sensing, columns):
    problem, _ = sensing
    at, direction = gaussian(2, 6, columns)
    hessian = full_hessian(problem, at)

    product = problem.hessian_product(at, direction).flatten()

    assert product.numpy() == pytest.approx((hessian @ direction.flatten()).numpy(), rel=1e-9, abs=1e-9)
    largest = largest_hessian_eigenvalues(problem, at, stream(0))
    assert float(largest) == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-6)
    assert float(HessianTrace(problem)(at)) == pytest.approx(float(hessian.trace()), rel=1e-9)


def test_the_curvature_at_the_solution_is_near_four_times_the_square_of_its_largest_singular_value():
    factor = draw_unit_columns(20, 2, stream(1, "target"))
    problem = MatrixSensing(draw_measurements(8000, 20, stream(1, "measurements")), factor @ factor.mT)

    found = largest_hessian_eigenvalues(problem, factor, stream(1))

    assert float(found) == pytest.approx(4 * float(torch.linalg.matrix_norm(factor, 2)) ** 2, rel=0.1)


def test_a_descent_that_diverges_touches_no_other(sensing):
    problem, factor = sensing
    both = MatrixSensing(problem.measurements, problem.target.expand(2, 6, 6))
    starts = torch.stack([factor + 0.01, 50 * factor])

    together = end_losses(both, starts, "usam", 0.01, 0.1, 30, 1e12)
    alone = end_losses(problem, starts[:1], "usam", 0.01, 0.1, 30, 1e12)

    assert together[0] == pytest.approx(float(alone[0]), rel=1e-9)
    assert together[1] == float("inf")

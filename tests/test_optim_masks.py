"""ε of some parameters only: which, and that it is the best one on its ball."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_optim_settings import SGD, flat, network, perturbation, train
from torch import nn

from sharpness import SAM, normalization_layers, preset

torch.set_num_threads(1)


class TestMasks:
    def test_move_only_the_chosen_and_take_the_norm_over_them(self):
        model = network()
        optimizer = SAM(model.named_parameters(), torch.optim.SGD, rho=0.5, perturb=lambda name, _: "0." in name, **SGD)
        moved, _, gradients = perturbation(model, optimizer)
        assert flat(moved[:2]).norm().item() == pytest.approx(0.5)
        torch.testing.assert_close(flat(moved[:2]), 0.5 * flat(gradients[:2]) / flat(gradients[:2]).norm())
        assert not flat(moved[2:]).any()
        before = [weight.detach().clone() for weight in model.parameters()]
        train(model, optimizer, range(1))
        assert all(not torch.equal(weight, was) for weight, was in zip(model.parameters(), before, strict=True))

    @pytest.mark.parametrize("perturb", ["*.weight", ["*.weight"], lambda name, weight: name.endswith("weight")])
    def test_go_by_pattern_or_by_function(self, perturb):
        model = network()
        moved, _, _ = perturbation(model, SAM(model.named_parameters(), torch.optim.SGD, lr=0.1, perturb=perturb))
        assert [bool(move.any()) for move in moved] == [True, False] * 3

    def test_normalisation_layers_are_found_whatever_their_names(self):
        class ScaleNorm(nn.Module):
            def __init__(self):
                super().__init__()
                self.gain = nn.Parameter(torch.ones(8, dtype=torch.float64))

            def forward(self, x):
                return self.gain * x / x.norm(dim=-1, keepdim=True)

        model = network()
        model.insert(2, ScaleNorm())
        optimizer = SAM(model.named_parameters(), torch.optim.SGD, lr=0.1, rho=0.5, perturb=normalization_layers(model))
        moved, _, _ = perturbation(model, optimizer)
        names = [name for (name, _), move in zip(model.named_parameters(), moved, strict=True) if move.any()]
        assert names == ["1.weight", "1.bias", "2.gain"]

    def test_sam_on_goes_by_name_as_its_authors_do(self):
        model = nn.Sequential()
        model.linear, model.norm1, model.bn = nn.Linear(4, 4), nn.LayerNorm(4), nn.LayerNorm(4)
        model.linear2 = nn.Linear(4, 3)
        model.double()
        moved, _, _ = perturbation(model, SAM(model.named_parameters(), torch.optim.SGD, **preset("sam-on"), lr=0.1))
        assert [bool(move.any()) for move in moved] == [False, False, True, True, True, True, False, False]
        assert flat(moved).norm().item() == pytest.approx(0.5)

    def test_of_single_groups(self):
        model = network()
        *most, last = model.parameters()
        groups = [{"params": most, "perturb": False}, {"params": [last]}]
        moved, _, _ = perturbation(model, SAM(groups, torch.optim.SGD, lr=0.1, rho=0.5))
        assert not flat(moved[:-1]).any()
        assert moved[-1].norm().item() == pytest.approx(0.5)

    def test_that_choose_nothing_or_need_names_are_refused(self):
        model = network()
        with pytest.raises(ValueError, match=r"^perturb: none of the parameters"):
            SAM(model.named_parameters(), torch.optim.SGD, lr=0.1, perturb="*norm*")
        with pytest.raises(ValueError, match=r"^perturb: .* pass model.named_parameters\(\)"):
            SAM(model.parameters(), torch.optim.SGD, lr=0.1, perturb="*norm*")


def best_by_force(g, diagonal, p, rho, seed):
    """The largest ⟨g, ε⟩ over ‖ε/T‖_p ≤ ρ that a random search finds, ever closer around its best point."""
    generator = torch.Generator().manual_seed(seed)
    best, value = torch.zeros_like(g), 0.0
    for spread in (1.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001):
        points = best + spread * torch.randn(1500, len(g), generator=generator, dtype=torch.float64)
        points = points / torch.linalg.vector_norm(points, p, dim=1, keepdim=True)
        values = (points * (rho * diagonal * g)).sum(dim=1)
        if values.max() > value:
            best, value = points[values.argmax()], values.max().item()
    return value


entries = st.floats(0.2, 3.0) | st.floats(-3.0, -0.2)


@settings(max_examples=60, deadline=None)
@given(
    w=st.lists(entries, min_size=4, max_size=4),
    g=st.lists(entries, min_size=4, max_size=4),
    mask=st.lists(st.booleans(), min_size=4, max_size=4).filter(any),
    p=st.sampled_from([1.0, 1.3, 2.0, 4.0, math.inf]) | st.floats(1.2, 8.0),
    geometry=st.sampled_from(["euclidean", "absolute", "absolute-weights", "fisher"]),
    rho=st.floats(0.01, 5.0),
    seed=st.integers(0, 2**31),
)
def test_perturbation_is_the_best_that_brute_force_finds_on_the_ball(w, g, mask, p, geometry, rho, seed):
    named = [
        (f"{'weight' if i % 2 else 'bias'}{i}", nn.Parameter(torch.tensor(x, dtype=torch.float64)))
        for i, x in enumerate(w)
    ]
    chosen = {name for (name, _), on in zip(named, mask, strict=True) if on}
    eta = 0.5 if geometry in ("absolute-weights", "fisher") else 0.0
    optimizer = SAM(
        named, torch.optim.SGD, lr=0.1, rho=rho, p=p, geometry=geometry, eta=eta, perturb=lambda name, _: name in chosen
    )
    weights, gradients, on = (
        torch.tensor(w, dtype=torch.float64),
        torch.tensor(g, dtype=torch.float64),
        torch.tensor(mask),
    )
    for (_, parameter), gradient in zip(named, gradients, strict=True):
        parameter.grad = gradient.clone()
    optimizer.first_step()
    epsilon = torch.stack([parameter.detach() for _, parameter in named]) - weights
    diagonal = {
        "euclidean": torch.ones(4, dtype=torch.float64),
        "absolute": weights.abs(),
        "absolute-weights": torch.where(torch.arange(4) % 2 == 1, weights.abs() + 0.5, 1.0),
        "fisher": (1 + 0.5 * gradients**2) ** -0.5,
    }[geometry]
    assert not epsilon[~on].any()
    assert torch.linalg.vector_norm((epsilon / diagonal)[on], p).item() <= rho * (1 + 1e-9)
    found = best_by_force(gradients[on], diagonal[on], p, rho, seed)
    ours = (gradients @ epsilon).item()
    assert found <= ours * (1 + 1e-9)
    assert found >= ours * 0.98

"""What docs/variants.md says of other implementations, against those that install and against their formulas."""

import importlib.util
from pathlib import Path

import pytest
import pytorch_optimizer
import torch
from torch import nn

from sharpness import SAM, Every, preset

STEPS, LR, MOMENTUM = 50, 0.05, 0.9


def problem():
    """A quadratic ½ wᵀAw − bᵀw in float64, and where to start."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    return root @ root.T / 6, *torch.randn(2, 6, generator=generator, dtype=torch.float64)


def ours(base=torch.optim.SGD, decay_in_loss=0.0, descent=None, **settings):
    """The weights after STEPS steps, those named "layer.weight" and "norm.bias" together."""
    matrix, linear, start = problem()
    weight, bias = nn.Parameter(start[:4].clone()), nn.Parameter(start[4:].clone())
    named = [("layer.weight", weight), ("norm.bias", bias)]
    optimizer = SAM(named, base, **settings, **(descent or {"lr": LR, "momentum": MOMENTUM}))

    def loss():
        w = torch.cat([weight, bias])
        (0.5 * w @ matrix @ w - linear @ w + 0.5 * decay_in_loss * w @ w).backward()

    for _ in range(STEPS):
        optimizer.zero_grad()
        loss()
        optimizer.step(loss)
    return torch.cat([weight, bias]).detach()


def by_hand(perturbation, decay_in_loss=0.0, nesterov=False, ascends=lambda step: True):
    """The same with ε = perturbation(w, g, step), written out."""
    matrix, linear, w = problem()
    momentum = torch.zeros_like(w)

    def gradient(at):
        return matrix @ at - linear + decay_in_loss * at

    for step in range(STEPS):
        g = gradient(w + perturbation(w, gradient(w))) if ascends(step) else gradient(w)
        momentum = MOMENTUM * momentum + g
        w = w - LR * (g + MOMENTUM * momentum if nesterov else momentum)
    return w


def assert_same(found, expected):
    assert (found - problem()[2]).norm() > 0.1
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_davda54():
    assert_same(ours(rho=0.05), by_hand(lambda w, g: 0.05 * g / (g.norm() + 1e-12)))
    expected = by_hand(lambda w, g: 2.0 * w**2 * g / ((w.abs() * g).norm() + 1e-12))
    assert_same(ours(rho=2.0, adaptive=True), expected)


def test_official_asam():
    """Its floor of the norm is 1e-16 where ours is 1e-12, which is 1e-11 of ε here at most."""
    named_weight = torch.arange(6) < 4

    def epsilon(w, g):
        t = torch.where(named_weight, w.abs() + 0.01, 1.0)
        return 0.5 * t**2 * g / ((t * g).norm() + 1e-16)

    found, expected = ours(**preset("asam")), by_hand(epsilon)
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_google_jax_sam():
    """Weight decay as a term of the loss, in both passes; Nesterov momentum; no floor."""
    descent = {"lr": LR, "momentum": MOMENTUM, "nesterov": True}
    found = ours(rho=0.05, decay_in_loss=0.1, descent=descent)
    expected = by_hand(lambda w, g: 0.05 * g / g.norm(), decay_in_loss=0.1, nesterov=True)
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()
    outside = ours(rho=0.05, descent=descent | {"weight_decay": 0.1})
    assert (outside - expected).abs().max() > 1e-4 * expected.abs().max()


def test_composer_with_an_interval():
    expected = by_hand(lambda w, g: 0.05 * g / (g.norm() + 1e-12), ascends=lambda step: (step + 1) % 3 == 0)
    assert_same(ours(rho=0.05, when=Every(3)), expected)


def test_sam_on_and_asam_on():
    """The second of the two parameters is the normalisation layer's, and named bias, so that ASAM's T is 1 there."""
    normalisation = torch.arange(6) >= 4

    def epsilon(w, g):
        return torch.where(normalisation, 0.5 * g / (g[normalisation].norm() + 1e-12), 0.0)

    assert_same(ours(**preset("sam-on")), by_hand(epsilon))
    assert_same(ours(**preset("asam", perturb=("*norm*", "*bn*"))), by_hand(epsilon))


@pytest.mark.parametrize(("rho", "adaptive"), [(0.05, False), (2.0, True)])
def test_pytorch_optimizer(rho, adaptive):
    """It rounds its norm to float32, here as in tests/test_sam.py, where the norm is replaced by an exact one."""
    matrix, linear, start = problem()
    w = nn.Parameter(start.clone())
    theirs = pytorch_optimizer.SAM([w], torch.optim.SGD, rho=rho, adaptive=adaptive, lr=LR, momentum=MOMENTUM)

    def loss():
        (0.5 * w @ matrix @ w - linear @ w).backward()

    for _ in range(STEPS):
        theirs.zero_grad()
        loss()
        theirs.step(loss)
    found = ours(rho=rho, adaptive=adaptive)
    assert (found - w.detach()).abs().max() <= 1e-5 * w.abs().max()


@pytest.mark.skipif(importlib.util.find_spec("optax") is None, reason="optax is not installed")
def test_optax_contrib():
    import jax
    import optax
    from optax import contrib

    with jax.enable_x64(True):
        matrix, linear, start = (jax.numpy.asarray(tensor.tolist(), dtype="float64") for tensor in problem())
        ascent = optax.chain(contrib.normalize(), optax.sgd(0.05))
        optimizer = contrib.sam(optax.sgd(LR, momentum=MOMENTUM), ascent, sync_period=2)
        w, state = start, optimizer.init(start)
        for _ in range(2 * STEPS):
            updates, state = optimizer.update(matrix @ w - linear, state, w)
            w = optax.apply_updates(w, updates)
        expected = torch.tensor(w.tolist(), dtype=torch.float64)
    found = ours(rho=0.05)
    assert (found - expected).abs().max() <= 1e-10 * expected.abs().max()


def test_the_page_shows_the_settings_that_are_compared_here_and_the_balls():
    folder = Path(__file__).parents[1] / "docs"
    page = (folder / "variants.md").read_text(encoding="utf-8")
    for setting in (
        "rho=2.0, adaptive=True",
        'preset("asam")',
        'preset("sam-on")',
        'preset("asam", perturb=("*norm*", "*bn*"))',
        "when=Every(interval)",
    ):
        assert setting in page
    assert "](balls.svg)" in page
    assert (folder / "balls.svg").exists()

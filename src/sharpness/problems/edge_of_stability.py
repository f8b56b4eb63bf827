"""The edge of stability: full-batch descents on a small smooth network, the largest Hessian eigenvalue by step.

Beside it is the eigenvalue at which theory says that it settles, the root λ of ηλ(1 + ρ h(‖g‖) λ) = 2: 2/η for
gradient descent (Cohen et al. 2021), (‖g‖/2ρ)(√(1 + 8ρ/(η‖g‖)) − 1) for SAM (Long and Bartlett 2023), and USAM's.
"""

from dataclasses import dataclass

import pandas as pd

from sharpness.dynamics.laws import LAWS, advance, grid
from sharpness.settings import require, require_above_zero, require_each_of, require_not_negative

# Raise this when a change to the code changes what the same settings compute.
SEMANTICS = 1
CLASSES = 10
# First weights so large that no descent would have a first step.
LARGEST_GAIN = 10.0


@dataclass(frozen=True)
class Settings:
    """The network, the images and the descents: laws × step sizes × radii, without momentum or decay.

    Attributes:
        images: how many of the digits, each pixel centred, in units of the standard deviation of all.
        width: units of a hidden layer, which ends in tanh.
        layers: hidden layers.
        gain: of the first weights.
        laws: of sharpness.dynamics.laws.
        learning_rate: the step sizes η.
        rho: the radii; gradient descent has one, 0.
        steps: descent steps.
        every: of them the points whose eigenvalue is measured.
        seed: decides images and first weights, which all descents share.

    Raises:
        SettingError: a value is out of range.
    """

    images: int
    width: int
    layers: int
    gain: float
    laws: tuple[str, ...]
    learning_rate: tuple[float, ...]
    rho: tuple[float, ...]
    steps: int
    every: int
    seed: int

    def __post_init__(self) -> None:
        require_above_zero(self, "images", "width", "layers", "gain", "steps", "every", "learning_rate", "rho")
        require(2 <= self.images <= 1797, f"images is {self.images}; choose 2 to 1797, which is all of the digits")
        require(self.gain <= LARGEST_GAIN, f"gain is {self.gain:g}; it must be at most {LARGEST_GAIN:g}")
        half = f"every is {self.every}; choose {self.steps // 2} at most, half of the steps, over which means are taken"
        require(2 * self.every <= self.steps, half)
        require_each_of(self, "laws", LAWS)
        require_not_negative(self, "seed")

    @property
    def entries(self) -> int:
        """Lanczos's vectors, and the images on their way through the network."""
        weights = 64 * self.width + (self.layers - 1) * self.width**2 + 11 * self.width
        return 200 * weights + 4 * self.images * self.width * self.layers


def compute(settings: Settings) -> pd.DataFrame:
    """The descents in double precision.

    Returns:
        One row for each law, step size, radius and measured step (from 0), with the columns law, learning_rate, rho,
        step, loss, norm (‖g‖), eigenvalue (largest, to a relative residual of 1e-3) and edge. A descent that diverges
        ends.
    """
    import torch
    from sklearn.datasets import load_digits

    from sharpness.dynamics.matrix_sensing import stream
    from sharpness.dynamics.network import draw_weights, squared_loss
    from sharpness.dynamics.quadratic import edge
    from sharpness.dynamics.spectrum import largest_eigenvalue

    torch.set_num_threads(1)
    images, labels = map(torch.from_numpy, load_digits(return_X_y=True))
    chosen = torch.randperm(len(images), generator=stream(settings.seed, "images"))[: settings.images]
    images = images[chosen] - images[chosen].mean(0)
    hidden = [settings.width] * settings.layers
    loss, size = squared_loss(images / images.std(), labels[chosen], hidden, CLASSES)
    start = draw_weights(64, hidden, CLASSES, settings.gain, stream(settings.seed, "weights"))
    slope = torch.func.grad(loss)
    rows = []
    for law, rate, rho in grid(settings.laws, settings.learning_rate, settings.rho):
        weights, vectors = start, stream(settings.seed, "lanczos")
        for step in range(settings.steps + 1):
            if step % settings.every == 0:
                norm = float(slope(weights).norm())
                if not norm < 1e6:
                    break
                first = torch.randn(size, dtype=torch.float64, generator=vectors)
                eigenvalue = largest_eigenvalue(
                    lambda v, at=weights: torch.func.jvp(slope, (at,), (v,))[1], first, tolerance=1e-3
                )
                reach = rho * float(LAWS[law](norm))
                values = (float(loss(weights)), norm, float(eigenvalue), edge(reach, rate))
                rows.append((law, rate, rho, step, *values))
            weights = advance(slope, weights, law, rho, rate, torch.linalg.vector_norm)
    columns = ["law", "learning_rate", "rho", "step", "loss", "norm", "eigenvalue", "edge"]
    return pd.DataFrame(rows, columns=columns)

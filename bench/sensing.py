"""(f) Matrix sensing: trajectories per second of a sweep, against one trajectory after the other."""

from statistics import median

import torch
from measure import interleaved, machine, ratio
from reference import sense_by_loop, sense_by_product
from tables import markdown, times

from sharpness.dynamics.matrix_sensing import Run
from sharpness.problems.matrix_sensing import Settings, compute
from sharpness.settings import build
from sharpness.study import load_study

OURS, LOOP, PRODUCT = "sweep", "loop", "product"
TITLES = {
    OURS: "sharpness, the whole sweep at once",
    PRODUCT: "one trajectory, its measurements in one product",
    LOOP: "one trajectory, measurement by measurement",
}
TARGET = 50.0


def measure(device: torch.device, budget: float = 20.0, settings: Settings | None = None) -> dict:
    """Time a sweep, measurements and starts included, and a single trajectory of both references, without theirs.

    Args:
        device: where.
        budget: seconds.
        settings: of the sweep; by default the study's.
    """
    settings = settings or build(Settings, load_study("laptop").problems["sensing"].spec, "laptop", "sensing")
    generator = torch.Generator().manual_seed(0)

    def gaussian(*shape: int) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(device)

    side = settings.dimension
    matrices = gaussian(settings.measurements, side, side)
    factor, start = gaussian(side, settings.rank), gaussian(side, settings.iterate_rank)
    run = Run(settings.methods[0], settings.rho[0])
    problem = (matrices, factor @ factor.T / side, start / side**0.5, run, settings)
    seconds = interleaved(
        {
            OURS: lambda: compute(settings, device),
            PRODUCT: lambda: sense_by_product(*problem),
            LOOP: lambda: sense_by_loop(*problem),
        },
        budget,
        device,
    )
    trajectories = {OURS: settings.draws * len(settings.methods) * len(settings.rho), PRODUCT: 1, LOOP: 1}
    rows = [
        {
            "name": name,
            "trajectories": count,
            "rounds": len(seconds[name]),
            "per_second": count / median(seconds[name]),
            "speedup": trajectories[OURS] / count * ratio(seconds, name, OURS),
        }
        for name, count in trajectories.items()
    ]
    return {"machine": machine(device), "target": TARGET, "rows": rows}


def tables(result: dict) -> dict[str, str]:
    header = ["", "trajectories a second", "the sweep is faster by"]
    rows = [
        [TITLES[row["name"]], f"{row['per_second']:.3g}", times(row["speedup"]) if row["name"] != OURS else ""]
        for row in result["rows"]
    ]
    return {"sensing": markdown(header, rows)}

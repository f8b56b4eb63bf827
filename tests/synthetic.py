"""Synthetic runs and sensing sweeps in a temporary working directory, for tests of what is made from them."""

import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from sharpness import records
from sharpness.jobs import COMPLETED, DIVERGED, Job
from sharpness.study import Study, load_study
from sharpness.training.history import history_text
from sharpness.training.schedule import drops, learning_rate

ROOT = Path(__file__).parents[1]
# Test errors that the synthetic runs end with; the study's own results are for its runs to say.
ERRORS = {
    ("sgd", 0.0): 0.032,
    ("sam", 0.01): 0.029,
    ("sam", 0.05): 0.026,
    ("sam", 0.1): 0.028,
    ("sam", 0.5): 0.3,
    ("sam-linf-as-run", 0.05): 0.2,
    ("sam-linf-as-described", 0.05): 0.895,
    ("asam", 2.0): 0.045,
}
PROVENANCE = {
    "commit": None,
    "dirty": None,
    "versions": {"python": "3.11"},
    "system": "test",
    "processor": "test",
    "device": "cpu",
}
COST = {"seconds": 1.0, "cpu_seconds": 1.0, "peak_memory_mb": 1.0, "peak_gpu_memory_mb": 0.0}
COST |= {"finished": "2026-01-01T00:00:10+00:00"}


def project(folder: Path, scale: str = "smoke", **settings) -> Study:
    """Copy the project's configuration to `folder`, with some of the scale's settings replaced, and load the study.

    The paths of what the study makes are relative: a test then changes its working directory to `folder`.
    """
    shutil.copytree(ROOT / "config", folder / "config")
    for name in ("schemas", "report"):
        shutil.copytree(ROOT / "workflow" / name, folder / "workflow" / name)
    file = folder / f"config/scales/{scale}.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text(encoding="utf-8")) | settings), encoding="utf-8")
    return load_study(scale, folder)


def record(spec: dict, epoch: int, **values: float) -> dict:
    """One row of a history; what is not given is a run at rest with loss 0.1 and accuracy 0.9."""
    rest = {"train_loss": 0.1, "train_accuracy": 0.9, "test_loss": 0.1, "test_accuracy": 0.9} | values
    rate = learning_rate(epoch, spec["epochs"], spec["learning_rate"], spec["milestones"], spec["learning_rate_factor"])
    return {"epoch": epoch, "learning_rate": rate, **rest}


def history(spec: dict, diverges_at: int | None = None) -> list[dict]:
    """A plausible history of a run, the same for the same spec; if it diverges, its last row has an infinite loss."""
    seed = hashlib.sha256(f"{spec['network']} {spec['method']} {spec.get('rho')} {spec['seed']}".encode()).digest()
    generator = np.random.default_rng(list(seed))
    final = ERRORS.get((spec["method"], spec.get("rho", 0.0)), 0.05) * generator.uniform(0.9, 1.1)
    records = []
    for epoch in range(1, spec["epochs"] + 1):
        if epoch == diverges_at:
            records.append(record(spec, epoch, train_loss=math.inf, test_loss=math.nan, test_accuracy=0.1))
            break
        rate_left = 0.2 ** drops(epoch - 1, spec["epochs"], spec["milestones"])
        floor = final * (1 + 3 * rate_left) * generator.lognormal(0, 0.25 * rate_left + 0.02)
        error = min(floor + 0.9 * math.exp(-12 * epoch / spec["epochs"]), 0.9)
        values = {
            "train_loss": 2 * error,
            "train_accuracy": 1 - error,
            "test_loss": 0.05 + 1.9 * error,
            "test_accuracy": round(1 - error, 4),
        }
        records.append(record(spec, epoch, **values))
    return records


def write(study: Study, run_id: str, records: list[dict]) -> None:
    """Write a run as a training job does; a history with a number that is not finite is that of a diverged run."""
    diverged = not all(math.isfinite(value) for row in records for value in row.values())
    more = {"epochs": len(records), "classes": 10, "data_sha256": "0" * 64}
    status = DIVERGED if diverged else COMPLETED
    study.runs[run_id].write(history_text(records), status, PROVENANCE, COST, **more)


def change_run(job: Job, **values: object) -> None:
    """Change keys of a run.json as if its job had written them."""
    run = {key: value for key, value in json.loads(job.run.read_bytes()).items() if key != "seal"}
    records.write(job.run, run | values)


def write_all(study: Study, diverging: dict[str, int] | None = None) -> None:
    """Write a plausible history for every run of the study; `diverging` says at which epoch a run diverges."""
    for run_id, job in study.runs.items():
        write(study, run_id, history(job.spec, (diverging or {}).get(run_id)))


def find(study: Study, **values) -> list[str]:
    """The run_ids whose specs have these values, in the study's order."""
    return [
        run_id for run_id, job in study.runs.items() if all(job.spec.get(key) == value for key, value in values.items())
    ]


def sensing_losses(study: Study) -> pd.DataFrame:
    """A plausible sweep: SAM falls, and USAM does at small radii only, beyond every number at ρ = 0.1 from step 5."""
    generator = np.random.default_rng(0)
    spec = study.problems["sensing"].spec
    rows = []
    for method in spec["methods"]:
        for rho in spec["rho"]:
            for draw in range(spec["draws"]):
                scale = generator.lognormal(0, 0.1)
                for step in range(1, spec["steps"] + 1):
                    loss = 5 * scale * 0.6 ** (step - 1)
                    if method == "usam" and rho >= 0.1 and step > 1:
                        exponent = 10.0 ** (step - 1) * scale / 7
                        loss = 10.0**exponent if exponent < 300 else (math.inf if step < 7 else math.nan)
                    rows.append((method, rho, draw, step, loss))
    return pd.DataFrame(rows, columns=["method", "rho", "draw", "step", "loss"])


def write_sensing(study: Study, losses: pd.DataFrame | None = None) -> None:
    """Write a sweep's losses as its job does."""
    write_problem(study.problems["sensing"], sensing_losses(study) if losses is None else losses)


def write_problem(job: Job, data: pd.DataFrame) -> None:
    """Write what a toy problem's job leaves."""
    job.write(data.to_csv(index=False, na_rep="nan", lineterminator="\n"), COMPLETED, PROVENANCE, COST)

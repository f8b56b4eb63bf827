"""The matrix sensing sweep as a job: what it leaves under results/."""

import time

import torch

from sharpness import files, paths, provenance
from sharpness.problems.matrix_sensing import Run, Setting, sweep
from sharpness.study import SENSING_SEMANTICS, Study, sensing_id


def run_sensing(study: Study) -> None:
    """Run the sweep of the study and write its losses.csv and run.json."""
    torch.set_num_threads(1)
    started = time.monotonic()
    spec = dict(study.sensing)
    runs = [Run(method, rho if method != "gd" else 0.0) for method in spec["methods"] for rho in spec["rho"]]
    setting = Setting(**{key: spec[key] for key in Setting.__dataclass_fields__})
    losses = sweep(setting, list(dict.fromkeys(runs)), spec["draws"], seed=spec["seed"])

    folder = paths.sensing(study.scale, sensing_id(spec))
    files.write_text(folder / "losses.csv", losses.to_csv(index=False, float_format="%.9g", na_rep="nan"))
    run = {
        "sensing_id": folder.name,
        "spec": spec,
        "sensing_semantics": SENSING_SEMANTICS,
        "provenance": provenance.origin({"device": "cpu"}),
        "cost": provenance.cost(time.monotonic() - started),
        "sha256": files.sha256(folder / "losses.csv"),
    }
    files.write_json(folder / "run.json", run)

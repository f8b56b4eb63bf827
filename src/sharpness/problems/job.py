"""The optimisation problems as jobs: what they leave under results/."""

import time
from pathlib import Path

import pandas as pd
import torch

from sharpness import files, paths, provenance
from sharpness.errors import UserError
from sharpness.problems import single_neuron
from sharpness.problems.matrix_sensing import Run, Setting, sweep
from sharpness.study import NEURON_SEMANTICS, SENSING_SEMANTICS, Study, neuron_id, sensing_id


def run_sensing(study: Study) -> None:
    """Run the matrix sensing sweep of the study and write its losses.csv and run.json."""
    torch.set_num_threads(1)
    started = time.monotonic()
    spec = dict(study.sensing)
    runs = [Run(method, rho if method != "gd" else 0.0) for method in spec["methods"] for rho in spec["rho"]]
    setting = Setting(**{key: spec[key] for key in Setting.__dataclass_fields__})
    losses = sweep(setting, list(dict.fromkeys(runs)), spec["draws"], seed=spec["seed"])

    folder = paths.sensing(study.scale, sensing_id(spec))
    identity = {"sensing_id": folder.name, "spec": spec, "sensing_semantics": SENSING_SEMANTICS}
    _write(folder / "losses.csv", losses, identity, started)


def run_neuron(study: Study) -> None:
    """Run the single-neuron descents of the study and write their end_points.csv and run.json.

    Raises:
        UserError: a range of the study's neuron is empty.
    """
    started = time.monotonic()
    spec = dict(study.neuron)
    try:
        setting = single_neuron.Setting(**spec)
    except ValueError as error:
        raise UserError(f"config/study.yaml: neuron: {error}") from None
    ends = single_neuron.run(setting)

    folder = paths.neuron(study.scale, neuron_id(spec))
    identity = {"neuron_id": folder.name, "spec": spec, "neuron_semantics": NEURON_SEMANTICS}
    _write(folder / "end_points.csv", ends, identity, started)


def _write(path: Path, data: pd.DataFrame, identity: dict, started: float) -> None:
    """Write a job's data, then run.json beside it: what it is, where it came from, what it cost."""
    files.write_text(path, data.to_csv(index=False, float_format="%.9g", na_rep="nan"))
    run = {
        **identity,
        "provenance": provenance.origin({"device": "cpu"}),
        "cost": provenance.cost(time.monotonic() - started),
        "sha256": files.sha256(path),
    }
    files.write_json(path.parent / "run.json", run)

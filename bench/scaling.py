"""(e) What the workflow costs by the number of runs, epochs and cores."""

import os
import shutil
from contextlib import chdir
from pathlib import Path
from statistics import median

import numpy as np
import torch
import yaml
from measure import FEWEST_ROUNDS, machine, timed
from sandbox import clean_copy, run
from tables import markdown

from sharpness import paths, provenance
from sharpness.evidence.runs import METRICS, read_histories
from sharpness.jobs import COMPLETED
from sharpness.study import Study, load_study
from sharpness.training.history import history_text

SCALE = "bench"
TARGETS = {"planned": 10.0, "read": 1.0}


def measure(
    device: torch.device,
    runs: tuple[int, ...] = (2, 4, 8),
    epochs: tuple[int, ...] = (10, 40),
    cores: tuple[int, ...] | None = None,
    many: int = 1000,
) -> dict:
    """Time Snakemake on some training runs of the smoke scale's size, and on the plan of many.

    Args:
        device: of the runs, which decide it by themselves; here it only describes the machine.
        runs: numbers of runs, each of one epoch, on all cores.
        epochs: numbers of epochs, of the first number of runs, on all cores.
        cores: numbers of cores, with the largest number of runs; by default 1, and all are timed anyway.
        many: runs to plan, and histories to read.
    """
    about, everything = machine(device), os.cpu_count()
    cases = [(count, 1, everything) for count in runs]
    cases += [(runs[0], count, everything) for count in epochs]
    cases += [(runs[-1], 1, count) for count in cores or (1,)]
    with clean_copy() as folder:
        rows = [
            dict(zip(("runs", "epochs", "cores", "wall", "cpu"), (*case, *_train(folder, *case)), strict=True))
            for case in cases
        ]
        planned = _plan(folder, many)
        read = _read(folder)
    return {"machine": about, "targets": TARGETS, "rows": rows, "planned": planned, "read": read}


def tables(result: dict) -> dict[str, str]:
    rows = [
        [row["runs"], row["epochs"], row["cores"], f"{row['wall']:.1f}", f"{row['cpu']:.1f}"] for row in result["rows"]
    ]
    planned, read = result["planned"], result["read"]
    return {
        "scaling": markdown(["runs", "epochs", "cores", "wall (s)", "CPU (s)"], rows),
        "many_runs": markdown(
            ["many runs", "seconds", "target"],
            [
                [
                    f"{planned['runs']} runs planned (snakemake -n)",
                    f"{planned['seconds']:.1f}",
                    f"{TARGETS['planned']:g}",
                ],
                [f"{read['runs']} histories read", f"{read['seconds']:.2f}", f"{TARGETS['read']:g}"],
            ],
        ),
    }


def _write_scale(folder: Path, **settings) -> Study:
    """The smoke scale with other settings, as a scale of the copy."""
    scale = {"extends": "laptop", "title": "bench", "epochs": 2} | settings
    (folder / f"config/scales/{SCALE}.yaml").write_text(yaml.safe_dump(scale), encoding="utf-8")
    return load_study(SCALE, folder)


def _train(folder: Path, runs: int, epochs: int, cores: int) -> tuple[float, float]:
    study = _write_scale(folder, epochs=epochs, seeds=list(range(runs)))
    shutil.rmtree(folder / paths.results(SCALE), ignore_errors=True)
    chosen = [job for job in study.runs.values() if (job.spec["network"], job.spec["method"]) == ("wide_resnet", "sgd")]
    outputs = [str(job.data) for job in chosen]
    return run(folder, "snakemake", *outputs, "--cores", str(cores), "--config", f"scale={SCALE}")


def _plan(folder: Path, many: int) -> dict:
    """Seconds of a dry run of at least this many runs."""
    each = len(_write_scale(folder, seeds=[0]).runs)
    study = _write_scale(folder, seeds=list(range(-(-many // each))))
    seconds = median(
        run(folder, "snakemake", "-n", "--quiet", "--config", f"scale={SCALE}")[0] for _ in range(FEWEST_ROUNDS)
    )
    return {"runs": len(study.runs), "seconds": seconds}


def _read(folder: Path) -> dict:
    """Seconds of reading the histories of the scale that was planned last, 40 epochs each, here made up."""
    generator = np.random.default_rng(0)
    origin, cost = provenance.origin({"device": "cpu"}), provenance.cost(0.0)
    with chdir(folder):
        study = load_study(SCALE)
        jobs = list(study.runs.values())
        for job in jobs:
            history = [
                {"epoch": epoch, "learning_rate": 0.1, **dict(zip(METRICS, generator.random(4).tolist(), strict=True))}
                for epoch in range(1, 41)
            ]
            job.write(history_text(history), COMPLETED, origin, cost, epochs=40, classes=10, data_sha256="0" * 64)
        seconds = median(timed(lambda: read_histories(jobs)) for _ in range(FEWEST_ROUNDS))
    return {"runs": len(study.runs), "seconds": seconds}

"""MANIFEST.json: for each artifact of a scale its files' hashes, the runs that it rests on and what those cost.

It is written with the report, and covers the report's own files too. The resolved configuration is saved beside it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from sharpness import files, paths, provenance
from sharpness.config import read_config
from sharpness.errors import UserError
from sharpness.evidence import claims
from sharpness.study import (
    NEURON_SEMANTICS,
    SENSING_SEMANTICS,
    TRAINING_SEMANTICS,
    Study,
    neuron_id,
    published,
    sensing_id,
)

MANIFEST = "MANIFEST.json"
CONFIG = "config.yaml"


@dataclass(frozen=True)
class Job:
    """Something that the study computes.

    Attributes:
        folder: where it leaves its data and run.json; its name is the job's id.
        data: name of its data file there.
        spec: what defines it.
    """

    folder: Path
    data: str
    spec: dict


def jobs(study: Study) -> dict[str, Job]:
    """What the study computes at its scale, by id: its training runs, matrix sensing, the single neuron."""
    sweep, neuron = sensing_id(study.sensing), neuron_id(study.neuron)
    return {
        **{run_id: Job(paths.run(study.scale, run_id), "history.csv", spec) for run_id, spec in study.runs.items()},
        sweep: Job(paths.sensing(study.scale, sweep), "losses.csv", study.sensing),
        neuron: Job(paths.neuron(study.scale, neuron), "end_points.csv", study.neuron),
    }


def artifact_files(study: Study) -> dict[str, list[Path]]:
    """Every file of every artifact of the study: tables, figures, runs.csv and claims.csv."""
    drawn = {name: paths.artifact_files(study.scale, name) for name in study.artifacts}
    return drawn | {name: [paths.results(study.scale) / name] for name in ("runs.csv", "claims.csv")}


def artifact_jobs(study: Study, name: str) -> list[str]:
    """The ids of the jobs that an artifact rests on, in the study's order."""
    match name:
        case "runs.csv":
            return list(study.runs)
        case "claims.csv":
            return list(jobs(study))
    artifact = study.artifact(name)
    return [*artifact.run_ids, *([sensing_id(study.sensing)] if artifact.needs_sensing else [])]


def resolved_config(study: Study) -> dict:
    """All settings that decide the artifacts of the study's scale, as config/ gives them."""
    return {
        "scale": study.scale,
        "settings": study.settings,
        "training": study.training,
        "methods": study.methods,
        "sensing": study.sensing,
        "neuron": study.neuron,
        "artifacts": {name: artifact.settings for name, artifact in study.artifacts.items()},
        "published": published(),
        "claims": read_config(claims.CLAIMS, claims.SCHEMA),
        "semantics": {"training": TRAINING_SEMANTICS, "sensing": SENSING_SEMANTICS, "neuron": NEURON_SEMANTICS},
    }


def config_text(study: Study) -> str:
    """The resolved configuration as YAML."""
    return yaml.safe_dump(resolved_config(study), sort_keys=False, allow_unicode=True)


def build(study: Study) -> dict:
    """The manifest of the study's artifacts as they lie on disk.

    A job that has left nothing that can be read is left out; `verify` names it.

    Returns:
        scale; config (path, sha256); commit, dirty and versions of the tree that gathers; environments (the machines
        and versions that the jobs ran on); jobs by id (files with their SHA-256, status, commit, dirty, environment as
        an index into environments, cost); artifacts by name (files with their SHA-256, ids of their jobs, cost).

    Raises:
        UserError: a file of an artifact is missing.
    """
    left = {identity: (job, run) for identity, job in jobs(study).items() if (run := _read_run(job))}
    runs = {identity: run for identity, (_, run) in left.items()}
    environments = {identity: _environment(run) for identity, run in runs.items()}
    distinct = list({json.dumps(environment): environment for environment in environments.values()}.values())
    recorded = {
        identity: {
            "files": _hashes(path for path in (job.folder / job.data, job.folder / "run.json") if path.is_file()),
            "status": run.get("status", "completed"),
            "commit": run["provenance"]["commit"],
            "dirty": run["provenance"]["dirty"],
            "environment": distinct.index(environments[identity]),
            "cost": run["cost"],
        }
        for identity, (job, run) in left.items()
    }
    return {
        "scale": study.scale,
        "config": {
            "path": str(paths.results(study.scale) / CONFIG),
            "sha256": hashlib.sha256(config_text(study).encode()).hexdigest(),
        },
        **provenance.commit(),
        "versions": provenance.versions(),
        "environments": distinct,
        "jobs": recorded,
        "artifacts": {
            name: {
                "files": _hashes(artifact),
                "jobs": [identity for identity in artifact_jobs(study, name) if identity in recorded],
                "cost": total_cost(runs[identity] for identity in artifact_jobs(study, name) if identity in runs),
            }
            for name, artifact in artifact_files(study).items()
        },
        "cost": total_cost(runs.values()),
    }


def write(study: Study, manifest: dict, report: list[Path]) -> None:
    """Write a manifest, with the hashes of the report's files added, and the resolved configuration beside it."""
    files.write_text(paths.results(study.scale) / CONFIG, config_text(study))
    files.write_json(paths.results(study.scale) / MANIFEST, {**manifest, "report": {"files": _hashes(report)}})


def total_cost(runs: Iterable[dict]) -> dict:
    """What some jobs (their run.json) cost together: seconds are sums, memory is the largest of any job."""
    runs = list(runs)
    costs = [run["cost"] for run in runs]
    return {
        "jobs": len(runs),
        "seconds": round(sum(cost["seconds"] for cost in costs), 3),
        "cpu_seconds": round(sum(cost["cpu_seconds"] for cost in costs), 3),
        "gpu_seconds": round(sum(run["cost"]["seconds"] for run in runs if run["provenance"]["device"] != "cpu"), 3),
        "peak_memory_mb": max((cost["peak_memory_mb"] for cost in costs), default=0.0),
        "peak_gpu_memory_mb": max((cost["peak_gpu_memory_mb"] for cost in costs), default=0.0),
    }


def _read_run(job: Job) -> dict | None:
    try:
        run = json.loads((job.folder / "run.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return run if isinstance(run, dict) and run.keys() >= {"provenance", "cost"} else None


def _environment(run: dict) -> dict:
    return {key: value for key, value in run["provenance"].items() if key not in ("commit", "dirty")}


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    hashes = {}
    for path in paths:
        try:
            hashes[str(path)] = files.sha256(path)
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; make it first (snakemake --cores all makes all of them)") from None
    return hashes

"""MANIFEST.json: for each artifact of a scale its files' hashes, the jobs that it depends on and what those cost.

It is written with the report, and covers the report's own files too. The resolved configuration is saved beside it.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import yaml

from sharpness import files, paths, provenance, records
from sharpness.errors import UserError
from sharpness.jobs import Job
from sharpness.study import Study


def artifact_files(study: Study) -> dict[str, list[Path]]:
    """Every file of every artifact of the study: tables, figures, runs.csv and claims.csv."""
    drawn = {name: artifact.files(study.scale) for name, artifact in study.artifacts.items()}
    return drawn | {path.name: [path] for path in (paths.runs(study.scale), paths.claims(study.scale))}


def artifact_jobs(study: Study, name: str) -> list[Job]:
    """The jobs that an artifact depends on, in the study's order."""
    if name == paths.runs(study.scale).name:
        return list(study.runs.values())
    if name == paths.claims(study.scale).name:
        return list(study.jobs.values())
    return study.artifact(name).jobs(study)


def config_text(study: Study) -> str:
    """All settings that decide the artifacts of the study's scale, as YAML."""
    return yaml.safe_dump(study.resolved(), sort_keys=False, allow_unicode=True)


def build(study: Study) -> dict:
    """The manifest of the study's artifacts as they are on disk.

    A job that has left nothing that can be read is left out; `verify` names it.

    Returns:
        scale; config (path, sha256); commit, dirty and versions of the tree that gathers; environments (the machines
        and versions that the jobs ran on); jobs by id (files with their SHA-256, status, commit, dirty, environment as
        an index into environments, cost); artifacts by name (files with their SHA-256, ids of their jobs, cost).

    Raises:
        UserError: a file of an artifact is missing.
    """
    runs = {job.id: run for job in study.jobs.values() if (run := _read_run(job))}
    environments = {identity: _environment(run) for identity, run in runs.items()}
    distinct = list({json.dumps(environment): environment for environment in environments.values()}.values())
    return {
        "scale": study.scale,
        "config": {
            "path": str(paths.config(study.scale)),
            "sha256": hashlib.sha256(config_text(study).encode()).hexdigest(),
        },
        **provenance.commit(),
        "versions": provenance.versions(),
        "environments": distinct,
        "jobs": {
            identity: {
                "files": _hashes(path for path in study.jobs[identity].files if path.is_file()),
                "status": run["status"],
                "commit": run["provenance"]["commit"],
                "dirty": run["provenance"]["dirty"],
                "environment": distinct.index(environments[identity]),
                "cost": run["cost"],
            }
            for identity, run in runs.items()
        },
        "artifacts": {name: _artifact(study, name, runs) for name in artifact_files(study)},
        "cost": total_cost(runs.values()),
    }


def write(study: Study, manifest: dict, report: list[Path]) -> None:
    """Write a manifest, with the hashes of the report's files added, and the resolved configuration beside it."""
    files.write_text(paths.config(study.scale), config_text(study))
    records.write(paths.manifest(study.scale), {**manifest, "report": {"files": _hashes(report)}})


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


def _artifact(study: Study, name: str, runs: dict[str, dict]) -> dict:
    known = [job.id for job in artifact_jobs(study, name) if job.id in runs]
    cost = total_cost(runs[identity] for identity in known)
    return {"files": _hashes(artifact_files(study)[name]), "jobs": known, "cost": cost}


def _read_run(job: Job) -> dict | None:
    try:
        return records.parse(job.run.read_bytes(), records.RUN, sealed=False)
    except (OSError, ValueError):
        return None


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

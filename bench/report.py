"""(d) A scale's report from clean: wall time, how busy the cores were, where the time went; what is quick after it."""

import json
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import torch
from measure import machine
from pictures import digits, images_on_device
from sandbox import clean_copy, run, watched_cores
from tables import markdown
from workloads import sam_spec

from sharpness.study import load_study
from sharpness.training import loop
from sharpness.training.checkpoint import CheckpointFile

# Seconds that a command may take once everything is there.
COMMANDS = {
    "sharpness --help": ("sharpness", ["--help"], 0.3),
    "snakemake -n, nothing to do": ("snakemake", ["-n", "--quiet", "--config", "scale={scale}"], 3.0),
    "one figure redrawn": ("sharpness", ["figure", "figure1", "--scale", "{scale}"], None),
}
TARGETS = {"wall": 240.0, "busy": 0.9}
REPEATS = 5


def measure(device: torch.device, scale: str = "laptop") -> dict:
    """Make a scale's report in a clean copy of the project, on all cores.

    Args:
        device: of the runs, which decide it by themselves; here it only describes the machine.
        scale: whose report.
    """
    about = machine(device)
    cores = os.cpu_count()
    with clean_copy() as folder:
        with watched_cores() as cpu_seconds:
            wall, cpu = run(folder, "snakemake", "--cores", str(cores), "--config", f"scale={scale}")
        jobs = _jobs(folder)
        with chdir(folder):
            study = load_study(scale)
            runs = {job.id: job.read() for job in study.runs.values()}
        commands = {
            title: _median_seconds(folder, module, [part.format(scale=scale) for part in arguments])
            for title, (module, arguments, _) in COMMANDS.items()
        }
    training = [job for job in jobs if job["rule"] == "train"]
    begun, ended = min(job["start"] for job in training), max(job["end"] for job in training)
    phase_cpu = np.diff(np.interp([begun, ended], *zip(*cpu_seconds, strict=True))).item()
    phase = ended - begun
    in_runs = sum(entry["cost"]["seconds"] for entry in runs.values())
    testing, saving = _shares(device)
    parts = {
        "starting training jobs": _total(training) - in_runs,
        "training": in_runs * (1 - testing - saving),
        "testing": in_runs * testing,
        "checkpoints": in_runs * saving,
        "toy problems": _total(job for job in jobs if job["rule"] == "compute"),
        "tables, figures, claims, report": _total(job for job in jobs if job["rule"] not in ("train", "compute")),
    }
    parts["Snakemake, idle cores"] = wall * cores - sum(parts.values())
    return {
        "machine": about,
        "scale": scale,
        "targets": TARGETS,
        "runs": len(runs),
        "wall": wall,
        "busy": cpu / (wall * cores),
        "training_phase": phase,
        "training_busy": phase_cpu / (phase * cores),
        "training_runs": sum(entry["cost"]["cpu_seconds"] for entry in runs.values()) / (phase * cores),
        "parts": parts,
        "commands": commands,
    }


def tables(result: dict) -> dict[str, str]:
    whole = sum(result["parts"].values())
    parts = [[title, f"{seconds:.0f}", f"{seconds / whole:.1%}"] for title, seconds in result["parts"].items()]
    targets = {title: target for title, (*_, target) in COMMANDS.items()}
    return {
        "report": markdown(
            [
                "from clean",
                "runs",
                "cores",
                "wall (s)",
                "target",
                "cores busy",
                "training phase (s)",
                "cores busy in it",
                "target",
                "in its runs alone",
            ],
            [
                [
                    f"{result['scale']} scale",
                    result["runs"],
                    result["machine"]["cores"],
                    f"{result['wall']:.0f}",
                    f"{TARGETS['wall']:g}",
                    f"{result['busy']:.0%}",
                    f"{result['training_phase']:.0f}",
                    f"{result['training_busy']:.0%}",
                    f"{TARGETS['busy']:.0%}",
                    f"{result['training_runs']:.0%}",
                ]
            ],
        ),
        "report_parts": markdown(["where the time goes", "core-seconds", "share"], parts),
        "commands": markdown(
            ["command, everything there", "seconds", "target"],
            [
                [title, f"{seconds:.2f}", f"{targets[title]:g}" if targets[title] else ""]
                for title, seconds in result["commands"].items()
            ],
        ),
    }


def _jobs(folder: Path) -> list[dict]:
    """Rule, start and end of every job, as Snakemake recorded them with each of its outputs."""
    jobs: dict[int, dict] = {}
    for path in (folder / ".snakemake/metadata").iterdir():
        record = json.loads(path.read_text())
        start, end = record["starttime"], record["endtime"]
        job = jobs.setdefault(record["job_hash"], {"rule": record["rule"], "start": start, "end": end})
        job |= {"start": min(job["start"], start), "end": max(job["end"], end)}
    return list(jobs.values())


def _total(jobs) -> float:
    return sum(job["end"] - job["start"] for job in jobs)


def _median_seconds(folder: Path, module: str, arguments: list[str]) -> float:
    return median(run(folder, module, *arguments)[0] for _ in range(REPEATS))


def _shares(device: torch.device, epochs: int = 10) -> tuple[float, float]:
    """Which parts of a laptop run's time testing and saving checkpoints take."""
    spec = sam_spec() | {"epochs": epochs}
    data = images_on_device(digits(), spec, device)
    spent = {"testing": 0.0, "saving": 0.0}

    def watched(part: str, function: Callable) -> Callable:
        def call(*arguments):
            started = time.perf_counter()
            result = function(*arguments)
            spent[part] += time.perf_counter() - started
            return result

        return call

    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(loop, "evaluate", watched("testing", loop.evaluate)),
        mock.patch.object(CheckpointFile, "save", watched("saving", CheckpointFile.save)),
    ):
        outcome = loop.train(spec, data, device, CheckpointFile(Path(folder) / "checkpoint", {"run_id": "bench"}))
    return spent["testing"] / outcome.seconds, spent["saving"] / outcome.seconds

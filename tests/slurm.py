"""The workflow on a real Slurm cluster of one node: the results are those of this machine alone, killed jobs or not.

`make test-slurm` runs it. The node has two CPUs, and two "GPUs" that only Slurm believes in: runs compute on the CPU.
"""

import io
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import projects
import psutil
import pytest
import torch
from slurm_cluster import Cluster, obstacle, running, wait_for

from sharpness import paths
from sharpness.study import load_study
from sharpness.training.checkpoint import CheckpointFile

ON_SLURM = (
    *("--workflow-profile", "profiles/slurm"),
    *("--slurm-status-command", "squeue"),  # the cluster keeps no accounts
    *("--slurm-init-seconds-before-status-checks", "5"),
)
LIMIT = 300  # seconds for one call of Snakemake
DAY = 86400.0

pytestmark = [pytest.mark.skipif(bool(obstacle()), reason=str(obstacle())), pytest.mark.timeout(4 * LIMIT)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A cluster, whose log of its jobs is printed in the end."""
    with running(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster
        log = (cluster.folder / "slurmctld.log").read_text().splitlines()
    with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print("", *(line for line in log if "JobId=" in line), sep="\n")


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path]:
    """Two copies of the project: for the cluster, and for this machine alone."""
    return projects.copy(tmp_path / "cluster"), projects.copy(tmp_path / "alone")


def test_tiny_runs_share_jobs_and_give_the_local_results(cluster: Cluster, copies: tuple[Path, Path]):
    on_slurm, alone = copies
    study = load_study("smoke", alone)
    targets = [paths.runs("smoke"), *(file for job in study.problems.values() for file in job.files)]
    grouped = ["--groups", "train=tiny", "--group-components", "tiny=6"]
    asked = ["--set-resources", "train:runtime=5", "train:gpu=1"]  # the cluster hands out a GPU; the run uses the CPU
    with workflow(cluster, on_slurm, "smoke", targets, *grouped, *asked):
        pass
    trained = [["train", "--run", run_id, "--device", "cpu"] for run_id in study.runs]
    computed = [["compute", "--job", job.id] for job in study.problems.values()]
    execute(alone, "smoke", [*trained, *computed, ["runs"]])

    assert tables(on_slurm, "smoke") == tables(alone, "smoke")
    jobs = jobs_of(cluster, "tiny")
    assert len(jobs) == math.ceil(len(study.runs) / 6)
    assert {job["gpus"] for job in jobs} == {"gres:gpu:1"}
    assert [job["gpus"] for job in jobs_of(cluster, "compute")] == ["N/A"] * len(study.problems)


def test_killed_runs_continue_and_give_the_local_results(cluster: Cluster, copies: tuple[Path, Path]):
    on_slurm, alone = copies
    for project in copies:
        lengthen(project)
    runs = {run_id: job for run_id, job in load_study("long", alone).runs.items() if is_chosen(job.spec)}
    targets = [job.data for job in runs.values()]
    checkpoints = {run_id: on_slurm / job.checkpoint for run_id, job in runs.items()}

    with workflow(cluster, on_slurm, "long", targets):
        preempted = wait_for(lambda: next((run for run in runs if checkpoints[run].exists()), None), 90, "a checkpoint")
        cluster.command("scontrol", "requeue", jobs_of(cluster, preempted)[0]["id"])
        crashed = next(run_id for run_id in runs if run_id != preempted)
        wait_for(checkpoints[crashed].exists, 90, "the other run's checkpoint")
        training(cluster, crashed)[0].kill()
        for run_id in crashed, preempted:
            wait_for(lambda run_id=run_id: not training(cluster, run_id), 20, f"the end of {run_id}")
            mark(checkpoints[run_id])
    execute(alone, "long", [["train", "--run", run_id, "--device", "cpu"] for run_id in runs])

    assert tables(on_slurm, "long") == tables(alone, "long")
    for job in runs.values():
        record = json.loads((on_slurm / job.run).read_text())
        assert record["cost"]["seconds"] > DAY
    assert [job["restarts"] for job in jobs_of(cluster, preempted)] == ["1"]
    assert sorted(job["state"] for job in jobs_of(cluster, crashed)) == ["COMPLETED", "FAILED"]
    assert {job["gpus"] for run_id in runs for job in jobs_of(cluster, run_id)} == {"N/A"}


@contextmanager
def workflow(cluster: Cluster, project: Path, scale: str, targets: list[Path], *options: str) -> Iterator[None]:
    """Run the workflow on the cluster beside this context and to its end; print its log, which a failing test shows."""
    call = ["snakemake", *ON_SLURM, *options, "--config", f"scale={scale}", "device=cpu", "--", *map(str, targets)]
    with (project / "snakemake.log").open("w+") as log:
        process = subprocess.Popen(call, cwd=project, env=cluster.environment, stdout=log, stderr=log)
        try:
            yield
            process.wait(timeout=LIMIT)
        finally:
            process.kill()
            log.seek(0)
            print(log.read())
    assert process.returncode == 0


def execute(project: Path, scale: str, commands: list[list[str]]) -> None:
    """Execute `sharpness` commands at a scale here, in one process: importing torch takes longer than a smoke run."""
    script = "import json, sys; from sharpness.cli import main; sys.exit(any(map(main, json.loads(sys.argv[1]))))"
    calls = [[*command, "--scale", scale] for command in commands]
    done = projects.run(project, sys.executable, "-c", script, json.dumps(calls))
    assert done.returncode == 0, done.stdout


def tables(project: Path, scale: str) -> dict[str, bytes]:
    """Every CSV file of a scale's results."""
    folder = project / paths.results(scale)
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.csv")}


def lengthen(project: Path) -> None:
    """Add the scale "long": the smoke scale with epochs enough to be hit in the middle."""
    scales = project / "config/scales"
    shutil.copy(scales / "smoke.yaml", scales / "long.yaml")
    projects.edit(scales / "long.yaml", lambda settings: settings.update(epochs=20))


def is_chosen(spec: dict) -> bool:
    return spec["network"] == "wide_resnet" and spec["method"] == "sam" and spec["rho"] == 0.05


def jobs_of(cluster: Cluster, name: str) -> list[dict[str, str]]:
    """The jobs of a rule, a group or a run."""
    return [job for job in cluster.jobs() if name in job["comment"]]


def training(cluster: Cluster, run_id: str) -> list[psutil.Process]:
    """The process that trains the run, if there is one."""
    found = []
    for process in cluster.processes():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if "sharpness" in words[:3] and run_id in words:
            found.append(process)
    return found


def mark(checkpoint: Path) -> None:
    """Add a day to the time that the checkpoint's run has taken so far: a run that continues from it will report it."""
    payload = checkpoint.read_bytes().partition(b"\n")[2]
    file = CheckpointFile(checkpoint, torch.load(io.BytesIO(payload), weights_only=True)["identity"])
    state = file.load()
    file.save({**state, "seconds": state["seconds"] + DAY})

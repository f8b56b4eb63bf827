"""Full fault injection, by `make test-faults`: 52 kills or more at random instants, and the same results in the end.

A report quotes what its runs have cost; so each is compared with what an unbroken command makes of the same runs. The
instants come from a seed that is printed; SHARPNESS_FAULT_SEED repeats them. Each resumption of a run may start no
epoch before the one that was under way.
"""

import json
import random
import shutil
import time
from collections import defaultdict
from pathlib import Path

import projects
import pytest
from test_pipeline import clone, results
from test_resume import KINDS, Unbroken, instants, train_with_kills

from sharpness import paths
from sharpness.study import load_study

pytestmark = pytest.mark.timeout(3600)

SNAKEMAKE = ("snakemake", "--cores", "2", "--config", "scale=smoke")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    return Unbroken(tmp_path_factory.mktemp("unbroken") / "project", epochs=14)


def kill_training(unbroken: Unbroken, kind: str, folder: Path, kills: int, event: str, within: float) -> None:
    """Train a run again and again until it was killed so many times; each time it must end as the unbroken one."""
    chance, done = instants(), 0
    while done < kills:
        project = unbroken.fresh(folder / str(done) / "project")
        done += train_with_kills(project, unbroken.jobs[unbroken.runs[kind]], kills - done, chance, event, within)
        unbroken.assert_complete(project, unbroken.runs[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_ten_kills_in_training(unbroken, tmp_path, kind):
    kill_training(unbroken, kind, tmp_path, 10, "epoch", within=0.5)


def test_twelve_kills_while_checkpoints_are_written(unbroken, tmp_path):
    kill_training(unbroken, "BatchNorm and SAM", tmp_path, 12, "checkpoint", within=0.006)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the smoke scale, at four epochs, has been run without a break."""
    folder = clone(tmp_path_factory.mktemp("finished") / "project")
    projects.note_events(folder)
    projects.edit(folder / "config/scales/smoke.yaml", lambda scale: scale.update(epochs=4))
    done = projects.run(folder, *SNAKEMAKE)
    assert done.returncode == 0, done.stdout
    return folder


def run_with_kills(folder: Path, kills: int, chance: random.Random, within: float) -> int:
    """Run the pipeline to its end, with kill -9 of everything up to so many times, each within so many seconds.

    Returns:
        How many kills there were.
    """
    for count in range(kills):
        process = projects.start(folder, *SNAKEMAKE, EVENTS=str(folder / "events"))
        end = time.monotonic() + chance.uniform(2, within)
        while time.monotonic() < end and process.poll() is None:
            time.sleep(0.01)
        ended = process.poll() is not None
        output = projects.kill_pipeline(process, folder)
        if ended:
            assert process.returncode == 0, output
            return count
    done = projects.run(folder, *SNAKEMAKE, EVENTS=str(folder / "events"))
    assert done.returncode == 0, done.stdout
    return kills


def assert_same(folder: Path, finished: Path) -> None:
    """The results are those of the unbroken pipeline, the report too, and nothing half-written lies beside them."""
    assert results(folder) == results(finished)
    names = {name for name in projects.files(folder / "results/smoke") if "/logs/" not in f"/{name}"}
    assert names == {name for name in projects.files(finished / "results/smoke") if "/logs/" not in f"/{name}"}
    assert set(projects.files(folder / "figures")) == set(projects.files(finished / "figures"))
    assert report(folder) == report(at_the_cost_of(folder, finished))


def report(folder: Path) -> dict[Path, bytes]:
    """The report, its manifest and its configuration."""
    made = [*paths.report("smoke"), paths.manifest("smoke"), paths.config("smoke")]
    return {path: (folder / path).read_bytes() for path in made}


def at_the_cost_of(folder: Path, finished: Path) -> Path:
    """A copy of the unbroken pipeline in which each job has cost what it cost in `folder`, with its report made anew.

    Cost, the clock in it, and the seal over them are all in which the run.json of the two may differ.
    """
    same = folder.parent / "at the same cost"
    shutil.copytree(finished, same)
    for run in same.glob("results/smoke/*/*/run.json"):
        killed = folder / run.relative_to(same)
        assert without_cost(killed) == without_cost(run)
        shutil.copy2(killed, run)
    for path in report(same):
        (same / path).unlink()
    done = projects.run(same, "python", "-m", "sharpness", "report", "--scale", "smoke")
    assert done.returncode == 0, done.stdout
    return same


def without_cost(run: Path) -> dict:
    return {key: value for key, value in json.loads(run.read_bytes()).items() if key not in ("cost", "seal")}


def test_ten_kills_over_the_whole_pipeline(finished, tmp_path):
    chance, kills = instants(), 0
    while kills < 10:
        folder = tmp_path / str(kills) / "project"
        shutil.copytree(finished, folder, ignore=shutil.ignore_patterns("smoke", ".snakemake"))
        kills += run_with_kills(folder, 10 - kills, chance, within=20)
        assert_same(folder, finished)
        epochs = defaultdict(list)
        for epoch, run_id in projects.events(folder / "events", "epoch"):
            epochs[run_id].append(epoch)
        assert all(started == sorted(started) for started in epochs.values()), "no epoch before the one under way"
        for run_id, job in load_study("smoke", folder).runs.items():
            trained = json.loads((folder / job.run).read_text(encoding="utf-8"))["epochs"]
            assert set(epochs[run_id]) == set(range(1, trained + 1))


def test_ten_kills_over_aggregation_and_report(finished, tmp_path):
    chance, kills = instants(), 0
    while kills < 10:
        folder = tmp_path / str(kills) / "project"
        shutil.copytree(finished, folder)
        for place in ("figures/smoke", "results/smoke/tables", "results/smoke/logs"):
            shutil.rmtree(folder / place)
        for file in [*folder.glob("results/smoke/*.*"), *paths.report("smoke")]:
            (folder / file).unlink(missing_ok=True)
        kills += run_with_kills(folder, 10 - kills, chance, within=12)
        assert_same(folder, finished)
        assert not projects.events(folder / "events", "epoch"), "nothing is trained again"

"""A run that is killed, stopped or met by a strange checkpoint ends as the unbroken run does, byte for byte."""

import hashlib
import os
import pickle
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import projects
import pytest
import torch

from sharpness import paths, records
from sharpness.training.checkpoint import CheckpointFile

EPOCHS = 6
SEED = random.SystemRandom().randrange(10**6)  # of the instants; set it by SHARPNESS_FAULT_SEED to repeat a test's
KINDS = {
    "BatchNorm and SAM": {"network": "wide_resnet", "method": "sam", "rho": 0.05},
    "Dropout and ASAM": {"network": "vgg", "method": "asam"},
}


def instants() -> random.Random:
    seed = int(os.environ.get("SHARPNESS_FAULT_SEED", SEED))
    print(f"SHARPNESS_FAULT_SEED={seed}")
    return random.Random(seed)


class Unbroken:
    """A project in which runs of a few epochs have been trained without a break.

    Attributes:
        folder: the project.
        runs: the run_id of each kind.
        histories: what history.csv holds, by run_id.
    """

    def __init__(self, folder: Path, epochs: int = EPOCHS):
        self.folder = projects.copy(folder)
        projects.edit(folder / "config/scales/smoke.yaml", lambda scale: scale.update(epochs=epochs))
        self.runs = {kind: projects.find_run(folder, **values) for kind, values in KINDS.items()}
        self.histories = {}
        for run_id in self.runs.values():
            done = projects.run(folder, *projects.train(run_id))
            assert done.returncode == 0, done.stdout
            self.histories[run_id] = (folder / paths.run("smoke", run_id) / "history.csv").read_bytes()

    def fresh(self, folder: Path) -> Path:
        """The same project with its data prepared and nothing trained."""
        return Path(shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("results")))

    def assert_complete(self, folder: Path, run_id: str) -> None:
        """In `folder`, the run is complete, equal to the unbroken one, and has left nothing beside its two files."""
        assert (folder / paths.run("smoke", run_id) / "history.csv").read_bytes() == self.histories[run_id]
        records.read_run(folder / paths.run("smoke", run_id))
        left = {path for path in projects.files(folder / "results") if not path.endswith(".unusable")}
        assert left == {f"smoke/runs/{run_id}/history.csv", f"smoke/runs/{run_id}/run.json"}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    return Unbroken(tmp_path_factory.mktemp("unbroken") / "project")


def events(file: Path) -> list[str]:
    """What a noting process has noted so far."""
    return file.read_text(encoding="ascii").splitlines() if file.exists() else []


def train_with_kills(folder: Path, run_id: str, kills: int, chance: random.Random, event: str, within: float) -> int:
    """Train a run, killed as often; each time at a random instant within so many seconds of an event of its own.

    Checks that each resumption starts no epoch before the one that was under way.

    Returns:
        How many kills there were: the run may be complete before.
    """
    noted = folder / "events"
    under_way = 1
    for count in range(kills + 1):
        noted.unlink(missing_ok=True)
        process = projects.start(folder, *projects.train(run_id, noting=True), EVENTS=str(noted))
        at = chance.randint(1, 2)
        if count < kills and projects.wait_for(lambda at=at: sum(map(event.__eq__, kinds(noted))) >= at, process):
            time.sleep(chance.uniform(0, within))
            projects.kill(process)
        output, _ = process.communicate() if process.stdout and not process.stdout.closed else ("", None)
        started = [int(line.split()[1]) for line in events(noted) if line.startswith("epoch")]
        if started:
            assert started[0] >= under_way, "more than the epoch that was under way is repeated"
            under_way = started[-1]
        if process.returncode == 0:
            return count
        assert process.returncode == -signal.SIGKILL, output
    raise AssertionError("the last start is not killed")


def kinds(noted: Path) -> list[str]:
    return [line.split()[0] for line in events(noted)]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_anywhere_the_run_ends_as_the_unbroken_one(unbroken, tmp_path, kind):
    folder, run_id = unbroken.fresh(tmp_path / "project"), unbroken.runs[kind]
    assert train_with_kills(folder, run_id, 3, instants(), event="epoch", within=0.3) > 0
    (folder / "events").unlink()
    unbroken.assert_complete(folder, run_id)


def test_killed_while_a_checkpoint_is_written_the_run_ends_as_the_unbroken_one(unbroken, tmp_path):
    folder, run_id = unbroken.fresh(tmp_path / "project"), unbroken.runs["BatchNorm and SAM"]
    assert train_with_kills(folder, run_id, 3, instants(), event="checkpoint", within=0.006) > 0
    unbroken.assert_complete(folder, run_id)

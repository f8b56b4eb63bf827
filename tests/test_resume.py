"""A run that is killed, stopped or met by an unexpected checkpoint ends as the unbroken run does, byte for byte."""

import contextlib
import hashlib
import math
import os
import pickle
import random
import shutil
import signal
import time
from pathlib import Path

import projects
import pytest
import torch

from sharpness import files
from sharpness.datasets import prepare
from sharpness.jobs import Job
from sharpness.study import load_study
from sharpness.training import checkpoint as checkpoint_module
from sharpness.training import loop
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.data import load_data
from sharpness.training.device import configure
from sharpness.training.history import history_text
from sharpness.training.loop import train
from sharpness.training.process import Interrupted, StopRequest

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
        runs: the id of each kind's run.
        jobs: the runs, by id.
        histories: what history.csv has, by id.
    """

    def __init__(self, folder: Path, epochs: int = EPOCHS):
        self.folder = projects.copy(folder)
        projects.note_events(folder)
        projects.edit(folder / "config/scales/smoke.yaml", lambda scale: scale.update(epochs=epochs))
        self.runs = {kind: projects.find_run(folder, **values) for kind, values in KINDS.items()}
        self.jobs = load_study("smoke", folder).runs
        self.histories = {}
        for run_id in self.runs.values():
            done = projects.run(folder, *projects.train(run_id))
            assert done.returncode == 0, done.stdout
            self.histories[run_id] = (folder / self.jobs[run_id].data).read_bytes()

    def fresh(self, folder: Path) -> Path:
        """The same project with its data prepared and nothing trained."""
        return Path(shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("results")))

    def assert_complete(self, folder: Path, run_id: str) -> None:
        """In `folder`, the run is complete, equal to the unbroken one, and has left nothing beside its two files."""
        job = self.jobs[run_id]
        assert (folder / job.data).read_bytes() == self.histories[run_id]
        with contextlib.chdir(folder):
            job.read()
        left = {path for path in projects.files(folder / "results") if not path.endswith(".unusable")}
        assert left == {str(file.relative_to("results")) for file in job.files}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    return Unbroken(tmp_path_factory.mktemp("unbroken") / "project")


def train_with_kills(folder: Path, job: Job, kills: int, chance: random.Random, event: str, within: float) -> int:
    """Train a run, killed up to so many times: each at a random instant within `within` seconds of one of its events.

    Checks that each resumption starts no epoch before the one that was under way.

    Returns:
        How many kills there were; the run may have been complete before the last.
    """
    under_way = 1
    for count in range(kills + 1):
        noted = folder.parent / f"events{count}"
        process = projects.start(folder, *projects.train(job.id), EVENTS=str(noted))
        at = chance.randint(1, 3)
        if count < kills and projects.wait_for(lambda: len(projects.events(noted, event)) >= at, process):  # noqa: B023
            time.sleep(chance.uniform(0, within))
            projects.kill(process)
        output, _ = process.communicate()
        if epochs := projects.events(noted, "epoch"):
            assert epochs[0][0] >= under_way, "no more than the epoch that was under way is repeated"
            under_way = epochs[-1][0]
        assert process.returncode in (0, -signal.SIGKILL), output
        if (folder / job.run).exists():
            return count
    raise AssertionError("the last start was not killed, and yet the run is not complete")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_anywhere_ends_as_the_unbroken_one(unbroken, tmp_path, kind):
    folder, run_id = unbroken.fresh(tmp_path / "project"), unbroken.runs[kind]
    assert train_with_kills(folder, unbroken.jobs[run_id], 2, instants(), event="epoch", within=0.3) > 0
    unbroken.assert_complete(folder, run_id)


def test_a_run_killed_while_it_writes_checkpoints_ends_as_the_unbroken_one(unbroken, tmp_path):
    folder, run_id = unbroken.fresh(tmp_path / "project"), unbroken.runs["BatchNorm and SAM"]
    assert train_with_kills(folder, unbroken.jobs[run_id], 3, instants(), event="checkpoint", within=0.006) > 0
    unbroken.assert_complete(folder, run_id)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_in_mid_epoch_and_says_so(unbroken, tmp_path, number):
    folder, run_id, chance = unbroken.fresh(tmp_path / "project"), unbroken.runs["Dropout and ASAM"], instants()
    noted = tmp_path / "events"
    process = projects.start(folder, *projects.train(run_id), EVENTS=str(noted))
    assert projects.wait_for(lambda: len(projects.events(noted, "epoch")) >= 2, process)
    time.sleep(chance.uniform(0, 0.1))
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, output
    assert output == f"sharpness: {run_id}: stopped by {number.name}; run again to continue\n"
    stopped_in = projects.events(noted, "epoch")[-1]
    noted.unlink()
    resumed = projects.run(folder, *projects.train(run_id), EVENTS=str(noted))
    assert resumed.returncode == 0, resumed.stdout
    assert projects.events(noted, "epoch")[0] == stopped_in
    unbroken.assert_complete(folder, run_id)


def test_a_hangup_stays_ignored_where_nohup_has_it_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            signal.raise_signal(signal.SIGHUP)
            assert stop.signal is None
            signal.raise_signal(signal.SIGTERM)
            assert stop.signal == signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)


def test_two_processes_that_train_one_run_do_each_other_no_harm(unbroken, tmp_path):
    folder, run_id = unbroken.fresh(tmp_path / "project"), unbroken.runs["BatchNorm and SAM"]
    both = [projects.start(folder, *projects.train(run_id)) for _ in range(2)]
    for process in both:
        output, _ = process.communicate()
        assert process.returncode == 0, output
    unbroken.assert_complete(folder, run_id)


def test_a_checkpoint_follows_every_epoch_but_the_last(tmp_path, monkeypatch):
    study = load_study("smoke", projects.ROOT)
    spec = study.runs[projects.find_run(projects.ROOT, **KINDS["Dropout and ASAM"])].spec | {"epochs": 5}
    data = load_data(prepare(study.settings["dataset"], tmp_path), spec, torch.device("cpu"))
    saved = []
    monkeypatch.setattr(
        CheckpointFile, "save", lambda self, state: saved.append((len(state["history"]), state["done"]))
    )
    train(spec, data, torch.device("cpu"), CheckpointFile(tmp_path / "run.pt", {"id": "run"}))
    assert saved == [(1, 0), (2, 0), (3, 0), (4, 0)]


# --- one process, stopped after every batch


class StopAtOnce(StopRequest):
    def __enter__(self) -> "StopAtOnce":
        self.signal = signal.SIGTERM
        return self

    def __exit__(self, *arguments: object) -> None:
        pass


ON_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=ON_GPU)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stopped_after_every_batch_is_the_same_run(tmp_path, monkeypatch, kind, device):
    study = load_study("smoke", projects.ROOT)
    spec = study.runs[projects.find_run(projects.ROOT, **KINDS[kind])].spec | {"epochs": 2}
    device = torch.device(device)
    configure(device, spec["precision"])
    data = load_data(prepare(study.settings["dataset"], tmp_path), spec, device)
    checkpoint = CheckpointFile(tmp_path / "run.pt", {"id": "run"})
    unbroken = train(spec, data, device, checkpoint)
    checkpoint.remove()
    monkeypatch.setattr(loop, "StopRequest", StopAtOnce)
    for stop in range(2 * math.ceil(512 / spec["batch_size"])):
        torch.manual_seed(stop)  # a new process has not the generator of the one before
        with pytest.raises(Interrupted):
            train(spec, data, device, checkpoint)
    assert checkpoint.load()["done"] == 512
    assert history_text(train(spec, data, device, checkpoint).history) == history_text(unbroken.history)


# --- checkpoints that are not this run's


IDENTITY = {"id": "run", "spec": {"epochs": 3, "rho": 0.05}, "data_sha256": "digest"}


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("PWNED",)


def of_another(path: Path, **changed: object) -> None:
    CheckpointFile(path, IDENTITY | changed).save({"done": 3})


def malicious(path: Path) -> None:
    """A file whose digest is right and whose content, unpickled without care, runs code."""
    content = pickle.dumps(Malicious(), protocol=2)
    path.write_bytes(checkpoint_module.MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def in_its_place_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "cut short, corrupt or of another version"),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "cut short, corrupt or of another version"),
        (lambda path: path.write_bytes(b""), "cut short, corrupt or of another version"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"done", b"dome")), "cut short, corrupt"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b" 3 ", b" 2 ", 1)), "of another version"),
        (lambda path: torch.save({"identity": IDENTITY}, path), "cut short, corrupt or of another version"),
        (lambda path: of_another(path, id="other"), "of another run, or of other data (other)"),
        (lambda path: of_another(path, spec={"epochs": 3, "rho": 0.1}), "of another run, or of other data (run)"),
        (lambda path: of_another(path, data_sha256="other"), "of another run, or of other data (run)"),
        (malicious, "not a plain checkpoint"),
        (in_its_place_a_folder, "unreadable (Is a directory)"),
    ],
)  # fmt: skip
def test_an_unexpected_checkpoint_is_set_aside_with_a_warning(tmp_path, monkeypatch, capsys, spoil, reason):
    monkeypatch.chdir(tmp_path)
    checkpoint = CheckpointFile(Path("run.pt"), IDENTITY)
    checkpoint.save({"done": 3})
    assert checkpoint.load()["done"] == 3
    spoil(checkpoint.path)
    assert checkpoint.load() is None
    warning = capsys.readouterr().err
    assert warning.startswith("sharpness: warning: run.pt is ")
    assert reason in warning
    assert warning.endswith("; kept as run.unusable, starting afresh\n")
    assert not checkpoint.path.exists()
    assert Path("run.unusable").exists()
    assert not Path("PWNED").exists()
    assert checkpoint.load() is None
    assert not capsys.readouterr().err, "one warning is enough"


SPOILED = {
    "model": {"unknown.weight": torch.zeros(1)},
    "optimizer": {0: {"momentum_buffer": torch.zeros(7, 7)}},
    "history": ["epoch"],
    "logits": torch.zeros(2),
    "done": "3",
    "random": {},
    "seconds": None,
}


def test_a_checkpoint_whose_content_cannot_be_used_is_set_aside(tmp_path, monkeypatch, capsys):
    """Its digest is right, and its run is this one."""
    study = load_study("smoke", projects.ROOT)
    spec = study.runs[projects.find_run(projects.ROOT, network="pyramidnet", method="sgd")].spec | {"epochs": 1}
    device = torch.device("cpu")
    configure(device, spec["precision"])
    data = load_data(prepare(study.settings["dataset"], tmp_path), spec, device)
    checkpoint = CheckpointFile(tmp_path / "run.pt", IDENTITY)
    unbroken = train(spec, data, device, checkpoint)
    with monkeypatch.context() as context:
        context.setattr(loop, "StopRequest", StopAtOnce)
        with pytest.raises(Interrupted):
            train(spec, data, device, checkpoint)
    saved = checkpoint.load()
    del saved["identity"]
    without = {key: value for key, value in saved.items() if key != "model"}
    for state in [*(saved | {key: value} for key, value in SPOILED.items()), without]:
        checkpoint.save(state)
        assert history_text(train(spec, data, device, checkpoint).history) == history_text(unbroken.history)
        assert "run.pt is not of this training" in capsys.readouterr().err
        assert not checkpoint.path.exists()


def test_a_run_starts_again_when_its_checkpoint_is_cut_short(unbroken, tmp_path):
    folder, run_id = unbroken.fresh(tmp_path / "project"), unbroken.runs["Dropout and ASAM"]
    file = folder / unbroken.jobs[run_id].checkpoint
    file.parent.mkdir(parents=True)
    file.write_bytes(checkpoint_module.MAGIC)
    done = projects.run(folder, *projects.train(run_id))
    assert done.returncode == 0
    assert "cut short, corrupt or of another version; kept as" in done.stdout
    unbroken.assert_complete(folder, run_id)


def test_a_killed_writers_temporary_file_is_removed_and_a_living_ones_kept(tmp_path):
    checkpoint = CheckpointFile(tmp_path / "run.pt", IDENTITY)
    abandoned, other = tmp_path / ".run-abandoned.pt", tmp_path / ".run2-abandoned.pt"
    abandoned.write_bytes(b"half")
    other.write_bytes(b"half of another run's")
    with files.replacing(checkpoint.path) as living:
        checkpoint.save({"done": 3})
        assert living.exists()
        living.write_bytes(b"")
    assert not abandoned.exists()
    assert other.exists()

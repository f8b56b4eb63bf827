"""Trackers: what they keep of a run, the same results with and without, and a failure that costs only the tracking."""

import importlib.util
import json
import sqlite3
import struct
from pathlib import Path

import projects
import pytest

from sharpness.study import load_study
from sharpness.training.tracking import Tracking

pytestmark = pytest.mark.timeout(300)


def require(tracker: str) -> None:
    if importlib.util.find_spec(tracker) is None:
        pytest.skip(f"{tracker} is not installed")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project in which a run has been trained without a tracker; its id and its history.csv."""
    folder = projects.copy(tmp_path_factory.mktemp("tracking") / "project")
    run_id = projects.find_run(folder, network="vgg", method="sgd")
    done = projects.run(folder, *projects.train(run_id))
    assert done.returncode == 0, done.stdout
    assert not (folder / "results/smoke/tracking").exists()
    return folder, load_study("smoke", folder).runs[run_id], (folder / "results/smoke/training" / run_id)


def trained(project, tmp_path: Path, tracker: str) -> tuple[str, Path]:
    """Train the run again with a tracker, in a home of its own: what it printed, and the tracker's folder."""
    folder, job, kept = project
    plain = {path.name: path.read_bytes() for path in kept.iterdir()}
    for file in kept.iterdir():
        file.unlink()
    done = projects.run(folder, *projects.train(job.id), "--tracking", tracker, HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert (kept / "history.csv").read_bytes() == plain["history.csv"]
    runs = [json.loads(content) for content in (plain["run.json"], (kept / "run.json").read_bytes())]
    for run in runs:
        del run["cost"], run["seal"]
    assert runs[0] == runs[1]
    assert not list(tmp_path.iterdir()), "nothing is written to the user's home"
    return done.stdout, folder / "results/smoke/tracking" / tracker


def accuracies(project) -> list[float]:
    lines = (project[2] / "history.csv").read_text(encoding="utf-8").splitlines()
    column = lines[0].split(",").index("test_accuracy")
    return [float(line.split(",")[column]) for line in lines[1:]]


def events(folder: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder))
    read.Reload()
    return read


def logged_records(content: bytes) -> list[bytes]:
    """The records of a file that is a log as LevelDB writes it: blocks of 32 KiB, a header before each piece."""
    records, place = [], 7  # after the file's own header
    while place < len(content):
        if (left := -place % 2**15) < 7:
            place += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        piece = content[place + 7 : place + 7 + size]
        if kind in (1, 2):  # a whole record, or its first piece
            records.append(piece)
        else:
            records[-1] += piece
        place += 7 + size
    return records


def test_tensorboard_has_the_history_and_the_spec(project, tmp_path):
    require("tensorboard")
    _, folder = trained(project, tmp_path, "tensorboard")
    read = events(folder / project[1].id)
    logged = read.Scalars("test_accuracy")
    assert [event.step for event in logged] == [1, 2]
    assert [event.value for event in logged] == pytest.approx(accuracies(project))
    assert read.Scalars("final/test_accuracy")[0].value == logged[-1].value
    assert "_hparams_/session_start_info" in read.Tags()["tensors"] or read.summary_metadata["_hparams_/experiment"]


def test_weights_and_biases_has_the_history_the_spec_and_tags_offline(project, tmp_path):
    require("wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    printed, folder = trained(project, tmp_path, "wandb")
    assert "wandb" not in printed
    [file] = folder.glob("wandb/offline-run-*/*.wandb")
    records = [Record.FromString(data) for data in logged_records(file.read_bytes())]
    job = project[1]
    [run] = [record.run for record in records if record.HasField("run")]
    assert (run.project, run.run_id, run.display_name) == ("sharpness", job.id, job.id)
    assert list(run.tags) == ["smoke", "vgg", "sgd", f"seed {job.spec['seed']}"]
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config.items() >= {"scale": "smoke", **job.spec}.items()
    rows = [record.history.item for record in records if record.HasField("history")]
    logged = [{item.key or item.nested_key[0]: json.loads(item.value_json) for item in row} for row in rows]
    assert [row["test_accuracy"] for row in logged] == pytest.approx(accuracies(project))


def test_trackio_has_the_history(project, tmp_path):
    require("trackio")
    _, folder = trained(project, tmp_path, "trackio")
    rows = sqlite3.connect(folder / "sharpness.db").execute("select run_name, step, metrics from metrics").fetchall()
    assert [(name, step) for name, step, _ in rows] == [(project[1].id, 1), (project[1].id, 2)]
    assert [json.loads(row)["test_accuracy"] for *_, row in rows] == pytest.approx(accuracies(project))


def test_a_tracker_that_fails_costs_the_run_a_line(project, tmp_path):
    require("tensorboard")
    place = project[0] / "results/smoke/tracking"
    aside = place.rename(place.with_name("aside")) if place.exists() else None
    place.write_text("not a folder", encoding="utf-8")
    try:
        printed, _ = trained(project, tmp_path, "tensorboard")
    finally:
        place.unlink()
        if aside:
            aside.rename(place)
    [line] = [line for line in printed.splitlines() if "warning" in line]
    assert f"{project[1].id} goes on without tensorboard: NotADirectoryError" in line


def test_a_tracker_that_is_not_installed_is_refused_before_anything_runs(project):
    if importlib.util.find_spec("trackio"):
        pytest.skip("trackio is installed")
    done = projects.run(project[0], *projects.train(project[1].id), "--tracking", "trackio")
    assert done.returncode == 1
    assert "tracking: trackio is not installed here; pip install 'sharpness[trackio]', or none" in done.stdout


def test_a_continued_run_is_tracked_as_one(project, tmp_path, monkeypatch):
    require("tensorboard")
    monkeypatch.chdir(tmp_path)
    rows = [{"epoch": epoch, "test_accuracy": epoch / 10} for epoch in range(1, 6)]
    for first, last in ((0, 4), (2, 5)):  # killed after the fourth epoch, continued from the second one's checkpoint
        with Tracking("tensorboard", project[1]) as tracking:
            for epoch in range(first, last + 1):
                tracking.update(rows[:epoch])
    logged = events(tmp_path / "results/smoke/tracking/tensorboard" / project[1].id).Scalars("test_accuracy")
    assert [event.step for event in logged] == [1, 2, 3, 4, 5]

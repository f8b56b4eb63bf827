"""Reading what a run has left: whatever is missing, cut short, changed or another's is refused in one line."""

import json
import shutil
from pathlib import Path

import projects
import pytest
import synthetic

from sharpness import files, paths
from sharpness.cli import main
from sharpness.records import EpochRecord, history_text, read_run
from sharpness.study import Study


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The smoke scale with a synthetic history for every run, in the working directory."""
    study = synthetic.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    synthetic.write_all(study)
    return study


def test_what_is_written_is_read(study):
    run_id = next(iter(study.runs))
    run = read_run(paths.run("smoke", run_id))
    assert run["run_id"] == run_id
    assert run["spec"] == study.runs[run_id]


def test_numbers_are_written_with_nine_digits_and_what_is_not_finite_by_name():
    text = history_text([EpochRecord(1, 0.1, 1 / 3, 0.5, float("inf"), float("nan"))])
    assert text.splitlines()[1] == "1,0.1,0.333333333,0.5,inf,nan"


def change_run(folder: Path, **values: object) -> None:
    run = json.loads((folder / "run.json").read_text(encoding="utf-8")) | values
    files.write_json(folder / "run.json", {key: value for key, value in run.items() if value is not None})


def put_another_header(folder: Path) -> None:
    history = folder / "history.csv"
    history.write_text(history.read_text().replace("epoch,", "step,"))
    change_run(folder, sha256=files.sha256(history))


def put_another_run(folder: Path) -> None:
    other = next(path for path in sorted(folder.parent.iterdir()) if path != folder)
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: cut_short(folder / "history.csv"), "history.csv: not the file that its run.json describes"),
        (lambda folder: (folder / "history.csv").write_text("epoch\n"), "history.csv: not the file that its run.json"),
        (lambda folder: (folder / "history.csv").unlink(), "history.csv: no such file; train the run first"),
        (lambda folder: (folder / "run.json").unlink(), "run.json: no such file; train the run first"),
        (lambda folder: cut_short(folder / "run.json"), "run.json: cut short or not JSON; delete"),
        (lambda folder: (folder / "run.json").write_bytes(b"\xff"), "run.json: cut short or not JSON; delete"),
        (lambda folder: (folder / "run.json").write_text("[" * 10**5), "run.json: cut short or not JSON; delete"),
        (lambda folder: (folder / "run.json").write_text("[1]"), "history.csv: not the file that its run.json"),
        (lambda folder: change_run(folder, sha256="0" * 64), "history.csv: not the file that its run.json describes"),
        (lambda folder: change_run(folder, status=None), "run.json: does not describe this run; delete"),
        (lambda folder: change_run(folder, status="done"), "run.json: does not describe this run; delete"),
        (lambda folder: change_run(folder, run_id="other"), "run.json: does not describe this run; delete"),
        (put_another_run, "run.json: does not describe this run; delete"),
        (put_another_header, "history.csv: its columns are not epoch, learning_rate"),
    ],
)  # fmt: skip
def test_a_faulty_run_is_refused_in_one_line_and_nothing_written(study, capsys, spoil, message):
    folder = paths.run("smoke", list(study.runs)[3])
    spoil(folder)
    before = projects.files(Path())
    assert main(["runs", "--scale", "smoke"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"{folder}/{message}" in line
    assert projects.files(Path()) == before

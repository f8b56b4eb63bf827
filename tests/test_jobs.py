"""Jobs: what names them, and reading what one has left: a file that is missing, damaged or another's is refused."""

import json
import os
import shutil
from pathlib import Path

import projects
import pytest
import synthetic

from sharpness import files, records
from sharpness.cli import main
from sharpness.errors import UserError
from sharpness.jobs import COMPLETED, DIVERGED, TRAINING, Job, canonical
from sharpness.study import Study

SPEC = {"network": "vgg", "rho": 0.05, "seed": 0}
JOB = Job(TRAINING, SPEC, 1, "vgg-seed0", "smoke")


def test_an_id_is_a_slug_and_a_hash_of_the_spec_and_the_semantics():
    assert JOB.id == "vgg-seed0-abc04fcc61"
    assert Job(TRAINING, dict(reversed(SPEC.items())), 1, "vgg-seed0", "laptop").id == JOB.id
    others = [SPEC | {"rho": 0.1}, SPEC | {"eta": 0.0}, SPEC | {"seed": 0.5}]
    ids = {Job(TRAINING, spec, 1, "vgg-seed0", "smoke").id for spec in others}
    ids.add(Job(TRAINING, SPEC, 2, "vgg-seed0", "smoke").id)
    assert len(ids - {JOB.id}) == 4
    assert canonical(SPEC) == '{"network":"vgg","rho":0.05,"seed":0}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"rho": float("nan")})


def test_a_job_s_files_are_in_a_folder_of_its_kind_and_id_and_its_checkpoint_is_not():
    folder = Path("results/smoke/training") / JOB.id
    assert JOB.files == [folder / "history.csv", folder / "run.json"]
    assert JOB.checkpoint == Path(f"results/smoke/checkpoints/{JOB.id}.pt")
    problem = Job("matrix_sensing", {"draws": 3}, 1, "matrix-sensing", "smoke")
    assert problem.data == Path("results/smoke/matrix_sensing") / problem.id / "data.csv"


@pytest.mark.parametrize("status", [COMPLETED, DIVERGED])
def test_what_is_written_is_read(tmp_path, monkeypatch, status):
    monkeypatch.chdir(tmp_path)
    assert not JOB.is_finished()
    data_sha256 = "0" * 64
    more = {"epochs": 1, "classes": 3, "data_sha256": data_sha256}
    JOB.write("epoch\n1\n", status, synthetic.PROVENANCE, synthetic.COST, **more)
    assert JOB.is_finished()
    assert JOB.data.read_text() == "epoch\n1\n"
    read = JOB.read()
    assert len(read.pop("seal")) == 64
    assert read == {
        "id": JOB.id,
        "kind": "training",
        "spec": SPEC,
        "semantics": 1,
        "status": status,
        "epochs": 1,
        "classes": 3,
        "data_sha256": data_sha256,
        "provenance": synthetic.PROVENANCE,
        "cost": synthetic.COST,
        "sha256": files.sha256(JOB.data),
    }
    assert sorted(projects.files(tmp_path)) == sorted(map(str, JOB.files))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_a_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    JOB.write("epoch\n1\n", COMPLETED, {}, {})
    JOB.run.chmod(0)
    with pytest.raises(UserError, match=r"run.json: cannot be read \(Permission denied\); check its permissions"):
        JOB.read()


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """The smoke scale with a synthetic history for every run, in the working directory."""
    study = synthetic.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    synthetic.write_all(study)
    return study


def change_run(folder: Path, **values: object) -> None:
    run = json.loads((folder / "run.json").read_text(encoding="utf-8")) | values
    records.write(
        folder / "run.json", {key: value for key, value in run.items() if value is not None and key != "seal"}
    )


def edit_run(folder: Path, old: str, new: str) -> None:
    text = (folder / "run.json").read_text(encoding="utf-8")
    assert old in text
    (folder / "run.json").write_text(text.replace(old, new), encoding="utf-8")


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
        (lambda folder: (folder / "history.csv").unlink(), "history.csv: no such file; run the job first"),
        (lambda folder: (folder / "run.json").unlink(), "run.json: no such file; run the job first"),
        (lambda folder: cut_short(folder / "run.json"), "run.json: cut short or not JSON; restore it"),
        (lambda folder: (folder / "run.json").write_bytes(b"\xff"), "run.json: cut short or not JSON; restore it"),
        (lambda folder: (folder / "run.json").write_text("[" * 10**5), "run.json: cut short or not JSON; restore it"),
        (lambda folder: (folder / "run.json").write_text("[1]"), "run.json: without what belongs in it (type of"),
        (lambda folder: (folder / "run.json").write_text("{}"), "run.json: without what belongs in it (required of"),
        (lambda folder: change_run(folder, cost=None), "run.json: without what belongs in it (required of the file"),
        (lambda folder: change_run(folder, spec=None), "run.json: without what belongs in it (required of the file"),
        (lambda folder: change_run(folder, provenance={}), "run.json: without what belongs in it (required of prov"),
        (lambda folder: change_run(folder, epochs="two"), "run.json: without what belongs in it (type of epochs"),
        (lambda folder: edit_run(folder, '"seconds": 1.0', '"seconds": NaN'), "run.json: cut short or not JSON"),
        (lambda folder: edit_run(folder, '"seconds": 1.0', '"seconds": 1e999'), "run.json: without what belongs in"),
        (lambda folder: edit_run(folder, '"seconds": 1.0', '"seconds": 2.0'), "run.json: changed since it was written"),
        (lambda folder: change_run(folder, sha256="0" * 64), "history.csv: not the file that its run.json describes"),
        (lambda folder: change_run(folder, status=None), "run.json: without what belongs in it (required of the file"),
        (lambda folder: change_run(folder, status="done"), "run.json: without what belongs in it (enum of status"),
        (lambda folder: change_run(folder, id="other"), "run.json: does not describe this job; delete"),
        (put_another_run, "run.json: does not describe this job; delete"),
        (put_another_header, "history.csv: "),
    ],
)  # fmt: skip
def test_a_faulty_run_is_refused_in_one_line_and_nothing_written(study, capsys, spoil, message):
    folder = list(study.runs.values())[3].folder
    spoil(folder)
    before = projects.files(Path())
    assert main(["runs", "--scale", "smoke"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert f"{folder}/{message}" in line
    assert projects.files(Path()) == before

"""Repeating a finished job is harmless: it gives the same result, and changes no file."""

from pathlib import Path

import finished
import projects
import pytest
import synthetic

from sharpness import files
from sharpness.cli import main
from sharpness.evidence.verify import verify


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return finished.project(tmp_path)


def replaced(study, run_id, change) -> None:
    """Change the text of a finished run's history, as if another machine had given it."""
    job = study.runs[run_id]
    run, text = job.read(), change(job.data.read_text(encoding="utf-8"))
    description = {key: run[key] for key in ("epochs", "classes", "data_sha256")}
    job.write(text, run["status"], run["provenance"], run["cost"], **description)


def test_a_run_trained_again_stays_as_it_was(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = synthetic.project(tmp_path)
    run_id = projects.find_run(Path(), network="pyramidnet", method="sgd")
    job = study.runs[run_id]
    train = ["train", "--scale", "smoke", "--run", run_id, "--device", "cpu"]
    assert main(train) == 0
    before, result = projects.files(Path("results")), capsys.readouterr().out

    assert main(train) == 0

    assert "the same result as before" in capsys.readouterr().out
    assert "the same result as before" not in result
    assert projects.files(Path("results")) == before

    # Another machine had given another result: it stays, and a line says what differs.
    replaced(study, run_id, lambda text: text.replace("\n2,", "\n2,9"))
    before = projects.files(job.folder)
    assert main(train) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"sharpness: error: {job.data}: repeated, the job gives another result: in line 3 learning_rate"
    )
    assert projects.files(job.folder) == before
    assert not job.checkpoint.exists()

    # A quantity that is logged since is no difference.
    lines = [line.rpartition(",") for line in job.data.read_text(encoding="utf-8").splitlines()]
    replaced(study, run_id, lambda text: "".join(f"{kept}\n" for kept, _, _ in lines).replace("\n2,9", "\n2,"))
    assert main(train) == 0

    # What has been damaged is refused before anything is trained.
    files.write_text(job.data, "epoch\n")
    assert main(train) == 1
    assert "not the file that its run.json describes" in capsys.readouterr().err


def test_a_problem_computed_again_stays_as_it_was(project, capsys):
    job = project.problems["neuron"]
    before = projects.files(Path("results"))
    assert verify(project) == []

    assert main(["compute", "--scale", "smoke", "--job", job.id]) == 0

    assert capsys.readouterr().out == f"{job.id}: computed, the same result as before\n"
    assert projects.files(Path("results")) == before
    assert verify(project) == []

    text = job.data.read_text(encoding="utf-8")
    job.write(text.replace("\n", "9\n", 2), "completed", job.read()["provenance"], job.read()["cost"])
    assert main(["compute", "--scale", "smoke", "--job", job.id]) == 1
    assert "repeated, the job gives another result: in line 2" in capsys.readouterr().err

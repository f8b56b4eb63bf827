"""The manifest: every artifact's files and hashes, the jobs that it depends on, and what those cost."""

import json
import subprocess
from pathlib import Path

import finished
import pytest
import synthetic
import yaml

from sharpness import files, paths, records
from sharpness.errors import UserError
from sharpness.evidence import manifest


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return finished.project(tmp_path)


def change_run(job, **changes):
    """Replace keys of a run.json, the nested ones one level deep."""
    run = {key: value for key, value in job.read().items() if key != "seal"}
    for key, value in changes.items():
        run[key] = {**run[key], **value} if isinstance(value, dict) else value
    records.write(job.run, run)


def test_every_file_of_every_artifact_has_its_hash(study):
    artifacts = manifest.build(study)["artifacts"]

    assert set(artifacts) == {*study.artifacts, "runs.csv", "claims.csv"}
    for name, artifact in study.artifacts.items():
        assert artifacts[name]["files"] == {str(path): files.sha256(path) for path in artifact.files("smoke")}
    suffixes = {name: {path.rpartition(".")[2] for path in artifacts[name]["files"]} for name in study.artifacts}
    assert suffixes["table1"] == {"md", "tex", "csv", "json"}
    assert suffixes["figure1"] == {"pdf", "png", "svg", "csv", "json"}
    assert artifacts["claims.csv"]["files"] == {"results/smoke/claims.csv": files.sha256(paths.claims("smoke"))}


def test_an_artifact_depends_on_the_jobs_that_it_shows(study):
    artifacts = manifest.build(study)["artifacts"]

    assert artifacts["table1"]["jobs"] == synthetic.find(study, network="wide_resnet", method="sam")
    sensing, neuron = (study.problems[name].id for name in ("sensing", "neuron"))
    assert artifacts["table3"]["jobs"] == artifacts["figure5"]["jobs"] == [sensing]
    assert artifacts["figure2"]["jobs"] == []
    assert artifacts["runs.csv"]["jobs"] == list(study.runs)
    assert artifacts["claims.csv"]["jobs"] == [*study.runs, sensing, neuron]


def test_costs_are_summed_and_memory_is_the_largest(study):
    first, second, *others = study.artifact("figure3").jobs(study)
    change_run(first, cost={"cpu_seconds": 5.0, "peak_memory_mb": 700.0})
    change_run(second, cost={"seconds": 30.0}, provenance={"device": "NVIDIA H100"})

    cost = manifest.build(study)["artifacts"]["figure3"]["cost"]

    assert cost["jobs"] == len(others) + 2
    assert cost["cpu_seconds"] == len(others) + 1 + 5.0
    assert cost["seconds"] == len(others) + 1 + 30.0
    assert cost["gpu_seconds"] == 30.0
    assert cost["peak_memory_mb"] == 700.0


def test_each_environment_is_listed_once_and_each_job_points_to_its_own(study):
    moved, stayed, *_ = study.runs.values()
    before = manifest.build(study)["environments"]
    change_run(moved, provenance={"device": "NVIDIA H100", "driver": "580.1"})

    record = manifest.build(study)

    assert len(record["environments"]) == len(before) + 1
    assert record["environments"][record["jobs"][moved.id]["environment"]]["device"] == "NVIDIA H100"
    assert record["environments"][record["jobs"][stayed.id]["environment"]]["device"] == "cpu"


def test_the_resolved_configuration_is_saved_beside_it(study):
    record = json.loads(paths.manifest("smoke").read_text(encoding="utf-8"))
    saved = paths.config("smoke")

    assert record["config"] == {"path": str(saved), "sha256": files.sha256(saved)}
    config = yaml.safe_load(saved.read_text(encoding="utf-8"))
    assert config["settings"]["epochs"] == 12
    assert config["training"] == study.training


def test_the_report_s_files_are_covered(study):
    record = json.loads(paths.manifest("smoke").read_text(encoding="utf-8"))

    reports = ["results/smoke/report.html", "results/smoke/report.pdf"]
    assert record["report"]["files"] == {path: files.sha256(Path(path)) for path in reports}


def test_it_names_the_commit_and_whether_the_tree_was_dirty(study, tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", "config")
    git("commit", "--quiet", "-m", "Begin")
    clean = manifest.build(study)
    (tmp_path / "config/config.yaml").write_text("scale: smoke\n", encoding="utf-8")
    dirty = manifest.build(study)

    assert (clean["commit"], clean["dirty"]) == (git("rev-parse", "HEAD"), False)
    assert dirty["dirty"] is True


def test_the_same_tree_gives_the_same_manifest(study):
    assert manifest.build(study) == manifest.build(study)


@pytest.mark.parametrize("left", [None, "", '{"id": "x"', "[]", "{}"])
def test_a_job_that_has_left_nothing_readable_is_left_out(study, left):
    run_id, job = next(iter(study.runs.items()))
    if left is None:
        job.run.unlink()
    else:
        job.run.write_text(left, encoding="utf-8")

    record = manifest.build(study)

    assert run_id not in record["jobs"]
    assert run_id not in record["artifacts"]["runs.csv"]["jobs"]


def test_a_missing_artifact_is_named(study):
    study.artifact("figure4").file("smoke", "svg").unlink()

    with pytest.raises(UserError, match=r"figure4\.svg: no such file"):
        manifest.build(study)


def test_each_artifact_s_own_record_says_what_it_was_made_from(study):
    for artifact in study.artifacts.values():
        record = json.loads(artifact.record("smoke").read_text(encoding="utf-8"))
        assert record["jobs"] == {job.id: files.sha256(job.data) for job in artifact.jobs(study)}
        content = [path for path in artifact.files("smoke") if path != artifact.record("smoke")]
        assert record["files"] == {path.name: files.sha256(path) for path in content}
        assert record["label"] == artifact.label

"""Part II is there when it is asked for or already made, and a grid is changed in config alone."""

import re

import projects
import pytest
import synthetic
import theory

from sharpness.compute import compute
from sharpness.evidence.verify import check
from sharpness.study import load_study

SECTIONS = {"theory", "quadratic", "single-neuron", "sensing-map", "edge", "diagonal-network", "laws", "predictions"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    synthetic.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def has_part_two(study) -> bool:
    """Whether a study has Part II, all of it or nothing."""
    found = {bool(study.theory), "T1" in [claim.name for claim in study.claims], "figure9" in study.artifacts,
             "map-sam" in study.problems, "edge" in study.sections}  # fmt: skip
    assert len(found) == 1
    return found.pop()


def test_part_two_is_left_out_unless_a_scale_or_the_configuration_asks_for_it(folder):
    assert not has_part_two(load_study("smoke"))
    assert has_part_two(load_study("smoke", theory=True))
    assert set(load_study("smoke", theory=True).theory) == SECTIONS

    projects.edit(folder / "config/scales/smoke.yaml", lambda scale: scale.update(theory=True))
    assert has_part_two(load_study("smoke"))
    assert not has_part_two(load_study("laptop"))
    assert not has_part_two(load_study("smoke", theory=False))

    projects.edit(folder / "config/config.yaml", lambda config: config.update(theory=True))
    assert has_part_two(load_study("laptop"))


@pytest.mark.pipeline
@pytest.mark.parametrize(("word", "made"), [("true", True), ("True", True), ("false", False)])
def test_the_command_line_asks_for_part_two_in_yaml_s_words_and_in_python_s(tmp_path, word, made):
    folder = projects.copy(tmp_path / "project")
    done = projects.run(folder, "snakemake", "-n", "--config", "scale=smoke", f"theory={word}", "cuda_graph=false")

    assert done.returncode == 0, done.stdout
    assert ("results/smoke/sensing_map/" in done.stdout) is made


def test_part_two_is_there_once_all_of_its_artifacts_are(folder):
    study = load_study("smoke", theory=True)
    records = [artifact.record("smoke") for artifact in study.artifacts.values() if artifact.section in study.theory]
    for record in records:
        assert not has_part_two(load_study("smoke"))
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text("{}", encoding="utf-8")
    assert has_part_two(load_study("smoke"))


def test_part_two_changes_no_name_of_part_one(folder):
    alone, both = load_study("laptop"), load_study("laptop", theory=True)

    assert list(alone.jobs) == [name for name in both.jobs if name in alone.jobs]
    assert alone.problems["sensing"].id == "matrix-sensing-45e4d46cad"
    assert alone.problems["neuron"].id == "single-neuron-2c9397e0e1"
    assert {job.folder for job in theory.jobs(both)} == alone.left_out


def test_jobs_of_part_two_are_not_taken_for_stale_ones(tmp_path, monkeypatch):
    study = theory.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    compute(study.problems["neuron"])
    assert [line for line in check(load_study("smoke")) if line.startswith("stale")] == []
    (tmp_path / theory.jobs(study)[0].folder).rename(tmp_path / "results/smoke/quadratic_floor/other")
    [line] = [line for line in check(load_study("smoke")) if line.startswith("stale")]
    assert "quadratic_floor/other" in line


def test_a_split_problem_is_a_job_for_each_value(folder):
    study = load_study("smoke", theory=True)
    laws = [study.problems[part].spec["laws"] for part in study.parts["map"]]

    assert laws == [["gd"], ["sam"], ["usam"], ["interpolation"], ["monge"], ["damped"]]
    assert study.parts["cycle"] == ["cycle"]
    assert [job.id.rsplit("-", 1)[0] for job in study.jobs_of("map", "sensing_map")][:2] == [
        "sensing-map-gd",
        "sensing-map-sam",
    ]

    projects.edit(folder / "config/study.yaml", lambda design: design["problems"]["map"]["laws"].remove("monge"))
    without = load_study("smoke", theory=True)
    assert set(study.jobs) - set(without.jobs) == {study.problems["map-monge"].id}


def test_a_cell_is_added_in_config_alone(folder):
    before = load_study("laptop", theory=True)
    projects.edit(folder / "config/study.yaml", lambda design: design["problems"]["edge"]["learning_rate"].append(1.1))
    after = load_study("laptop", theory=True)

    assert {job.kind for name, job in after.jobs.items() if name not in before.jobs} == {"edge_of_stability"}


@pytest.mark.pipeline
@pytest.mark.timeout(1200)
def test_snakemake_theory_makes_part_two_and_then_all_has_it(tmp_path):
    folder = projects.copy(tmp_path / "project")
    done = projects.snakemake(folder, "theory")
    assert done.returncode == 0, done.stdout
    study = load_study("smoke", folder, theory=True)
    for artifact in study.artifacts.values():
        made = [(folder / file).exists() for file in artifact.files("smoke")]
        assert all(made) if artifact.section in study.theory else not any(made), artifact.name

    lost = study.problems["map-usam"]
    (folder / lost.run).unlink()
    again = projects.run(folder, "snakemake", "--dry-run", "--config", "scale=smoke", "--", "theory")
    assert re.findall(r"wildcards: kind=sensing_map, problem_id=(\S+)", again.stdout) == [lost.id], "it resumes"

    shown = projects.run(folder, "snakemake", "--dry-run", "--config", "scale=smoke", "--", "all")
    assert shown.returncode == 0, shown.stdout
    assert (
        "sharpness claims --scale smoke --theory"
        in projects.run(
            folder, "snakemake", "--dry-run", "--printshellcmds", "--config", "scale=smoke", "--", "all"
        ).stdout
    )

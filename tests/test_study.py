"""The study as data: which jobs a scale has, what names them, what each artifact shows.

What is refused of its files: tests/test_refusals.py.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from projects import edit, replace

from sharpness import training
from sharpness.errors import UserError
from sharpness.jobs import Job, canonical
from sharpness.networks import network_arguments
from sharpness.problems import matrix_sensing
from sharpness.scales import read_scale, scale_files, scale_names
from sharpness.study import load_run, load_study

ROOT = Path(__file__).parents[1]
STUDY, PUBLISHED, SECTIONS = "config/study.yaml", "config/published.yaml", "workflow/report/sections"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the configuration that a test may change, as the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "workflow/schemas", tmp_path / "workflow/schemas")
    shutil.copytree(ROOT / "workflow/report", tmp_path / "workflow/report")
    return tmp_path


def add_scale(project: Path, name: str, **settings: object) -> None:
    (project / f"config/scales/{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def refusal(load: Callable[[], object]) -> str:
    """The one line with which something is refused."""
    with pytest.raises(UserError) as refused:
        load()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("scale", ["laptop", "gpu-hour", "paper"])
def test_the_full_design_has_51_runs_shared_among_artifacts(scale):
    study = load_study(scale, ROOT)
    assert len(study.runs) == 51
    shown = {name: [job.id for job in artifact.jobs(study)] for name, artifact in study.artifacts.items()}
    sensing = study.problems["sensing"].id
    assert shown["table3"] == shown["figure5"] == [sensing]
    runs = {name: set(jobs) & set(study.runs) for name, jobs in shown.items()}
    assert {name: len(jobs) for name, jobs in runs.items()} == {
        "table1": 12, "table2": 36, "table3": 0, "figure1": 12, "figure2": 0, "figure3": 9, "figure4": 9, "figure5": 0,
        "forest1": 51,
    }  # fmt: skip
    used = [runs[name] for name in ("table1", "table2", "figure1", "figure3", "figure4")]
    assert set().union(*used) == set(study.runs)
    assert len(set.intersection(*used)) == 3, "SAM at 0.05 on the WideResNet serves them all, once a seed"


def test_every_scale_on_offer_loads():
    for scale in scale_names(ROOT):
        assert load_study(scale, ROOT).runs


def test_a_spec_is_flat_json_that_its_id_hashes():
    study = load_study("paper", ROOT)
    assert [job.kind for job in study.problems.values()] == ["matrix_sensing", "single_neuron"]
    for identity, job in study.jobs.items():
        read = json.loads(canonical(job.spec))
        assert read == job.spec
        assert not any(isinstance(value, dict) for value in read.values())
        assert Job(job.kind, read, job.semantics, job.slug, "another").id == identity == job.id
    for identity, run in study.runs.items():
        assert identity.startswith(f"{run.spec['network']}-{run.spec['method']}")


@pytest.mark.parametrize(
    ("scale", "identities"),
    {
        "smoke": [
            "matrix-sensing-6b4963b19c",
            "single-neuron-2c9397e0e1",
            "wide_resnet-sam-rho0.5-seed10-73b49ee2ba",
            "vgg-asam-rho2-seed42-19233e0f83",
        ],
        "laptop": [
            "matrix-sensing-45e4d46cad",
            "single-neuron-2c9397e0e1",
            "wide_resnet-sam-rho0.5-seed0-f2866bc475",
            "vgg-asam-rho2-seed0-6bfd769958",
        ],
        "paper": ["matrix-sensing-45e4d46cad", "wide_resnet-sam-rho0.5-seed0-1e9a7da38b"],
    }.items(),
)
def test_results_that_were_computed_before_keep_their_ids(scale, identities):
    assert set(identities) <= load_study(scale, ROOT).jobs.keys()


def test_the_paper_scale_is_the_recipe_as_run():
    specs = [job.spec for job in load_study("paper", ROOT).runs.values()]
    sam = next(spec for spec in specs if spec["method"] == "sam" and spec["rho"] == 0.05)
    assert sam["learning_rate"] == 0.1
    assert sam["momentum"] == 0.9
    assert sam["weight_decay"] == 5e-4
    assert (sam["epochs"], sam["batch_size"], sam["label_smoothing"]) == (200, 128, 0.1)
    assert (sam["milestones"], sam["learning_rate_factor"]) == ([0.3, 0.6, 0.8], 0.2)
    assert (sam["crop_padding"], sam["flip"], sam["cutout"]) == (4, True, 16)
    assert network_arguments(sam) == {"depth": 22, "width": 8}
    assert {spec["seed"] for spec in specs} == {0, 10, 42}
    assert {spec["rho"] for spec in specs if spec["method"] == "asam"} == {2.0}


def test_a_changed_setting_renames_exactly_the_jobs_that_it_concerns(project):
    before = load_study("laptop")
    edit(project / STUDY, lambda study: study["experiments"]["metric"]["runs"][2].update(rho=[0.0005]))
    edit(project / "config/claims.yaml", lambda claims: claims["claims"].pop("F4"))  # it compares that run
    edit(project / STUDY, lambda study: study["problems"]["neuron"].update(steps=5000))
    after = load_study("laptop")
    assert {before.runs[name].spec["method"] for name in before.runs.keys() - after.runs.keys()} == {
        "sam-linf-as-described"
    }
    assert {after.runs[name].spec["rho"] for name in after.runs.keys() - before.runs.keys()} == {0.0005}
    assert before.problems["neuron"].id != after.problems["neuron"].id
    assert before.problems["sensing"].id == after.problems["sensing"].id


def test_a_changed_title_section_or_comment_renames_nothing(project):
    before = list(load_study("laptop").jobs)
    edit(project / STUDY, lambda study: study["methods"]["sam"].update(title="Sharp"))
    edit(project / STUDY, lambda study: study["problems"]["neuron"].update(section="metric"))
    with (project / "config/scales/laptop.yaml").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    assert list(load_study("laptop").jobs) == before


def test_new_semantics_rename_every_job_of_their_kind(monkeypatch):
    before = load_study("smoke", ROOT, theory=False)
    monkeypatch.setattr(training, "SEMANTICS", training.SEMANTICS + 1)
    monkeypatch.setattr(matrix_sensing, "SEMANTICS", matrix_sensing.SEMANTICS + 1)
    after = load_study("smoke", ROOT, theory=False)
    assert before.jobs.keys() & after.jobs.keys() == {before.problems["neuron"].id}


def test_scales_do_not_mix(project):
    edit(project / "config/scales/smoke.yaml", lambda scale: scale.update(epochs=3))
    assert {job.spec["epochs"] for job in load_study("laptop").runs.values()} == {40}
    assert set(load_study("smoke").runs).isdisjoint(load_study("laptop").runs)


def test_a_scale_has_what_the_scales_have_that_it_extends_but_for_its_own(project):
    laptop = read_scale("laptop", Path())
    add_scale(project, "middle", extends="laptop", title="middle", dataset={"title": "Digits", "cutout": 2})
    add_scale(
        project,
        "top",
        extends="middle",
        networks={"vgg": {"convolutions": [1], "width": 8}},
        dataset={"cutout": 0},
        seeds=[5],
    )

    top = read_scale("top", Path())

    assert top == laptop | {
        "extends": "middle",
        "title": "middle",
        "dataset": laptop["dataset"] | {"title": "Digits", "cutout": 0},
        "networks": laptop["networks"] | {"vgg": {"convolutions": [1], "width": 8}},
        "seeds": [5],
    }
    assert read_scale("laptop", Path()) == laptop
    assert scale_files("top") == [f"config/scales/{name}.yaml" for name in ("top", "middle", "laptop")]
    assert scale_files("laptop") == ["config/scales/laptop.yaml"]


def test_a_run_that_a_scale_has_in_common_with_the_one_it_extends_is_that_one_s(project):
    add_scale(project, "more", extends="laptop", seeds=[42, 7])
    more, laptop = load_study("more"), load_study("laptop")
    for identity, job in more.runs.items():
        assert (job.scale, identity in laptop.runs) == (("laptop", True) if job.spec["seed"] == 42 else ("more", False))
    assert more.runs.keys() & laptop.runs.keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"extends": "laptp"}, "config/scales/own.yaml: extends: unknown scale 'laptp'; did you mean 'laptop'?"),
        ({"extends": "own"}, "config/scales/own.yaml: extends: own → own is a circle; let one of them extend no other"),
        ({"extends": "other"}, "config/scales/other.yaml: extends: own → other → own is a circle; let one of them"),
        ({"extends": "laptop", "epochs": 0}, "config/scales/own.yaml (extends laptop): epochs is 0; it must be at"),
        ({"extends": "smoke", "epoch": 1}, "config/scales/own.yaml (extends smoke, laptop): unknown key 'epoch' in"),
        ({"extends": "empty"}, "config/scales/own.yaml (extends empty): the file must be of type object, not None"),
    ],
)
def test_a_scale_that_extends_nothing_sound_is_refused(project, settings, message):
    add_scale(project, "own", **settings)
    add_scale(project, "other", extends="own")
    (project / "config/scales/empty.yaml").write_text("# nothing yet\n", encoding="utf-8")
    assert refusal(lambda: load_study("own")).startswith(message)
    assert load_study("laptop").runs, "another scale's file is its own affair"


def test_problems_of_one_kind_are_jobs_of_their_own(project):
    neuron = yaml.safe_load((project / STUDY).read_text(encoding="utf-8"))["problems"]["neuron"]
    edit(project / STUDY, lambda study: study["problems"].update({"neuron-far": {**neuron, "gamma": [2.0, 4.0]}}))
    edit(project / STUDY, lambda study: study["problems"]["neuron-far"].update(section="metric"))
    study = load_study("laptop")
    near, far = study.problems["neuron"], study.problems["neuron-far"]
    assert (near.kind, near.spec["gamma"]) == (far.kind, [0.5, 2.0]) != (far.kind, far.spec["gamma"])
    assert near.id != far.id
    assert not set(near.files) & set(far.files)
    assert {near.id, far.id} <= study.jobs.keys()
    assert (study.sections["normalisation"], study.sections["metric"]) == (["sensing", "neuron"], ["neuron-far"])


def test_a_scale_sets_some_settings_of_a_problem_anew(project):
    edit(project / "config/scales/laptop.yaml", lambda scale: scale.update(problems={"neuron": {"starts": 5}}))
    laptop, paper = load_study("laptop").problems, load_study("paper").problems
    assert laptop["neuron"].spec == paper["neuron"].spec | {"starts": 5}
    assert laptop["sensing"].spec == paper["sensing"].spec


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        ({"sensin": {"draws": 3}}, ": problems: unknown problem 'sensin'; did you mean 'sensing'?"),
        ({"sensing": 3}, ": problems.sensing must be of type object, not 3"),
        ({"sensing": {"draw": 3}}, f" (over {STUDY}): unknown key 'draw' in problems.sensing; did you mean 'draws'?"),
        ({"sensing": {"draws": 0}}, f" (over {STUDY}): problems.sensing.draws is 0; it must be more than 0"),
        ({"sensing": {"kind": "single_neuron"}}, f" (over {STUDY}): unknown key 'kind' in problems.sensing; "),
    ],
)
def test_a_fault_in_a_scale_s_settings_of_a_problem_is_refused(project, problems, message):
    replace(project / "config/scales/laptop.yaml", {"problems": problems})
    assert refusal(lambda: load_study("laptop")).startswith(f"config/scales/laptop.yaml{message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{{ show("table9") }}', "quotes table9: unknown artifact 'table9'; did you mean 'table"),
        ('{{ facts("figure99").drops }}', "quotes figure99: unknown artifact 'figure99'; did you mean 'figure"),
        ('as {{ ref("table9") }} shows', "quotes table9: unknown artifact 'table9'; did you mean 'table"),
        ("{{ problems.sensin.settings }}", "quotes sensin: unknown problem 'sensin'; did you mean 'sensing'?"),
    ],
)
def test_a_section_that_quotes_what_the_study_lacks_is_refused(project, text, message):
    with (project / SECTIONS / "radius.md").open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")
    assert refusal(lambda: load_study("laptop")).startswith(f"{SECTIONS}/radius.md {message}")


def test_page_one_must_be_there_and_quote_what_is_of_the_study(project):
    page_one = project / "workflow/report/page_one.md"
    page_one.write_text('{{ show("forest3") }}')
    with pytest.raises(
        UserError, match=r"page_one\.md quotes forest3: unknown artifact 'forest3'; did you mean 'forest"
    ):
        load_study("smoke", project)

    page_one.unlink()
    with pytest.raises(UserError, match=r"workflow/report: workflow/report/page_one\.md cannot be read .*; write it"):
        load_study("smoke", project)


def test_a_section_whose_file_is_gone_is_refused(project):
    (project / SECTIONS / "metric.md").unlink()
    line = refusal(lambda: load_study("laptop"))
    assert (
        line == f"{STUDY}: sections: metric: {SECTIONS}/metric.md cannot be read (No such file or directory); write it"
    )


def test_a_scale_without_the_seed_of_a_figure_shows_its_first(project):
    edit(project / "config/scales/smoke.yaml", lambda scale: scale.update(seeds=[7, 3], experiment_seeds={}))
    for scale, seed in (("smoke", "seed 7"), ("laptop", "seed 42")):
        study = load_study(scale)
        assert study.artifact("figure1").shown(study) == seed


def test_unknown_scale_run_job_and_artifact_are_refused_with_a_suggestion(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert refusal(lambda: load_study("laptp")).endswith("unknown scale 'laptp'; did you mean 'laptop'?")
    study = load_study("laptop")
    with pytest.raises(UserError, match="unknown artifact 'figure6'; did you mean 'figure"):
        study.artifact("figure6")
    with pytest.raises(UserError, match="scale laptop: unknown job 'single-neuron-0'; did you mean 'single-neuron-2c"):
        study.job("single-neuron-0")
    with pytest.raises(UserError, match="scale laptop: unknown run"):
        load_run("laptop", "wide_resnet-sam-rho0.05-seed42-0000000000")


def test_a_run_by_its_id_is_the_study_s(monkeypatch):
    monkeypatch.chdir(ROOT)
    study = load_study("smoke")
    for identity in list(study.runs)[:2]:
        job, dataset = load_run("smoke", identity)
        assert (job.id, job.spec, job.files) == (identity, study.runs[identity].spec, study.runs[identity].files)
        assert dataset == study.settings["dataset"]

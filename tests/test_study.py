"""The study as data: which runs a scale has, what names them, and what each artifact rests on."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from sharpness import study as study_module
from sharpness.errors import UserError
from sharpness.study import canonical, load_study, network_arguments, run_id, scale_names

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the configuration that a test may change."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "workflow/schemas", tmp_path / "workflow/schemas")
    return tmp_path


def edit(path: Path, change) -> None:
    settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(settings)
    path.write_text(yaml.safe_dump(settings, allow_unicode=True, sort_keys=False), encoding="utf-8")


@pytest.mark.parametrize("scale", ["laptop", "gpu-hour", "paper"])
def test_the_full_design_has_51_runs_shared_among_artifacts(scale):
    study = load_study(scale, ROOT)
    assert len(study.runs) == 51
    counts = {name: len(artifact.run_ids) for name, artifact in study.artifacts.items()}
    assert counts == {
        "table1": 12, "table2": 36, "table3": 0, "figure1": 12, "figure2": 0, "figure3": 9, "figure4": 9, "figure5": 0,
    }  # fmt: skip
    used = [set(study.artifacts[name].run_ids) for name in ("table1", "table2", "figure1", "figure3", "figure4")]
    assert set().union(*used) == set(study.runs)
    assert len(set.intersection(*used)) == 3, "SAM at 0.05 on the WideResNet serves them all, once a seed"


def test_every_scale_on_offer_loads():
    for scale in scale_names(ROOT):
        assert load_study(scale, ROOT).runs


def test_a_spec_is_flat_json_that_its_run_id_hashes():
    study = load_study("paper", ROOT)
    for identity, spec in study.runs.items():
        assert json.loads(canonical(spec)) == spec
        assert not any(isinstance(value, dict) for value in spec.values())
        assert run_id(json.loads(canonical(spec))) == identity
        assert identity.startswith(f"{spec['network']}-{spec['method']}")


def test_the_paper_scale_is_the_recipe_as_run():
    spec = load_study("paper", ROOT).runs
    sam = next(value for value in spec.values() if value["method"] == "sam" and value["rho"] == 0.05)
    assert sam["learning_rate"] == 0.1
    assert sam["momentum"] == 0.9
    assert sam["weight_decay"] == 5e-4
    assert (sam["epochs"], sam["batch_size"], sam["label_smoothing"]) == (200, 128, 0.1)
    assert (sam["milestones"], sam["learning_rate_factor"]) == ([0.3, 0.6, 0.8], 0.2)
    assert (sam["crop_padding"], sam["flip"], sam["cutout"]) == (4, True, 16)
    assert network_arguments(sam) == {"depth": 22, "width": 8}
    assert {value["seed"] for value in spec.values()} == {0, 10, 42}
    assert {value["rho"] for value in spec.values() if value["method"] == "asam"} == {2.0}


def test_a_changed_setting_renames_exactly_the_runs_that_it_concerns(project):
    before = load_study("laptop", project).runs
    edit(
        project / "config/study.yaml", lambda study: study["experiments"]["metric"]["runs"][2].update(rho=[0.0005])
    )  # of the true L∞ step
    after = load_study("laptop", project).runs
    assert {before[name]["method"] for name in before.keys() - after.keys()} == {"sam-linf-as-described"}
    assert {after[name]["rho"] for name in after.keys() - before.keys()} == {0.0005}


def test_a_changed_title_or_comment_renames_nothing(project):
    before = list(load_study("laptop", project).runs)
    edit(project / "config/study.yaml", lambda study: study["methods"]["sam"].update(title="Sharp"))
    with (project / "config/scales/laptop.yaml").open("a", encoding="utf-8") as file:
        file.write("# a comment\n")
    assert list(load_study("laptop", project).runs) == before


def test_new_training_semantics_rename_every_run(monkeypatch):
    before = set(load_study("smoke", ROOT).runs)
    monkeypatch.setattr(study_module, "TRAINING_SEMANTICS", study_module.TRAINING_SEMANTICS + 1)
    assert before.isdisjoint(load_study("smoke", ROOT).runs)


def test_scales_do_not_mix(project):
    edit(project / "config/scales/smoke.yaml", lambda scale: scale.update(epochs=3))
    assert {spec["epochs"] for spec in load_study("laptop", project).runs.values()} == {40}
    assert set(load_study("smoke", project).runs).isdisjoint(load_study("laptop", project).runs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s["experiments"]["radius"]["networks"].append("vgg19"),
            "unknown network 'vgg19'; did you mean 'vgg'",
        ),
        (
            lambda s: s["experiments"]["radius"]["runs"][0].update(method="sma"),
            "unknown method 'sma'; did you mean 'sam'",
        ),
        (lambda s: s["experiments"]["radius"]["runs"][0].pop("rho"), "method sam: give it a list of radii"),
        (lambda s: s["experiments"]["adaptivity"]["runs"][0].update(rho=[1.0]), "method sgd: remove its rho"),
        (lambda s: s["artifacts"]["table1"].update(experiment="radios"), "unknown experiment 'radios'; did you mean"),
        (lambda s: s["artifacts"]["figure5"].update(sensing=[0.2]), "sensing radius 0.2 is not swept"),
        (lambda s: s["artifacts"]["figure5"].update(steps=11), "figure5: steps is 11, but sensing.steps is 10"),
        (lambda s: s["artifacts"]["figure4"].update(network="vggg"), "unknown network 'vggg'; did you mean 'vgg'"),
        (lambda s: s["artifacts"]["figure1"].update(network="vgg"), "unknown network 'vgg'; choose from"),
        (lambda s: s["artifacts"]["figure2"].update(seed=1), "unknown key 'seed' in artifacts.figure2; remove it"),
        (lambda s: s["artifacts"]["figure4"].pop("seed"), "artifacts.figure4 lacks the key 'seed'"),
        (lambda s: s["artifacts"]["table1"].pop("experiment"), "artifacts.table1 lacks the key 'experiment'"),
        (lambda s: s["artifacts"]["table3"].pop("steps"), "artifacts.table3 lacks the key 'steps'"),
        (lambda s: s["methods"].update(twin=dict(s["methods"]["sam"])), "methods sam and twin are the same method"),
    ],
)
def test_names_that_lead_nowhere_are_refused_in_one_line(project, change, message):
    edit(project / "config/study.yaml", change)
    with pytest.raises(UserError) as refusal:
        load_study("laptop", project)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_scale_without_the_seed_of_a_figure_shows_its_first(project):
    edit(project / "config/scales/smoke.yaml", lambda scale: scale.update(seeds=[7, 3], experiment_seeds={}))
    assert load_study("smoke", project).artifact("figure1").settings == {"experiment": "radius", "seed": 7}
    assert load_study("laptop", project).artifact("figure1").settings == {"experiment": "radius", "seed": 42}


def test_unknown_scale_run_and_artifact_are_refused_with_a_suggestion():
    with pytest.raises(UserError, match="unknown scale 'laptp'; did you mean 'laptop'"):
        load_study("laptp", ROOT)
    study = load_study("laptop", ROOT)
    with pytest.raises(UserError, match="unknown artifact 'figure6'; did you mean 'figure"):
        study.artifact("figure6")
    with pytest.raises(UserError, match="unknown run"):
        study.spec("wide_resnet-sam-rho0.05-seed42-0000000000")

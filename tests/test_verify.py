"""`sharpness verify`: each way in which results can be other than what the tree gives is named, and nothing else is."""

import json
import shutil
from pathlib import Path

import finished
import pytest
import synthetic

from sharpness import files, paths, study
from sharpness.evidence.tables import write_table
from sharpness.evidence.verify import verify
from sharpness.study import load_study, run_id, sensing_id


@pytest.fixture
def smoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return finished.project(tmp_path)


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_finished_scale_is_clean(smoke):
    assert verify(smoke) == []


def test_one_byte_of_a_history_is_named_and_its_restoration_is_clean(smoke):
    history = paths.run("smoke", next(iter(smoke.runs))) / "history.csv"
    flip_a_byte(history)

    [finding] = verify(smoke)
    assert finding.startswith(f"altered: {history}: ")

    flip_a_byte(history)
    assert verify(smoke) == []


def test_a_changed_setting_is_named_and_its_restoration_is_clean(smoke):
    file = Path("config/study.yaml")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("weight_decay: 5.0e-4", "weight_decay: 1.0e-3"), encoding="utf-8")
    found = verify(load_study("smoke"))
    assert any("training.weight_decay 0.0005 (now 0.001)" in line for line in found)
    # Its runs have other names now: those of the old setting are stale, and those of the new one are missing.
    assert sum(line.startswith("stale: results/smoke/runs/") and "weight_decay" in line for line in found) == len(
        smoke.runs
    )

    file.write_text(text, encoding="utf-8")
    assert verify(load_study("smoke")) == []


def test_a_changed_criterion_is_named(smoke):
    file = Path("config/claims.yaml")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("margin: 0.005", "margin: 0.5"), encoding="utf-8")

    found = verify(load_study("smoke"))

    assert any("claims.tests.alike.margin 0.005 (now 0.5)" in line for line in found)
    assert any(line.startswith("stale: results/smoke/claims.csv") for line in found)


@pytest.mark.parametrize(
    "path",
    [
        "results/smoke/tables/table1.csv",
        "results/smoke/tables/table2.md",
        "results/smoke/runs.csv",
        "results/smoke/claims.csv",
        "results/smoke/report.html",
        "results/smoke/report.pdf",
        "figures/smoke/figure3.svg",
    ],
)
def test_a_file_altered_by_hand_or_removed_is_named(smoke, path):
    flip_a_byte(Path(path))
    [finding] = verify(smoke)
    assert finding.startswith(f"altered: {path}: ")

    Path(path).unlink()
    [finding] = verify(smoke)
    assert finding.startswith(f"missing: {path}: ")


def test_a_run_json_altered_by_hand_is_named(smoke):
    file = paths.run("smoke", next(iter(smoke.runs))) / "run.json"
    run = json.loads(file.read_text(encoding="utf-8"))
    files.write_json(file, {**run, "cost": {**run["cost"], "seconds": 0.0}})
    assert [line.split(": ")[:2] for line in verify(smoke)] == [["altered", str(file)]]

    files.write_json(file, {**run, "spec": {**run["spec"], "seed": 7}})
    assert [line.split(": ")[:2] for line in verify(smoke)] == [["altered", str(file)]]


def test_a_missing_job_is_named(smoke):
    folder = paths.sensing("smoke", sensing_id(smoke.sensing))
    (folder / "losses.csv").unlink()

    assert verify(smoke) == [f"missing: {folder}: no losses.csv; run the job again"]


def test_a_run_of_other_semantics_is_stale(smoke, monkeypatch):
    spec = next(iter(smoke.runs.values()))
    with monkeypatch.context() as earlier:
        earlier.setattr(study, "TRAINING_SEMANTICS", 0)
        old = paths.run("smoke", run_id(spec))
    shutil.copytree(paths.run("smoke", run_id(spec)), old)

    [finding] = verify(smoke)

    assert finding.startswith(f"stale: {old}: made by another version of the code")


def test_a_run_of_another_scale_is_mixed(smoke):
    laptop = load_study("laptop")
    stranger = next(iter(laptop.runs))
    synthetic.write(laptop, stranger, synthetic.history(laptop.runs[stranger]))
    shutil.move(paths.run("laptop", stranger), paths.run("smoke", stranger))

    [finding] = verify(smoke)

    assert finding.startswith(f"mixed: {paths.run('smoke', stranger)}: belongs to another scale")
    assert "results/laptop/runs" in finding


def test_runs_on_different_data_are_mixed(smoke):
    file = paths.run("smoke", next(iter(smoke.runs))) / "run.json"
    run = json.loads(file.read_text(encoding="utf-8"))
    files.write_json(file, {**run, "data_sha256": "f" * 64})

    assert any(line.startswith(f"mixed: {file}: trained on other data (ffffffffffff)") for line in verify(smoke))


def test_runs_on_other_data_than_the_prepared_one_are_stale(smoke):
    meta = Path("data/digits/meta.json")
    meta.parent.mkdir(parents=True)
    files.write_json(meta, {"sha256": "0" * 64})  # as the synthetic runs have it
    assert verify(smoke) == []

    files.write_json(meta, {"sha256": "f" * 64})

    [finding] = verify(smoke)
    assert finding.startswith(
        "stale: results/smoke/runs: trained on other data (000000000000) than data/digits has now"
    )


def test_what_is_wrong_with_another_scale_s_file_is_not_in_the_way(smoke):
    Path("config/scales/draft.yaml").write_text("title: a draft\n", encoding="utf-8")
    Path("config/scales/.#paper.yaml").symlink_to("an editor's lock")

    assert verify(smoke) == []


def test_an_artifact_that_its_runs_no_longer_give_is_stale_until_it_is_made_again(smoke):
    again = synthetic.find(smoke, network="resnet", method="sgd")[0]
    synthetic.write(smoke, again, synthetic.history({**smoke.runs[again], "seed": 1}))

    found = verify(smoke)
    assert any(line.startswith("stale: results/smoke/tables/table2.csv") for line in found)
    assert not any("table1" in line for line in found)

    write_table(smoke, "table2")
    assert not any(line.startswith("stale: results/smoke/tables/table2.csv") for line in verify(smoke))


def test_without_a_manifest_it_says_so(smoke):
    (paths.results("smoke") / "MANIFEST.json").unlink()

    [finding] = verify(smoke)

    assert finding.startswith("missing: results/smoke/MANIFEST.json")


def test_a_scale_that_was_never_run_is_one_line(smoke):
    found = verify(load_study("laptop"))

    assert found[0].startswith("missing: results/laptop: none of the study's jobs has run")
    assert len(found) == 2

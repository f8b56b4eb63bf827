"""`sharpness verify`: each way in which results can be other than what the tree gives is named, and nothing else is."""

import dataclasses
import json
import shutil
from pathlib import Path

import finished
import pytest
import synthetic

from sharpness import files, paths, records
from sharpness.evidence.verify import verify
from sharpness.jobs import Job
from sharpness.study import Study, load_study

ALL = "snakemake --cores all --config scale=smoke"


@pytest.fixture
def smoke(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return finished.project(tmp_path)


def first_run(study: Study) -> Job:
    return next(iter(study.runs.values()))


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_finished_scale_is_clean(smoke):
    assert verify(smoke) == []


def test_one_byte_of_a_history_is_named_and_its_restoration_is_clean(smoke):
    history = first_run(smoke).data
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
    assert sum(line.startswith("stale: results/smoke/training/") and "weight_decay" in line for line in found) == len(
        smoke.runs
    )

    file.write_text(text, encoding="utf-8")
    assert verify(load_study("smoke")) == []


def test_a_changed_criterion_is_named(smoke):
    file = Path("config/claims.yaml")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("margin: 0.005", "margin: 0.5"), encoding="utf-8")

    found = verify(load_study("smoke"))

    assert any("claims.F1a.test.margin 0.005 (now 0.5)" in line for line in found)
    assert any(line.startswith("stale: results/smoke/claims.csv") for line in found)


@pytest.mark.parametrize(
    "path",
    [
        "results/smoke/tables/table1.csv",
        "results/smoke/tables/table2.md",
        "results/smoke/tables/table3.json",
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


@pytest.mark.parametrize(
    "path",
    [
        "results/smoke/tables/table1.csv",
        "results/smoke/tables/table1.md",
        "results/smoke/tables/table2.tex",
        "figures/smoke/figure1.csv",
        "figures/smoke/figure3.svg",
        "figures/smoke/figure4.png",
        "figures/smoke/figure5.pdf",
    ],
)
def test_a_file_altered_by_hand_is_named_by_its_artifact_s_own_record_before_there_is_a_manifest(smoke, path):
    paths.manifest("smoke").unlink()
    flip_a_byte(Path(path))
    record = Path(path).with_suffix(".json")

    altered, lost = verify(smoke)

    assert altered == f"altered: {path}: not the file that {record} describes; delete it and make it again: {ALL}"
    assert lost.startswith("missing: results/smoke/MANIFEST.json")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("table2", "[]", "without what belongs in it (type of the file does not hold)"),
        ("table2", '{"files": 1, "jobs": {}}', "without what belongs in it (required of the file does not hold)"),
        ("table2", '{"files": {}}', "without what belongs in it (required of the file does not hold)"),
        ("figure1", "{", "cut short or not JSON"),
        ("figure1", "[" * 100_000, "cut short or not JSON"),
    ],
)
def test_a_damaged_record_is_named(smoke, name, content, why):
    record = smoke.artifact(name).record("smoke")
    record.write_text(content, encoding="utf-8")
    assert [line.split(": ")[:2] for line in verify(smoke)] == [["altered", str(record)]]

    paths.manifest("smoke").unlink()
    assert verify(smoke)[0] == f"altered: {record}: {why}; delete it and make it again: {ALL}"


def test_a_record_that_lacks_a_file_s_hash_vouches_for_it_no_more(smoke):
    paths.manifest("smoke").unlink()
    record = smoke.artifact("table1").record("smoke")
    made = json.loads(record.read_text(encoding="utf-8"))
    del made["files"]["table1.tex"], made["seal"]
    records.write(record, made)

    assert verify(smoke)[0].startswith("altered: results/smoke/tables/table1.tex: not the file that ")


def test_a_run_json_altered_by_hand_is_named(smoke):
    file = first_run(smoke).run
    run = json.loads(file.read_text(encoding="utf-8"))
    files.write_json(file, {**run, "cost": {**run["cost"], "seconds": 0.0}})
    assert [line.split(": ")[:2] for line in verify(smoke)] == [["altered", str(file)]]

    files.write_json(file, {key: value for key, value in run.items() if key != "spec"})
    assert [line.split(": ")[:2] for line in verify(smoke)] == [["altered", str(file)]]

    files.write_json(file, {**run, "spec": {**run["spec"], "seed": 7}})
    assert [line.split(": ")[:2] for line in verify(smoke)] == [["altered", str(file)]]


def test_a_missing_job_is_named(smoke):
    job = smoke.problems["sensing"]
    job.data.unlink()

    assert verify(smoke) == [f"missing: {job.folder}: no data.csv; run the job again"]


def test_a_run_of_other_semantics_is_stale(smoke):
    job = first_run(smoke)
    old = dataclasses.replace(job, semantics=0).folder
    shutil.copytree(job.folder, old)

    [finding] = verify(smoke)

    assert finding.startswith(f"stale: {old}: made by another version of the code")


def test_a_run_of_another_scale_is_mixed(smoke):
    laptop = load_study("laptop")
    other = first_run(laptop)
    synthetic.write(laptop, other.id, synthetic.history(other.spec))
    moved = Path("results/smoke/training", other.id)
    shutil.move(other.folder, moved)

    [finding] = verify(smoke)

    assert finding.startswith(f"mixed: {moved}: belongs to another scale")
    assert "results/laptop/training" in finding


def test_a_run_that_another_scale_owns_is_mixed_though_this_one_shows_it(smoke):
    file = Path("config/scales/more.yaml")
    file.write_text("extends: smoke\nseeds: [0, 10, 42, 7]\n", encoding="utf-8")
    more = load_study("more")
    for job in more.runs.values():
        if not job.is_finished():
            synthetic.write(more, job.id, synthetic.history(job.spec))
    shared = first_run(smoke)
    assert more.runs[shared.id].folder == shared.folder
    copied = Path("results/more/training", shared.id)
    shutil.copytree(shared.folder, copied)

    mixed = [line for line in verify(more) if line.startswith("mixed: ")]

    assert mixed == [f"mixed: {copied}: belongs to another scale; move it to {shared.folder.parent}, or delete it"]


def test_runs_on_different_data_are_mixed(smoke):
    file = first_run(smoke).run
    run = json.loads(file.read_text(encoding="utf-8"))
    del run["seal"]
    records.write(file, {**run, "data_sha256": "f" * 64})

    assert any(line.startswith(f"mixed: {file}: trained on other data (ffffffffffff)") for line in verify(smoke))


def test_runs_on_other_data_than_the_prepared_one_are_stale(smoke):
    meta = Path("data/digits/meta.json")
    meta.parent.mkdir(parents=True)
    files.write_json(meta, {"sha256": "0" * 64})  # as the synthetic runs have it
    assert verify(smoke) == []

    files.write_json(meta, {"sha256": "f" * 64})

    [finding] = verify(smoke)
    assert finding.startswith(
        "stale: results/smoke/training: trained on other data (000000000000) than data/digits has now"
    )


def test_what_is_wrong_with_another_scale_s_file_is_not_in_the_way(smoke):
    Path("config/scales/draft.yaml").write_text("title: a draft\n", encoding="utf-8")
    Path("config/scales/.#paper.yaml").symlink_to("an editor's lock")

    assert verify(smoke) == []


def test_an_artifact_that_its_runs_no_longer_give_is_stale_until_it_is_made_again(smoke):
    again = synthetic.find(smoke, network="resnet", method="sgd")[0]
    synthetic.write(smoke, again, synthetic.history({**smoke.runs[again].spec, "seed": 1}))

    found = verify(smoke)
    assert sum(line.startswith("stale: results/smoke/tables/table2.csv") for line in found) == 1
    assert not any("table1" in line for line in found)

    smoke.artifact("table2").write(smoke)
    assert not any(line.startswith("stale: results/smoke/tables/table2.csv") for line in verify(smoke))


def test_without_a_manifest_it_says_so(smoke):
    paths.manifest("smoke").unlink()

    [finding] = verify(smoke)

    assert finding.startswith("missing: results/smoke/MANIFEST.json")


def test_a_scale_that_was_never_run_is_one_line(smoke):
    found = verify(load_study("laptop"))

    assert found[0].startswith("missing: results/laptop: none of the study's jobs has run")
    assert len(found) == 2

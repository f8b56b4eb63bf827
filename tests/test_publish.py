"""`sharpness publish`: what it writes of finished scales, what it keeps, and whether the pages here are true."""

import re
import shutil
import subprocess
from pathlib import Path

import finished
import pandas as pd
import projects
import pytest
import synthetic
from test_corruption import DAMAGES

from sharpness import files, paths
from sharpness.errors import UserError
from sharpness.evidence.claims import judge_claims
from sharpness.evidence.publish import SCALES, load_records, publish
from sharpness.evidence.publish.comparison import compare, findings
from sharpness.evidence.publish.pages import pages
from sharpness.evidence.publish.records import Record, outdated
from sharpness.evidence.runs import csv_text
from sharpness.study import load_study

ROOT = Path(__file__).parents[1]
OWN = ("smoke", "laptop")  # published in the tests' project: one finished, one hardly begun


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A project whose finished scale has been published, and one run of another scale with it."""
    finished.project(tmp_path)
    shutil.copytree(ROOT / "workflow/publish", tmp_path / "workflow/publish")
    (tmp_path / "README.md").write_text("before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n")
    monkeypatch.chdir(tmp_path)
    laptop = load_study("laptop")
    run_id, job = next(iter(laptop.runs.items()))
    synthetic.write(laptop, run_id, synthetic.history(job.spec))
    publish(OWN, "smoke")
    return tmp_path


def tree(folder: Path) -> dict[str, bytes]:
    return projects.files(folder / "docs") | {"README.md": (folder / "README.md").read_bytes()}


def test_the_pages_have_the_verdicts_of_claims_csv_and_an_unfinished_scale_has_none(published):
    page, readme = Path("docs/results.md").read_text(), Path("README.md").read_text()
    for row in pd.read_csv(paths.claims("smoke")).itertuples():
        line = rf"^\| \[?{row.claim}[].].*\b{row.verdict}\b"
        assert len(re.findall(line, page, re.MULTILINE)) == 1, row.claim
        assert (
            bool(re.search(rf"^\| {row.claim}\..*\*\*{row.verdict}\*\*", readme, re.MULTILINE))
            == row.claim[-1].isdigit()
        )
    assert readme.startswith("before\n<!-- results -->\n\n| Finding | smoke scale |\n")
    assert readme.endswith("<!-- end of results -->\nafter\n")
    assert "laptop scale: 1 of 51 runs" in readme
    assert "laptop scale is not finished:** 1 of 51 runs" in page
    assert not Path("docs/results/laptop.csv").exists()


def test_a_scale_that_lacks_its_toy_problems_alone_says_so(published):
    synthetic.write_all(load_study("laptop"))
    publish(OWN, "smoke")
    missing = "51 of 51 runs are finished, its toy problems are not; its verdicts come when all are."
    assert missing in Path("README.md").read_text()
    assert (
        "51 of 51 runs were when this page was written, its toy problems were not."
        in Path("docs/results.md").read_text()
    )


def test_figures_and_report_are_those_of_the_runs(published):
    for number in (1, 3, 4):
        picture = Path(f"docs/figures/figure{number}.png")
        assert picture.read_bytes() == Path(f"figures/smoke/figure{number}.png").read_bytes()
        assert f"({picture.relative_to('docs')})" in Path("docs/results.md").read_text()
    assert Path("docs/report-cifar.pdf").read_bytes() == Path("results/smoke/report.pdf").read_bytes()

    Path("figures/smoke/figure1.png").write_bytes(b"another picture")
    before = tree(published)
    with pytest.raises(UserError, match=r"altered: figures/smoke/figure1\.png"):
        publish(OWN, "smoke")
    assert tree(published) == before


def test_publishing_again_changes_nothing_with_the_runs_or_without(published):
    before = tree(published)
    publish(OWN, "smoke")
    assert tree(published) == before
    shutil.rmtree("results")
    publish(OWN, "smoke")
    assert tree(published) == before


def test_what_was_published_under_other_criteria_needs_its_runs(published):
    projects.replace(Path("config/claims.yaml"), {"tests.alike.margin": 0.25})
    publish(OWN, "laptop")  # the runs are here: judged again
    assert "±0.25" in Path("docs/results/smoke.csv").read_text()
    shutil.rmtree("results")
    projects.replace(Path("config/claims.yaml"), {"tests.alike.margin": 0.125})
    before = tree(published)
    with pytest.raises(
        UserError, match=r"docs/results/smoke.json: F1a is judged differently now; train what the scale"
    ):
        publish(OWN, "laptop")
    assert tree(published) == before


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_refused_by_name_and_its_runs_make_it_again(published, damage):
    record, table = Path("docs/results/smoke.json"), Path("docs/results/smoke.csv")
    other = {record: Path("docs/results/laptop.json"), table: paths.runs("smoke")}
    before = tree(published)
    for path in (record, table):
        whole = path.read_bytes()
        path.write_bytes(DAMAGES[damage](whole, other[path].read_bytes()))
        assert path.read_bytes() != whole
        with pytest.raises(UserError, match=r"^docs/results/smoke.json: .*; restore both, or publish again where"):
            load_records(OWN)
        publish(OWN, "smoke")
        assert tree(published) == before


def test_a_readme_without_its_marks_is_refused(published):
    Path("README.md").write_text("no table\n")
    with pytest.raises(UserError, match=r"README.md: no lines <!-- results -->"):
        publish(OWN, "smoke")


def record(scale: str, **verdicts: str) -> Record:
    rows = [{"claim": name, "statement": f"{name} holds.", "verdict": verdict} for name, verdict in verdicts.items()]
    return Record({"scale": scale, "title": f"the {scale}"}, pd.DataFrame(rows))


def test_scales_that_contradict_each_other_are_named():
    one = record("one", F1="supported", F1a="supported", F2="inconclusive", F2a="inconclusive", F10="supported")
    other = record("other", F1="contradicted", F1a="contradicted", F2="supported", F2a="supported", F10="supported")
    found = compare(one, other)
    assert found["titles"] == ["the one", "the other"]
    assert found["both"] == 2
    assert [(row["name"], row["verdicts"]) for row in found["opposite"]] == [
        ("F1", ["supported", "contradicted"]),
        ("F1a", ["supported", "contradicted"]),
    ]
    assert [(row["name"], row["verdicts"]) for row in found["one_only"]] == [("F2", ["inconclusive", "supported"])]


def test_a_finding_has_its_own_parts_and_the_first_that_decides_it():
    verdicts = {
        "F1": "contradicted",
        "F1a": "supported",
        "F1b": "contradicted",
        "F10": "supported",
        "F10a": "supported",
    }
    one, ten = findings([record("one", **verdicts)])
    assert [part["name"] for part in one["parts"]] == ["F1a", "F1b"]
    assert one["deciding"]["one"]["claim"] == "F1b"
    assert [part["name"] for part in ten["parts"]] == ["F10a"]


def test_what_the_repository_publishes_is_what_its_records_and_logs_say(monkeypatch):
    monkeypatch.chdir(ROOT)
    records = load_records(SCALES)
    assert records
    for path, text in pages(records).items():
        assert path.read_text(encoding="utf-8") == text, f"{path}: run make publish"
    listed = subprocess.run(["git", "ls-files", "results"], capture_output=True, text=True).stdout.split()
    for known in records:
        study = load_study(known.scale, theory=False)
        committed = sum(str(job.run) in listed for job in study.jobs.values())
        if known.claims is None:
            assert not listed or known.about["finished"] <= committed < len(study.jobs), (
                f"{known.scale}: run make publish"
            )
            continue
        assert not outdated(known, study), known.scale
        assert all(files.sha256(Path(it["path"])) == it["sha256"] for it in known.about["pictures"]), known.scale
        if committed == len(study.jobs):
            assert {job.id: job.read()["sha256"] for job in study.jobs.values()} == known.about["jobs"], known.scale
            assert csv_text(judge_claims(study)) == Path(f"docs/results/{known.scale}.csv").read_text(), known.scale

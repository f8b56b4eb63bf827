"""Part II's text: what the numbers decide in it, by records that say otherwise."""

import json

import pytest
import theory

from sharpness import records
from sharpness.evidence import manifest
from sharpness.evidence.report.sections import fill_in
from sharpness.study import load_study


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return theory.report(tmp_path)


def text(study, section: str, artifact: str, change) -> str:
    """A section after the facts of an artifact's record are changed."""
    path = study.artifact(artifact).record(study.scale)
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record["facts"])
    records.write(path, {key: value for key, value in record.items() if key != "seal"})
    whole = fill_in(study, manifest.build(study), [])
    body = whole.split(f"{{#{section}}}")[1].split("\n# ")[0]
    return " ".join(body.split()).replace("\\.", ".")  # a full stop that is escaped reads the same


@pytest.mark.parametrize(
    ("section", "artifact", "change", "sentence"),
    [
        ("quadratic", "figure7", {"error": 1e-12}, "is that of the formula to 1 × 10⁻¹² of its value at worst"),
        ("quadratic", "figure7", {"error": 0.2}, "differs from the formula by up to 0.2 of its value"),
        ("quadratic", "figure8", {"error": 0.3}, "differ from the formula by up to 0.3"),
        ("sensing-map", "figure11", {"error": 0.04}, "within 4.0 % of the quadratic's floor, with no constant fitted"),
        ("sensing-map", "figure11", {"error": 0.5}, "different from the quadratic's floor by up to 0.5 of its value"),
        ("sensing-map", "figure11", {"apart": None}, "The original's own step size is 0.5."),
        ("laws", "table4", {"bounded_from": None, "unbounded_from": 0.3}, "no bounded law loses more than half"),
        ("laws", "table4", {"bounded_from": 1.0, "unbounded_from": 0.3}, "the bounded ones from ρ = 1 on at"),
        ("laws", "table4", {"bounded_from": 0.1, "unbounded_from": 0.3}, "does not decide which laws lose their draws"),
        ("laws", "table4", {"rest_converge": 0.99, "restless_converge": 0.0}, "come to rest on the quadratic in 99 %"),
    ],
)  # fmt: skip
def test_a_sentence_is_decided_by_its_number(study, section, artifact, change, sentence):
    assert sentence in text(study, section, artifact, lambda facts: facts.update(change))


def test_the_descents_that_are_far_from_their_edges_are_named(study):
    def move(facts, off):
        for row in facts["rows"]:
            row["off"] = 0.0
        facts["rows"][0]["off"] = off

    assert "None is more than a tenth from its edge." in text(study, "edge", "figure13", lambda f: move(f, 0.01))
    said = text(study, "edge", "figure13", lambda f: move(f, -0.3))
    assert "More than a tenth from its edge: gradient descent at η = 0.5 (−30 %)." in said


def test_the_cells_in_which_the_neuron_s_prediction_fails_are_named(study):
    def fail(facts):
        facts["laws"]["usam"] |= {"failing": 1, "where": [{"rate": 0.1, "ratios": [0.3, 3.0]}]}

    assert "in 1 of 8 cells, at η = 0.1 with ρ/η = 0.3, 3." in text(study, "single-neuron", "figure9", fail)


def test_part_two_stands_behind_part_one_with_its_own_verdicts(study):
    assert study.theory, "all of its artifacts are there"
    whole = fill_in(study, manifest.build(study), [])
    assert whole.index("{#disagreements}") < whole.index("{#theory}") < whole.index("{#predictions}")
    findings, predictions = (whole.split(f"{{#{name}}}")[1].split("\n# ")[0] for name in ("findings", "predictions"))
    assert "**F1**" in findings
    assert "**T1**" not in findings
    assert "**T1**" in predictions
    assert "**F1**" not in predictions
    assert "of 10 findings" in whole
    assert "of 7 predictions" in " ".join(whole.replace("\\n", " ").split())


def test_a_report_without_part_two_says_nothing_of_it(study):
    whole = fill_in(load_study("smoke", theory=False), manifest.build(study), [])

    assert "Part II" not in whole
    assert "T1" not in whole

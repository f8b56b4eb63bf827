"""The forest plot: its rows are the claims' own parts, and its words follow from their numbers."""

import json

import finished
import numpy as np
import pandas as pd
import pytest

from sharpness import paths
from sharpness.evidence.artifacts import verdict_forest
from sharpness.evidence.artifacts.verdict_forest import LOOKS


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return finished.project(tmp_path)


@pytest.fixture
def rows(study):
    return pd.read_csv(study.artifact("forest1").file(study.scale, "csv")).set_index("part")


def test_its_rows_are_the_parts_of_claims_csv(study, rows):
    judged = pd.read_csv(paths.claims(study.scale)).set_index("claim")

    assert list(rows.index) == [part.name for claim in study.claims for part in claim.parts]
    for column in ("statement", "effect", "low", "high", "n", "verdict"):
        assert rows[column].equals(judged.loc[rows.index, column].rename_axis("part").astype(rows[column].dtype)), (
            column
        )
    assert (rows["found"] == judged.loc[rows["claim"], "verdict"].to_numpy()).all()


def test_means_are_in_multiples_of_what_matters_and_shares_as_they_are(study, rows):
    means, shares = (rows[rows["measure"] == measure] for measure in ("mean", "share"))

    assert set(rows.loc["F1a":"F6c", "measure"]) == {"mean"}
    assert np.allclose(means["at"] * means["margin"], means["effect"], equal_nan=True)
    assert np.allclose(means["at_low"] * means["margin"], means["low"], equal_nan=True)
    assert np.allclose(shares["at"], shares["effect"], equal_nan=True)
    assert (rows.at["F1a", "right_from"], rows.at["F1a", "right_to"]) == (-1, 1)
    assert (rows.at["F2a", "right_from"], rows.at["F2a", "right_to"]) == (1, np.inf)
    assert rows.at["F8a", "right_from"] == 0.75
    assert rows.at["F7a", "right_from"] == pytest.approx(1 / 3), "one run in three is enough"


def test_an_effect_that_is_supported_is_where_the_finding_would_be_right(rows):
    inside = (rows["at"] >= rows["right_from"]) & (rows["at"] <= rows["right_to"])

    assert inside[rows["verdict"] == "supported"].all()
    assert len(set(rows["verdict"])) > 1
    assert not inside[rows["verdict"] == "contradicted"].any()


def test_each_verdict_has_a_shape_of_its_own(study):
    assert len({look["marker"] for look in LOOKS.values()}) == len(LOOKS) == 3
    svg = study.artifact("forest1").file(study.scale, "svg").read_text(encoding="utf-8")
    assert all(look["color"] in svg for look in LOOKS.values())


def test_its_words_are_those_of_the_part_that_speaks_most_against_the_finding(study, rows):
    because = json.loads(study.artifact("forest1").record(study.scale).read_text(encoding="utf-8"))["facts"]["because"]

    assert list(because) == [claim.name for claim in study.claims]
    deciding = rows[(rows["claim"] == "F2") & (rows["verdict"] == rows["found"])]
    weakest = deciding["effect"].min()
    assert f"{100 * weakest:.2f} points above SAM at ρ\u00a0=\u00a00.5 on WideResNet (interval +" in because["F2"]
    assert because["F2"].endswith("; 0.50 matters)")
    assert because["F8"].startswith("SAM makes progress at all three radii: ")


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (0.0123, "ends 1.23 points above SAM"),
        (-5e-10, "ends as accurate as SAM"),
        (-0.0123, "ends 1.23 points below SAM"),
    ],
)
def test_a_difference_that_shows_no_digit_has_no_side(study, effect, words):
    [part] = [part for claim in study.claims for part in claim.parts if part.name == "F1a"]
    assert words in part.quantity.in_words(study, effect)


def test_a_part_that_was_not_measured_says_why_and_is_drawn_without_a_mark(study, monkeypatch):
    forest, judge = study.artifact("forest1"), verdict_forest.judge_claims

    def without_f3a(study):
        frame = judge(study)
        own = frame["claim"] == "F3a"
        frame.loc[own, ["effect", "low", "high"]], frame.loc[own, "n"] = np.nan, pd.NA
        frame.loc[own, "reason"] = "run x is missing"
        frame.loc[frame["claim"].isin(["F3", "F3a", "F3b"]), "verdict"] = "inconclusive"
        return frame

    monkeypatch.setattr(verdict_forest, "judge_claims", without_f3a)
    forest.write(study)

    record = json.loads(forest.record(study.scale).read_text(encoding="utf-8"))
    assert record["facts"]["because"]["F3"].endswith("at 30 % of the epochs: run x is missing")
    assert "unmeasured" in forest.file(study.scale, "svg").read_text(encoding="utf-8")

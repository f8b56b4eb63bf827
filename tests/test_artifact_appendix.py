"""ARTIFACT.md is what its template gives; its numbers are those of a finished scale."""

import re
import runpy

import finished
import pandas as pd
import projects
import pytest

from sharpness import paths
from sharpness.errors import UserError
from sharpness.study import load_study

GENERATOR = runpy.run_path(str(projects.ROOT / "docs/generate/artifact.py"))
PAGE = (projects.ROOT / "ARTIFACT.md").read_text(encoding="utf-8")


@pytest.fixture
def study(tmp_path, monkeypatch):
    study = finished.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return study


def without_numbers(page: str) -> list[str]:
    """The lines that depend on no result: neither tables nor what was measured."""
    lines = re.sub(r"\b(smoke|laptop)( scale)?\b", "SCALE", page).splitlines()
    measured = r"\| [FT]\d|- \*\*(Hardware|Disk|Time to run|Versions)|  at most "
    return [line for line in lines if not re.match(measured, line)]


def test_the_page_is_the_template_filled_in(study):
    assert without_numbers(PAGE) == without_numbers(GENERATOR["text"](study)), "run `make artifact`"


def test_every_claim_has_its_command_its_result_and_its_interval(study):
    page = GENERATOR["text"](study)
    table = pd.read_csv(paths.claims(study.scale), index_col="claim")
    for claim in study.claims:
        [row] = [line for line in page.splitlines() if line.startswith(f"| {claim.name} |")]
        assert row.endswith(f"| {table.loc[claim.name, 'verdict']} |")
        [targets] = re.findall(r"`snakemake --cores all (.*) --config scale=smoke`", row)
        assert targets.split()
        assert all(study.artifact(name).section == claim.section for name in targets.split())
        for part in claim.parts:
            [row] = [line for line in page.splitlines() if line.startswith(f"| {part.name} |")]
            assert f"| {table.loc[part.name, 'effect']:.4g} |" in row


def test_the_page_s_claims_are_the_study_s():
    claims = load_study("laptop", projects.ROOT).claims
    assert re.findall(r"^\| (F\d+) \|", PAGE, re.MULTILINE) == [claim.name for claim in claims]


def test_an_unfinished_scale_gives_no_page(study):
    paths.claims(study.scale).unlink()
    with pytest.raises(UserError, match="scale smoke is incomplete, or not what the tree gives; first missing"):
        GENERATOR["text"](study)

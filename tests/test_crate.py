"""`sharpness crate`: a finished scale as a Workflow Run RO-Crate that the profile's own validator accepts."""

import json
import shutil
import zipfile
from pathlib import Path
from urllib.parse import unquote

import finished
import projects
import pytest
import requests
from rocrate_validator import services
from rocrate_validator.models import Severity, ValidationSettings
from rocrate_validator.utils.http import HttpRequester

from sharpness import cli, files, paths
from sharpness.evidence.crate import write_crate

# The crate's terms by vocabulary: what the two contexts that it names say of them, so that no test needs the network.
SCHEMA = """
    CreateAction CreativeWork Dataset HowTo HowToStep Organization PropertyValue SoftwareApplication SoftwareSourceCode
    ComputerLanguage about actionStatus additionalType agent alternateName author contentSize datePublished description
    encodingFormat endTime hasPart identifier instrument license mainEntity mentions name object position
    programmingLanguage result startTime step url value version workExample
"""
CONTEXT = {term: f"http://schema.org/{term}" for term in SCHEMA.split()} | {
    "File": "http://schema.org/MediaObject",
    "conformsTo": "http://purl.org/dc/terms/conformsTo",
    "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    "FormalParameter": "https://bioschemas.org/FormalParameter",
    "input": "https://bioschemas.org/ComputationalWorkflow#input",
    "output": "https://bioschemas.org/ComputationalWorkflow#output",
    "sha256": "https://w3id.org/ro/terms/workflow-run#sha256",
}


def answer(self: HttpRequester, url: str, **options: object) -> requests.Response:
    response = requests.Response()
    response.status_code, response._content = 200, json.dumps({"@context": CONTEXT}).encode()
    response.headers["Content-Type"] = "application/ld+json"
    return response


@pytest.fixture
def study(tmp_path, monkeypatch):
    study = finished.project(tmp_path)
    for name in ("Snakefile", "CITATION.cff"):
        shutil.copy(projects.ROOT / name, tmp_path)
    shutil.copytree(projects.ROOT / "docs/results", tmp_path / "docs/results")
    monkeypatch.chdir(tmp_path)
    return study


@pytest.fixture
def crate(study) -> Path:
    """The crate, unpacked."""
    with zipfile.ZipFile(write_crate(study)) as archive:
        archive.extractall("unpacked")
    return Path("unpacked")


def entities(crate: Path) -> dict[str, dict]:
    graph = json.loads((crate / "ro-crate-metadata.json").read_bytes())["@graph"]
    return {entity["@id"]: entity for entity in graph}


def issues(crate: Path) -> list[str]:
    """What the validator finds that the profile requires."""
    settings = ValidationSettings(
        rocrate_uri=crate, profile_identifier="provenance-run-crate-0.5", requirement_severity=Severity.REQUIRED
    )
    return [f"{issue.check.identifier}: {issue.message}" for issue in services.validate(settings).get_issues()]


def test_the_validator_finds_nothing_that_the_profile_requires(crate, monkeypatch):
    monkeypatch.setattr(HttpRequester, "get", answer, raising=False)
    assert issues(crate) == []
    metadata = crate / "ro-crate-metadata.json"
    whole = json.loads(metadata.read_bytes())
    for entity in whole["@graph"]:
        entity.pop("instrument", None)
    files.write_json(metadata, whole)
    assert any("instrument" in issue for issue in issues(crate)), "the validator can find something"


def test_each_job_is_an_action_with_its_settings_its_files_and_its_times(crate, study):
    found = entities(crate)
    for job in study.jobs.values():
        action = found[f"#run-{job.id}"]
        assert action["@type"] == "CreateAction"
        assert action["instrument"]["@id"] == f"#sharpness-{'train' if job.id in study.runs else 'compute'}"
        assert [entry["@id"] for entry in action["result"]] == [str(file) for file in job.files]
        objects = {unquote(part["@id"]) for part in action["object"]}
        assert {f"#{name}={value}" for name, value in job.spec.items()} <= objects
        assert found[action["agent"]["@id"]]["@type"] == "Organization"
    assert [name for name in found if set(name) & set(" \"'<>{}[]|\\^`")] == [], "identifiers are addresses"
    run = next(iter(study.runs))
    assert found[f"#run-{run}"]["startTime"] == "2026-01-01T00:00:09+00:00"
    assert found[f"#run-{run}"]["endTime"] == "2026-01-01T00:00:10+00:00"


def test_the_report_is_made_from_every_artifact_and_from_what_other_scales_have_found(crate, study):
    objects = {part["@id"] for part in entities(crate)["#run-report"]["object"]}
    made = {str(file) for artifact in study.artifacts.values() for file in artifact.files(study.scale)}
    assert made | {"docs/results/digits-20.json", "docs/results/digits-20.csv"} <= objects


def test_the_crate_holds_the_files_that_it_names(crate, study):
    for entity in entities(crate).values():
        if "sha256" in entity:
            assert files.sha256(crate / entity["@id"]) == entity["sha256"]
    for artifact in study.artifacts.values():
        assert all((crate / file).is_file() for file in artifact.files(study.scale))


def test_an_unfinished_or_altered_scale_is_refused_in_one_line(study, capsys):
    table = paths.runs(study.scale)
    table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert cli.main(["crate", "--scale", study.scale]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("sharpness: error: results/smoke: incomplete, or not what the tree gives (1 findings")
    assert str(table) in line
    assert not paths.crate(study.scale).exists()

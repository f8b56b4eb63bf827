"""The pipeline as the Snakemake workflow catalog wants it, and imported by another workflow in another folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import projects
import pytest
import yaml

pytestmark = pytest.mark.pipeline

IMPORTER = """
configfile: "config/config.yaml"

module sharpness:
    snakefile: "{snakefile}"
    config: config

use rule * from sharpness as sharpness_*
"""


@pytest.fixture(scope="module")
def importer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a Snakefile and a config/ of its own, and nothing else."""
    folder = tmp_path_factory.mktemp("other project")
    snakefile = projects.ROOT / "workflow/Snakefile"
    (folder / "Snakefile").write_text(IMPORTER.format(snakefile=snakefile), encoding="utf-8")
    shutil.copytree(projects.ROOT / "config", folder / "config")
    return folder


def snakemake(folder: Path, target: str, *options: str) -> subprocess.CompletedProcess:
    """Run the importing project's workflow at the smoke scale, in an environment that does not name our src/."""
    words = ["--cores", "2", "--workflow-profile", str(projects.ROOT / "profiles/default"), "--config", "scale=smoke"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    bare = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"PATH": path}
    return subprocess.run(
        ["snakemake", *options, *words, "--", target], cwd=folder, env=bare, capture_output=True, text=True, check=False
    )


def test_another_workflow_imports_the_pipeline_and_draws_a_figure(importer):
    done = snakemake(importer, "sharpness_figure3")
    assert done.returncode == 0, done.stderr
    assert {file.suffix for file in (importer / "figures/smoke").iterdir()} == {".svg", ".pdf", ".png", ".csv", ".json"}
    runs = [json.loads(file.read_bytes()) for file in importer.glob("results/smoke/training/*/run.json")]
    assert sorted(run["spec"]["method"] for run in runs) == ["sam", "sam-linf-as-described", "sam-linf-as-run"]
    head = subprocess.run(
        ["git", "-C", str(projects.ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    assert {run["provenance"]["commit"] for run in runs} == {head.stdout.strip() or None}, (
        "of the code, not the importer"
    )


def test_all_of_the_pipeline_is_there_in_the_importing_workflow(importer):
    done = snakemake(importer, "sharpness_all", "-n")
    assert done.returncode == 0, done.stderr
    for rule in ("train", "compute", "table", "figure", "runs", "claims", "report"):
        assert f"sharpness_{rule} " in done.stdout


def test_the_importing_project_s_own_configuration_is_what_counts(importer, tmp_path):
    folder = shutil.copytree(importer, tmp_path / "project", ignore=shutil.ignore_patterns("results", ".snakemake"))
    projects.replace(folder / "config/study.yaml", {"training.momentum": 2})
    done = snakemake(folder, "sharpness_figure3", "-n")
    assert done.returncode != 0
    assert "config/study.yaml: training.momentum is 2; it must be less than 1" in done.stdout


def test_the_catalog_finds_what_it_asks_for():
    usage = yaml.safe_load((projects.ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    assert usage.keys() == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["mandatory-flags"].keys() == {"desc", "flags"}
    for file in ("workflow/Snakefile", "config/README.md", "README.md", "LICENSE"):
        assert (projects.ROOT / file).is_file()

"""Every kind of file × every kind of damage: each is named by `verify`, and refused or made again by what uses it."""

import itertools
import json
import re
import shutil
from pathlib import Path

import finished
import pytest
import torch

from sharpness import paths
from sharpness.datasets import ARRAYS, open_arrays, prepare
from sharpness.errors import UserError
from sharpness.evidence.intact import altered_artifacts, altered_report
from sharpness.evidence.report import write_report
from sharpness.evidence.verify import verify
from sharpness.training.checkpoint import CheckpointFile

PAGE = Path(__file__).parents[1] / "docs/reliability.md"


def one_byte(content: bytes, other: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def edited_by_hand(content: bytes, other: bytes) -> bytes:
    """Its first digit is another one."""
    return re.sub(rb"\d", lambda found: b"%d" % ((int(found[0]) + 1) % 10), content, count=1)


DAMAGES = {
    "one byte": one_byte,
    "cut": lambda content, other: content[: len(content) // 2],
    "empty": lambda content, other: b"",
    "emptied JSON": lambda content, other: b"{}\n",
    "wrong type": lambda content, other: b'["a list", NaN, ' + b"[" * 5000,
    "swapped with another's": lambda content, other: other,
    "edited by hand": edited_by_hand,
}

JOBS = ["history.csv", "run.json of a run", "data.csv", "run.json of a problem"]
TABLE = [f"table .{suffix}" for suffix in ("md", "tex", "csv", "json")]
FIGURE = [f"figure .{suffix}" for suffix in ("svg", "pdf", "png", "csv", "json")]
COLLECTED = ["runs.csv", "runs.json", "claims.csv", "claims.json"]
REPORT = ["report.html", "report.pdf", "config.yaml", "MANIFEST.json"]
PREPARED = [*(f"{name}.npy" for name in ARRAYS), "meta.json"]
CHECKPOINT = ["checkpoint"]
KINDS = [*JOBS, *TABLE, *FIGURE, *COLLECTED, *REPORT, *PREPARED, *CHECKPOINT]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corruption")
    return folder, finished.project(folder)


def pairs(study) -> dict[str, tuple[Path, Path]]:
    """A file of each kind, each of another job or artifact, and another file of its kind."""
    runs, figures = iter(study.runs.values()), itertools.count(1)
    history, run, other = next(runs), next(runs), next(runs)
    sensing, neuron = study.problems["sensing"], study.problems["neuron"]
    found = {
        "history.csv": (history.data, other.data),
        "run.json of a run": (run.run, other.run),
        "data.csv": (sensing.data, neuron.data),
        "run.json of a problem": (neuron.run, other.run),
    }
    for number, kind in zip((1, 2, 3, 1), TABLE, strict=True):
        path = study.artifact(f"table{number}").file("smoke", kind.partition(".")[2])
        found[kind] = (path, path.with_stem("table2" if number != 2 else "table3"))
    for number, kind in zip(figures, FIGURE, strict=False):
        path = study.artifact(f"figure{number}").file("smoke", kind.partition(".")[2])
        found[kind] = (path, path.with_stem("figure3" if number != 3 else "figure4"))
    own = {"runs": paths.runs("smoke"), "claims": paths.claims("smoke")}
    for name, other_name in (("runs", "claims"), ("claims", "runs")):
        found[f"{name}.csv"] = (own[name], own[other_name])
        found[f"{name}.json"] = (paths.record(own[name]), paths.record(own[other_name]))
    html, pdf = paths.report("smoke")
    found |= {"report.html": (html, pdf), "report.pdf": (pdf, html)}
    return found | {
        "config.yaml": (paths.config("smoke"), Path("config/study.yaml")),
        "MANIFEST.json": (paths.manifest("smoke"), paths.record(own["runs"])),
    }


class Damaged:
    """Some files of a project, damaged for a while."""

    def __init__(self, damage, files: list[tuple[Path, Path]]):
        self.before = {path: path.read_bytes() for path, _ in files}
        self.after = {path: damage(path.read_bytes(), other.read_bytes()) for path, other in files}

    def __enter__(self) -> None:
        for path, content in self.after.items():
            assert content != self.before[path], path
            path.write_bytes(content)

    def __exit__(self, *error: object) -> None:
        for path, content in self.before.items():
            path.write_bytes(content)


def named(findings: list[str]) -> set[str]:
    """What a list of findings names: files, or folders of jobs."""
    assert all("\n" not in line for line in findings)
    return {line.split(": ")[1] for line in findings}


@pytest.mark.parametrize("damage", DAMAGES)
def test_results(project, monkeypatch, damage):
    folder, study = project
    monkeypatch.chdir(folder)
    found = pairs(study)
    assert set(found) == {*JOBS, *TABLE, *FIGURE, *COLLECTED, *REPORT}
    manifest = found.pop("MANIFEST.json")

    with Damaged(DAMAGES[damage], list(found.values())):
        findings = named(verify(study))
        assert [kind for kind, (path, _) in found.items() if str(path) not in findings] == []
        # A damaged job is refused by everything that is made from it; what is damaged of the rest is made again by
        # Snakemake (tests/test_pipeline.py), and no report is made of it.
        for kind in JOBS:
            [job] = [job for job in study.jobs.values() if found[kind][0] in job.files]
            with pytest.raises(UserError, match=re.escape(str(job.folder))):
                job.read()
        again = altered_artifacts(study) | altered_report(study)
        assert [
            kind for kind in (*TABLE, *FIGURE, *COLLECTED, *REPORT[:-1]) if not _is_again(found[kind][0], again)
        ] == []
        with pytest.raises(UserError, match="delete it and make it again: snakemake"):
            write_report(study)

    with Damaged(DAMAGES[damage], [manifest]):
        assert named(verify(study)) == {str(manifest[0])}
        assert list(altered_report(study)) == [manifest[0]]


def _is_again(path: Path, again: dict[Path, str]) -> bool:
    return path in again or path.with_suffix(".json") in again


def test_nothing_is_named_once_all_is_restored(project, monkeypatch):
    folder, study = project
    monkeypatch.chdir(folder)
    assert verify(study) == []


def test_a_run_json_s_numbers_edited_by_hand_do_not_become_official(project, monkeypatch):
    """Nothing but its own seal knows of them before there is a manifest."""
    folder, study = project
    monkeypatch.chdir(folder)
    job = next(iter(study.runs.values()))

    def cheaper(content: bytes, other: bytes) -> bytes:
        run = json.loads(content)
        return json.dumps({**run, "cost": {**run["cost"], "seconds": 0.5}}).encode()

    with Damaged(cheaper, [(job.run, job.run)]), pytest.raises(UserError, match="changed since it was written"):
        job.read()


def test_prepared_data(tmp_path, project, monkeypatch):
    folder, study = project
    monkeypatch.chdir(folder)
    dataset = study.settings["dataset"]
    prepared = prepare(dataset, tmp_path)
    for name, damage in itertools.product(PREPARED, DAMAGES.values()):
        other = prepared / ("test_images.npy" if name != "test_images.npy" else "train_images.npy")
        refused = pytest.raises(UserError, match=r"prepared data damaged .*delete this folder and run again")
        with Damaged(damage, [(prepared / name, other)]), refused:
            open_arrays(prepared)
    open_arrays(prepared)

    shutil.copytree(prepared, Path("data") / prepared.name)
    with Damaged(one_byte, [(Path("data") / prepared.name / "train_images.npy", prepared / "meta.json")]):
        assert str(Path("data") / prepared.name) in named(verify(study))
    shutil.rmtree("data")


def test_checkpoints(tmp_path, capsys):
    state = {"history": [{"epoch": 1}], "done": 3, "weights": torch.arange(100.0)}
    whole = CheckpointFile(tmp_path / "whole.pt", {"id": "other", "spec": {}})
    whole.save(state)
    for name, damage in DAMAGES.items():
        checkpoint = CheckpointFile(tmp_path / "run.pt", {"id": "run", "spec": {}})
        checkpoint.save(state)
        content = damage(checkpoint.path.read_bytes(), whole.path.read_bytes())
        checkpoint.path.write_bytes(content)
        assert checkpoint.load() is None, name
        assert not checkpoint.path.exists()
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_page_says_how_many_there_are():
    count = len(KINDS) * len(DAMAGES)
    print(f"{len(KINDS)} kinds of file × {len(DAMAGES)} kinds of damage: {count} cases")
    assert f"{len(KINDS)} kinds of file, {len(DAMAGES)} kinds of damage, {count} cases" in PAGE.read_text(
        encoding="utf-8"
    )

"""The graph, on real Snakemake runs: what is built, what is left alone, who may run, and what a kill costs."""

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import projects
import pytest
from test_resume import instants

from sharpness import paths
from sharpness.records import read_run
from sharpness.study import load_study

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(1200)]


def clone(folder: Path) -> Path:
    """A fresh clone of the repository, with what is not committed yet on top."""
    subprocess.run(["git", "clone", "--quiet", projects.ROOT, folder], check=True)
    listing = ["git", "-C", projects.ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split("\0"):
        if (projects.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(projects.ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone in which the smoke scale has been run on two cores."""
    folder = clone(tmp_path_factory.mktemp("finished") / "project")
    done = projects.snakemake(folder, cores=2)
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, times and Snakemake's own records included, for the test to change."""
    return Path(shutil.copytree(finished, tmp_path / "project", ignore=shutil.ignore_patterns(".git")))


@pytest.fixture
def fresh(finished: Path, tmp_path: Path) -> Path:
    """The project with its data prepared and nothing run."""
    ignored = shutil.ignore_patterns(".git", "results", "figures", ".snakemake")
    return Path(shutil.copytree(finished, tmp_path / "project", ignore=ignored))


@pytest.mark.parametrize(
    ("rule", "module"), [("runs", "runs"), ("table", "tables"), ("figure", "figures"), ("claims", "claims")]
)
def test_a_rule_rests_on_all_the_code_that_decides_its_artifact(rule, module):
    text = (projects.ROOT / "workflow/rules/evidence.smk").read_text(encoding="utf-8")
    inputs = text.split(f"rule {rule}:")[1].split("output:")[0]
    pending, known = [module], set()
    while pending:
        name = pending.pop()
        known.add(name)
        source = (projects.ROOT / f"src/sharpness/evidence/{name}.py").read_text(encoding="utf-8")
        imported = {*re.findall(r"^from sharpness\.evidence\.(\w+) import", source, re.MULTILINE)}
        for names in re.findall(r"^from sharpness\.evidence import (.+)$", source, re.MULTILINE):
            imported |= set(names.split(", "))
        pending += imported - known
    assert {name for name in known if f'"src/sharpness/evidence/{name}.py"' not in inputs} == set()


class Plan:
    """What Snakemake would do.

    Attributes:
        jobs: how many of each rule.
        trained: the run_ids that it would train.
    """

    def __init__(self, folder: Path, *targets: str, scale: str = "smoke"):
        done = projects.run(folder, "snakemake", "--dry-run", "--config", f"scale={scale}", "--", *targets)
        assert done.returncode == 0, done.stdout
        self.jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}
        self.trained = set(re.findall(r"wildcards: run_id=(\S+)", done.stdout))
        assert bool(self.jobs) != ("Nothing to be done" in done.stdout)
        assert self.jobs.get("train", 0) == len(self.trained)

    @property
    def computes(self) -> set[str]:
        """The rules among its jobs whose results are not drawn from others' results."""
        return {"train", "sense", "neuron", "data"} & set(self.jobs)


def results(folder: Path) -> dict[str, bytes]:
    """Everything that must not depend on when, how fast and in which order it was made."""
    made = projects.files(folder / "results/smoke") | projects.files(folder / "figures/smoke")
    drawn = (".csv", ".md", ".tex", ".pdf", ".png", ".svg")
    return {name: content for name, content in made.items() if name.endswith(drawn) and not name.startswith("report.")}


def times(folder: Path, pattern: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob(pattern)}


HISTORIES = "results/smoke/runs/*/*"


def test_a_fresh_clone_makes_every_artifact(finished):
    study = load_study("smoke", finished)
    for name in study.artifacts:
        for file in paths.artifact_files("smoke", name):
            assert (finished / file).stat().st_size > 0
    head = ["git", "-C", projects.ROOT, "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    for run_id in study.runs:
        assert read_run(finished / paths.run("smoke", run_id))["provenance"]["commit"] == commit
    litter = [path for path in (finished / "results").rglob(".*")] + list((finished / "figures").rglob(".*"))
    assert not litter
    assert not list(finished.glob("results/smoke/checkpoints/*"))


# --- what is built


def test_an_artifact_needs_its_own_runs_and_no_others(fresh):
    study = load_study("smoke", fresh)
    for name, artifact in study.artifacts.items():
        plan = Plan(fresh, name)
        assert plan.trained == set(artifact.run_ids)
        assert ("sense" in plan.jobs) == artifact.needs_sensing
        assert plan.jobs.get("table", 0) + plan.jobs.get("figure", 0) == 1
    assert Plan(fresh).trained == set(study.runs), "all of them need every run"
    done = projects.snakemake(fresh, "table3")
    assert done.returncode == 0, done.stdout
    made = {name for name in projects.files(fresh / "results/smoke") if not name.startswith("logs/")}
    sensing = {str(path.relative_to("results/smoke")) for path in paths.sources(study, "table3")}
    assert made == sensing | {f"tables/table3.{suffix}" for suffix in paths.TABLE_SUFFIXES}


def test_after_a_complete_run_there_is_nothing_to_do(copied):
    assert Plan(copied).jobs == {}
    run_id = projects.find_run(copied, network="vgg", method="sgd")
    (copied / paths.run("smoke", run_id) / "history.csv").unlink()
    plan = Plan(copied)
    assert plan.trained == {run_id}, "a run that is gone is the only one to be trained"
    assert plan.jobs["runs"] == 1


def test_a_changed_style_redraws_and_trains_nothing(copied):
    before, histories, pictures = results(copied), times(copied, HISTORIES), times(copied, "figures/smoke/figure2.*")
    with (copied / "src/sharpness/evidence/style.py").open("a", encoding="utf-8") as file:
        file.write("\n# a change\n")
    plan = Plan(copied)
    assert plan.jobs["figure"] == 5
    assert plan.computes == set()
    done = projects.snakemake(copied, "figure2")
    assert done.returncode == 0, done.stdout
    redrawn = times(copied, "figures/smoke/figure2.*")
    assert all(redrawn[path] > pictures[path] for path in pictures)
    assert times(copied, HISTORIES) == histories
    assert results(copied) == before


def test_a_changed_setting_trains_exactly_the_runs_that_it_concerns(copied):
    before, histories = set(load_study("smoke", copied).runs), times(copied, HISTORIES)
    metric = lambda study: study["experiments"]["metric"]["runs"][2]  # noqa: E731
    projects.edit(copied / "config/study.yaml", lambda study: metric(study).update(rho=[0.0005]))
    changed = set(load_study("smoke", copied).runs) - before
    assert len(changed) == 1
    assert Plan(copied).trained == changed
    done = projects.snakemake(copied, "figure3")
    assert done.returncode == 0, done.stdout
    assert times(copied, HISTORIES).items() > histories.items(), "the others are as they were"
    assert read_run(copied / paths.run("smoke", changed.pop()))["status"] in ("completed", "diverged")


@pytest.mark.parametrize("results_first", [True, False])
def test_a_fresh_clone_beside_copied_results_trains_nothing(finished, tmp_path, results_first):
    folder = tmp_path / "clone"
    steps: list[Callable[[], object]] = [
        lambda: [
            shutil.copytree(finished / name, folder / name, copy_function=shutil.copy, dirs_exist_ok=True)
            for name in ("results", "figures")
        ],
        lambda: shutil.copytree(clone(tmp_path / "sources"), folder, copy_function=shutil.copy, dirs_exist_ok=True),
    ]
    for step in steps if results_first else reversed(steps):
        step()
        time.sleep(0.01)  # what comes next is newer
    assert Plan(folder).computes == set()
    shutil.rmtree(folder / paths.run("smoke", projects.find_run(folder, network="vgg", method="sgd")))
    assert Plan(folder).jobs["train"] == 1


COMMENTED = [
    *("Snakefile", "workflow/rules/training.smk", "workflow/rules/problems.smk", "profiles/default/config.yaml"),
    *("config/config.yaml", "config/study.yaml", "config/scales/smoke.yaml"),
    *("src/sharpness/study.py", "src/sharpness/training/loop.py", "src/sharpness/optim/sam.py"),
]


def test_nothing_is_trained_again_because_a_comment_changed(copied):
    for name in COMMENTED:
        with (copied / name).open("a", encoding="utf-8") as file:
            file.write("\n# a comment\n")
    assert Plan(copied).computes == set()


def test_two_scales_never_mix(copied):
    shutil.copy(copied / "config/scales/smoke.yaml", copied / "config/scales/tiny.yaml")
    projects.edit(copied / "config/scales/tiny.yaml", lambda scale: scale.update(epochs=1, sensing_draws=2))
    smoke, everything = set(load_study("smoke", copied).runs), results(copied)
    tiny = set(load_study("tiny", copied).runs)
    assert Plan(copied, scale="tiny").trained == tiny
    assert tiny.isdisjoint(smoke)
    words = ["snakemake", "--cores", "2", "--config", "scale=tiny", "--", "table3", "figure2"]
    done = projects.run(copied, *words)
    assert done.returncode == 0, done.stdout
    assert (copied / "results/tiny/tables/table3.csv").exists()
    assert results(copied) == everything
    assert Plan(copied).jobs == {}


# --- who may run, and what they may say


def test_a_second_snakemake_is_refused_and_harms_nothing(fresh):
    first = projects.start(fresh, "snakemake", "--cores", "1", "--config", "scale=smoke", "--", "figure3")
    assert projects.wait_for(lambda: list(fresh.glob("results/smoke/logs/*")), first)
    second = projects.snakemake(fresh, "figure3")
    assert second.returncode == 1
    line = f"another snakemake is running in {fresh}; wait for it, or stop it"
    assert second.stdout.count(line) == 1
    assert Plan(fresh, "figure3").jobs, "looking is allowed"
    output, _ = first.communicate()
    assert first.returncode == 0, output
    third = projects.snakemake(fresh, "figure3")
    assert third.returncode == 0
    assert "Nothing to be done" in third.stdout


def test_a_name_from_the_configuration_reaches_no_shell(fresh):
    name = "a b;touch PWNED;$(touch PWNED)"
    shutil.copy(fresh / "config/scales/smoke.yaml", fresh / f"config/scales/{name}.yaml")
    done = projects.run(fresh, "snakemake", "--cores", "2", "--config", f"scale={name}", "--", "table3")
    assert done.returncode == 0, done.stdout
    assert (fresh / "results" / name / "tables/table3.csv").exists()
    assert not list(fresh.rglob("PWNED"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["scale=smok"], "config/scales/: unknown scale 'smok'; did you mean 'smoke'?"),
        (["scale=smoke", "devise=cpu"], "unknown key 'devise' in the file; did you mean 'device'?"),
        (["scale=smoke", "runs_per_gpu=0"], "runs_per_gpu is 0; it must be at least 1"),
    ],
)
def test_a_faulty_command_line_is_refused_before_anything_runs(finished, words, line):
    done = projects.run(finished, "snakemake", "--cores", "1", "--config", *words)
    assert done.returncode == 1
    assert line in done.stdout
    assert "Traceback" not in done.stdout


def test_a_broken_file_is_refused_with_its_line(copied):
    (copied / "config/config.yaml").write_text("scale: smoke\ndevice: [cpu\n", encoding="utf-8")
    done = projects.snakemake(copied)
    assert done.returncode == 1
    assert "config/config.yaml, line 3, column 1: not valid YAML" in done.stdout


# --- kills, cores


def test_killed_at_one_core_and_continued_the_results_are_those_of_two_cores(finished, fresh):
    chance: random.Random = instants()
    words = ["snakemake", "--cores", "1", "--config", "scale=smoke"]

    def complete() -> int:
        return len(list(fresh.glob("results/smoke/runs/*/run.json")))

    for _ in range(2):
        process = projects.start(fresh, *words)
        before = complete()
        assert projects.wait_for(lambda before=before: complete() > before, process, seconds=120)
        time.sleep(chance.uniform(0, 3))
        projects.kill_pipeline(process, fresh)
        assert complete() < len(load_study("smoke", fresh).runs), "the kill came in the middle"
    finished_runs = times(fresh, "results/smoke/runs/*/run.json")
    continued = projects.run(fresh, *words)
    assert continued.returncode == 0, continued.stdout
    assert results(fresh) == results(finished)
    kept = times(fresh, "results/smoke/runs/*/run.json")
    assert finished_runs.items() < kept.items(), "what was complete is not trained again"
    assert not [path for path in fresh.rglob(".*-*") if ".snakemake" not in path.parts]
    assert os.listdir(fresh / "results/smoke/checkpoints") == []

"""The graph, on real Snakemake runs: what is built, what is left alone, who may run, and what a kill costs."""

import ast
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import projects
import pytest
from test_corruption import COLLECTED, DAMAGES, FIGURE, JOBS, KINDS, PREPARED, REPORT, TABLE, pairs
from test_resume import instants

from sharpness.datasets import prepared_folder
from sharpness.jobs import TRAINING
from sharpness.study import load_study
from sharpness.training.checkpoint import CheckpointFile

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


class Plan:
    """What Snakemake would do.

    Attributes:
        jobs: how many of each rule.
        trained: the ids of the runs that it would train.
        computed: the ids of the toy problems that it would compute.
        made: what else it would make: artifacts by their names, and runs, claims and report.
    """

    def __init__(self, folder: Path, *targets: str, scale: str = "smoke"):
        done = projects.run(folder, "snakemake", "--dry-run", "--config", f"scale={scale}", "--", *targets)
        assert done.returncode == 0, done.stdout
        self.jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}
        self.trained = set(re.findall(r"wildcards: .*run_id=(\S+)", done.stdout))
        self.computed = set(re.findall(r"wildcards: .*problem_id=(\S+)", done.stdout))
        self.made = set(re.findall(r"wildcards: (?:table|figure)=(\S+)", done.stdout))
        self.made |= {"runs", "claims", "report"} & set(self.jobs)
        assert bool(self.jobs) != ("Nothing to be done" in done.stdout)
        assert self.jobs.get("train", 0) == len(self.trained)
        assert self.jobs.get("compute", 0) == len(self.computed)

    @property
    def computes(self) -> set[str]:
        """The rules among its jobs whose results are not drawn from others' results."""
        return {"train", "compute", "data"} & set(self.jobs)


def results(folder: Path) -> dict[str, bytes]:
    """Everything that must not depend on when, how fast and in which order it was made."""
    made = projects.files(folder / "results/smoke") | projects.files(folder / "figures/smoke")
    drawn = re.compile(r".*\.(csv|md|tex|pdf|png|svg)|(tables/)?(table|figure|forest)\d+\.json")
    return {name: content for name, content in made.items() if drawn.fullmatch(name) and not name.startswith("report.")}


def times(folder: Path, pattern: str) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob(pattern)}


HISTORIES = "results/smoke/training/*/*"


def test_a_fresh_clone_makes_every_artifact(finished, monkeypatch):
    monkeypatch.chdir(finished)
    study = load_study("smoke")
    for artifact in study.artifacts.values():
        for file in artifact.files("smoke"):
            assert file.stat().st_size > 0
    head = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    for job in study.jobs.values():
        assert job.read()["provenance"]["commit"] == commit
    litter = [path for path in (finished / "results").rglob(".*")] + list((finished / "figures").rglob(".*"))
    assert not litter
    assert not list(finished.glob("results/smoke/checkpoints/*"))


# --- what is built


def test_an_artifact_needs_its_own_runs_and_no_others(fresh):
    study = load_study("smoke", fresh)
    for name, artifact in study.artifacts.items():
        plan = Plan(fresh, name)
        needed = artifact.jobs(study)
        assert plan.trained == {job.id for job in needed if job.kind == TRAINING}
        assert plan.computed == {job.id for job in needed if job.kind != TRAINING}
        assert plan.made == {name}
    everything = Plan(fresh)
    assert everything.trained == set(study.runs), "all of them need every run"
    assert everything.computed == {job.id for job in study.problems.values()}
    done = projects.snakemake(fresh, "table3")
    assert done.returncode == 0, done.stdout
    made = {name for name in projects.files(fresh / "results/smoke") if not name.startswith("logs/")}
    table3 = [*study.problems["sensing"].files, *study.artifact("table3").files("smoke")]
    assert made == {str(path.relative_to("results/smoke")) for path in table3}


def test_after_a_complete_run_there_is_nothing_to_do(copied):
    assert Plan(copied).jobs == {}
    study = load_study("smoke", copied)
    run_id = projects.find_run(copied, network="vgg", method="sgd")
    (copied / study.runs[run_id].data).unlink()
    plan = Plan(copied)
    assert plan.trained == {run_id}, "a run that is gone is the only one to be trained"
    assert plan.computed == set()
    assert plan.jobs["runs"] == 1


def test_a_changed_style_redraws_and_trains_nothing(copied):
    before, histories, pictures = results(copied), times(copied, HISTORIES), times(copied, "figures/smoke/figure2.*")
    with (copied / "src/sharpness/evidence/style.py").open("a", encoding="utf-8") as file:
        file.write("\n# a change\n")
    plan = Plan(copied)
    assert plan.jobs["figure"] == 6
    assert plan.computes == set()
    done = projects.snakemake(copied, "figure2")
    assert done.returncode == 0, done.stdout
    redrawn = times(copied, "figures/smoke/figure2.*")
    assert all(redrawn[path] > pictures[path] for path in pictures)
    assert times(copied, HISTORIES) == histories
    assert results(copied) == before


def test_altered_files_are_made_again_and_never_become_official(copied):
    before = results(copied)
    page = (copied / "results/smoke/report.html").read_text(encoding="utf-8")

    def edit(name: str, old: str = "", new: str = "garbage") -> None:
        file = copied / name
        content = file.read_bytes()
        file.write_bytes(content.replace(old.encode(), new.encode(), 1) if old else content[:-20] + new.encode())
        assert file.read_bytes() != content

    rotten = copied / "figures/smoke/figure4.csv"
    then = rotten.stat()
    edit("results/smoke/tables/table1.md", " ± ", " ± 9")
    edit("figures/smoke/figure1.svg", "#", "#f")
    for name in ("tables/table2.tex", "tables/table3.json", "runs.csv", "claims.csv", "config.yaml"):
        edit(f"results/smoke/{name}")
    for name in ("figure2.png", "figure3.pdf", "figure4.csv"):
        edit(f"figures/smoke/{name}")
    os.utime(rotten, ns=(then.st_atime_ns, then.st_mtime_ns))  # as a disk does that loses a byte
    found = projects.run(copied, "python", "-m", "sharpness", "verify", "--scale", "smoke").stdout
    assert all(
        f"altered: results/smoke/tables/{name}: " in found for name in ("table1.md", "table2.tex", "table3.json")
    )
    direct = projects.run(copied, "python", "-m", "sharpness", "report", "--scale", "smoke")
    assert direct.returncode == 1
    assert "delete it and make it again: snakemake" in direct.stdout

    plan = Plan(copied)
    assert plan.made == {
        "table1",
        "table2",
        "table3",
        "figure1",
        "figure2",
        "figure3",
        "figure4",
        "runs",
        "claims",
        "report",
    }
    assert plan.computes == set()
    done = projects.snakemake(copied)
    assert done.returncode == 0, done.stdout
    assert results(copied) == before
    verified = projects.run(copied, "python", "-m", "sharpness", "verify", "--scale", "smoke")
    assert verified.returncode == 0, verified.stdout

    # The report alone: nothing else is newer than it.
    edit("results/smoke/report.html", "<h1>", "<h1>Altered: ")
    assert Plan(copied).made == {"report"}
    done = projects.snakemake(copied)
    assert done.returncode == 0, done.stdout
    assert (copied / "results/smoke/report.html.altered").exists()
    now = (copied / "results/smoke/report.html").read_text(encoding="utf-8")
    assert now.partition("Appendix: provenance")[0] == page.partition("Appendix: provenance")[0]


def test_altered_numbers_of_a_job_are_refused_until_it_is_run_again(copied):
    job = load_study("smoke", copied).problems["sensing"]
    before = (copied / job.data).read_bytes()
    (copied / job.data).write_bytes(before.replace(b"1", b"2", 9))

    done = projects.snakemake(copied, "table3")

    assert done.returncode != 0
    [line] = {line.strip() for line in done.stdout.splitlines() if "sharpness: error" in line}
    assert f"{job.data}: not the file that its run.json describes" in line
    assert f"delete {job.folder} and run again" in line
    shutil.rmtree(copied / job.folder)
    done = projects.snakemake(copied, "table3")
    assert done.returncode == 0, done.stdout
    assert (copied / job.data).read_bytes() == before


def test_a_file_of_each_kind_is_damaged_and_what_the_lines_say_repairs_them_all(copied, monkeypatch, capsys):
    """27 kinds of file (tests/test_corruption.py), damaged all at once, each in one of the 7 ways in turn."""
    monkeypatch.chdir(copied)
    study = load_study("smoke")
    before, prepared = results(copied), projects.files(copied / "data")
    untrained = study.runs[projects.find_run(copied, network="pyramidnet", method="asam")]
    shutil.rmtree(untrained.folder)
    checkpoint = CheckpointFile(untrained.checkpoint, {"id": untrained.id, "spec": untrained.spec})
    checkpoint.save({"history": [], "done": 0})
    damaged = pairs(study) | {"checkpoint": (checkpoint.path, Path("config/study.yaml"))}
    folder = prepared_folder(study.settings["dataset"], Path("data"))
    damaged |= {name: (folder / name, Path("config/study.yaml")) for name in PREPARED}
    assert set(damaged) == set(KINDS)
    for (path, other), damage in zip(damaged.values(), itertools.cycle(DAMAGES.values())):
        content = path.read_bytes()
        path.write_bytes(damage(content, other.read_bytes()))
        assert path.read_bytes() != content

    output, deleted = "", set()
    for _ in range(len(JOBS) + 1):
        done = projects.run(copied, "snakemake", "--cores", "2", "--keep-going", "--config", "scale=smoke")
        output += done.stdout
        if done.returncode == 0:
            break
        refused = {line.strip() for line in done.stdout.splitlines() if "sharpness: error" in line}
        assert refused
        for line in refused:
            [(named, other)] = re.findall(r"error: (\S+): .*delete (?:this folder|(\S+)) and run again", line)
            shutil.rmtree(other or named)
            deleted.add(Path(other or named))

    assert done.returncode == 0, output
    assert deleted == {folder, *(damaged[kind][0].parent for kind in JOBS)}
    # Those whose records are damaged, too, are made again with these.
    with_them = {"table .md", "runs.csv", "claims.csv", "report.html", "report.pdf", "config.yaml"}
    told = set(re.findall(r"^sharpness: warning: (\S+): ", output, re.MULTILINE))
    assert told == {str(damaged[kind][0]) for kind in {*TABLE, *FIGURE, *COLLECTED, *REPORT} - with_them}
    assert checkpoint.path.with_suffix(".unusable").exists()
    assert untrained.is_finished()
    assert results(copied) == before
    assert projects.files(copied / "data") == prepared
    assert Plan(copied).jobs == {}
    verified = projects.run(copied, "python", "-m", "sharpness", "verify", "--scale", "smoke")
    assert verified.returncode == 0, verified.stdout
    page = (projects.ROOT / "docs/reliability.md").read_text(encoding="utf-8")
    assert f"a file of each of the {len(damaged)} kinds" in page
    with capsys.disabled():
        print(
            f"\n{len(damaged)} damaged files repaired: {len(told)} named and made again, {len(deleted)} folders refused"
        )


EVIDENCE = "src/sharpness/evidence"
SHOWN = {"table1", "table2", "table3", "figure1", "figure2", "figure3", "figure4", "figure5", "forest1"}
REMADE = {
    f"{EVIDENCE}/style.py": {*SHOWN, "runs", "claims", "report"},
    f"{EVIDENCE}/artifacts/balls.py": {"figure2", "report"},
    f"{EVIDENCE}/artifacts/learning_curves.py": {"figure1", "figure3", "figure4", "report"},
    f"{EVIDENCE}/artifacts/radius_table.py": {"table1", "report"},
    f"{EVIDENCE}/quantities/loss_drop.py": {"forest1", "claims", "report"},
    f"{EVIDENCE}/report/context.py": {"report"},
    "workflow/report/sections/metric.md": {"report"},
    "workflow/report/macros.md": {"report"},
    "workflow/report/page_one.md": {"report"},
    "docs/results/digits-20.csv": {"report"},  # the verdicts of other scales are on page one
    "src/sharpness/networks/vgg.py": {*SHOWN, "runs", "claims", "report"},  # its title is in the tables
    "src/sharpness/datasets/digits.py": {"report"},
    "src/sharpness/optim/geometries/absolute.py": {"report"},  # its formula is in the text
    "src/sharpness/optim/laws.py": {"report"},
    "src/sharpness/training/schedule.py": {"forest1", "claims", "report"},
    "src/sharpness/optim/sam.py": set(),
    "config/claims.yaml": {"forest1", "claims", "report"},
    "config/published.yaml": {*SHOWN, "report"},
    "config/scales/laptop.yaml": {*SHOWN, "runs", "claims", "report"},  # smoke extends it
    "config/scales/paper.yaml": set(),
    f"{EVIDENCE}/artifacts/accuracy_by_cost.py": set(),  # of an experiment that smoke leaves out
}


def test_a_changed_file_remakes_what_depends_on_it_and_trains_nothing(copied):
    for name, expected in REMADE.items():
        file, times, content = copied / name, (copied / name).stat(), (copied / name).read_bytes()
        file.write_bytes(content + b"\n# a change\n")
        plan = Plan(copied)
        assert (plan.made, plan.computes) == (expected, set()), name
        file.write_bytes(content)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def evidence_imports(module: str, source: Path) -> set[str]:
    """The files of the evidence that a module imports, directly or not, itself included."""
    pending, known = [module], set()
    while pending:
        name = pending.pop()
        files = [source / f"{name.replace('.', '/')}{end}" for end in (".py", "/__init__.py")]
        file = next((file for file in files if file.is_file()), None)
        path = file and str(file.relative_to(source.parent))
        if path is None or path in known or not path.startswith(EVIDENCE):
            continue
        known.add(path)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                pending += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return known


def test_what_is_made_depends_on_all_the_evidence_s_code_that_makes_it(finished):
    study = load_study("smoke", finished)
    modules = {name: [type(artifact).__module__] for name, artifact in study.artifacts.items()}
    quantities = {type(part.quantity).__module__ for claim in study.claims for part in claim.parts}
    modules |= {
        "runs": ["sharpness.evidence.runs"],
        "claims": ["sharpness.evidence.claims", *quantities],
        "report": ["sharpness.evidence.report"],
    }
    words = ["snakemake", "--dry-run", "--forceall", "--config", "scale=smoke"]
    blocks = projects.run(finished, *words).stdout.split("\nrule ")
    inputs = {}
    for block in blocks[1:]:
        rule, wildcard = block.partition(":")[0], re.search(r"wildcards: (?:table|figure)=(\S+)", block)
        files = re.search(r"^    input: (.*)$", block, re.MULTILINE)
        inputs[wildcard[1] if wildcard else rule] = set(files[1].split(", ")) if files else set()
    for name, makers in modules.items():
        code = set().union(*(evidence_imports(module, finished / "src") for module in makers))
        assert len(code) > 1
        assert code - inputs[name] == set(), name


def test_a_further_table_and_figure_are_targets_of_their_own(copied):
    def add(study):
        study["artifacts"]["table10"] = {**study["artifacts"]["table2"], "network": "vgg", "title": "The VGG alone"}
        study["artifacts"]["figure22"] = {**study["artifacts"]["figure1"], "title": "Radii again"}

    projects.edit(copied / "config/study.yaml", add)
    assert Plan(copied, "table10").made == {"table10"}
    assert Plan(copied).made >= {"table1", "table10", "figure1", "figure22", "report"}
    done = projects.snakemake(copied, "table10", "figure22")
    assert done.returncode == 0, done.stdout
    text = (copied / "results/smoke/tables/table10.md").read_text(encoding="utf-8")
    assert text.startswith("**Table X.** ")
    assert (copied / "figures/smoke/figure22.svg").stat().st_size > 0


def test_a_changed_setting_trains_exactly_the_runs_that_it_concerns(copied, monkeypatch):
    before, histories = set(load_study("smoke", copied).runs), times(copied, HISTORIES)
    metric = lambda study: study["experiments"]["metric"]["runs"][2]  # noqa: E731
    judged = lambda claims: claims["claims"]["F4"]["parts"][1]["second"]  # noqa: E731
    projects.edit(copied / "config/study.yaml", lambda study: metric(study).update(rho=[0.0005]))
    projects.edit(copied / "config/claims.yaml", lambda claims: judged(claims).update(rho=0.0005))
    changed = set(load_study("smoke", copied).runs) - before
    assert len(changed) == 1
    assert Plan(copied).trained == changed
    done = projects.snakemake(copied, "figure3")
    assert done.returncode == 0, done.stdout
    assert times(copied, HISTORIES).items() > histories.items(), "the others are as they were"
    monkeypatch.chdir(copied)
    assert load_study("smoke").runs[changed.pop()].read()["status"] in ("completed", "diverged")


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
    study = load_study("smoke", folder)
    shutil.rmtree(folder / study.runs[projects.find_run(folder, network="vgg", method="sgd")].folder)
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


def test_a_scale_that_extends_another_trains_only_what_that_one_lacks(copied):
    wider = "extends: smoke\ntitle: wider scale\nseeds: [42, 7]\n"
    (copied / "config/scales/wider.yaml").write_text(wider, encoding="utf-8")
    smoke, both = set(load_study("smoke", copied).runs), set(load_study("wider", copied).runs)
    assert smoke < both
    assert Plan(copied, scale="wider").trained == both - smoke
    assert Plan(copied).jobs == {}


def test_two_scales_never_mix(copied):
    shutil.copy(copied / "config/scales/smoke.yaml", copied / "config/scales/tiny.yaml")
    projects.edit(
        copied / "config/scales/tiny.yaml", lambda scale: scale.update(epochs=1, problems={"sensing": {"draws": 2}})
    )
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
    line = f"another snakemake or `sharpness work` is running in {fresh}; wait for it, or stop it"
    assert second.stdout.count(line) == 1
    assert Plan(fresh, "figure3").jobs, "looking is allowed"
    output, _ = first.communicate()
    assert first.returncode == 0, output
    third = projects.snakemake(fresh, "figure3")
    assert third.returncode == 0
    assert "Nothing to be done" in third.stdout


def test_an_interpreter_that_no_job_of_a_cluster_could_start_is_refused(fresh, tmp_path):
    python = tmp_path / "with space/python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    words = ["-m", "snakemake", "--workflow-profile", "profiles/slurm", "--config", "scale=smoke", "--", "figure3"]
    done = projects.run(fresh, str(python), *words, PYTHONPATH=sysconfig.get_path("purelib"))
    assert done.returncode == 1
    assert f"a cluster's jobs can't start {python}" in done.stdout
    assert not list(fresh.glob("results/smoke/training"))


def test_a_name_from_the_configuration_reaches_no_shell(fresh):
    name = "a b;touch PWNED;$(touch PWNED)"
    shutil.copy(fresh / "config/scales/smoke.yaml", fresh / f"config/scales/{name}.yaml")
    done = projects.run(fresh, "snakemake", "--cores", "2", "--config", f"scale={name}", "--", "table3")
    assert done.returncode == 1
    assert name in done.stdout
    assert "Traceback" not in done.stdout
    assert not (fresh / "results").exists()
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
        return len(list(fresh.glob("results/smoke/training/*/run.json")))

    for _ in range(2):
        process = projects.start(fresh, *words)
        before = complete()
        assert projects.wait_for(lambda before=before: complete() > before, process, seconds=120)
        time.sleep(chance.uniform(0, 3))
        projects.kill_pipeline(process, fresh)
        assert complete() < len(load_study("smoke", fresh).runs), "the kill came in the middle"
    finished_runs = times(fresh, "results/smoke/training/*/run.json")
    continued = projects.run(fresh, *words)
    assert continued.returncode == 0, continued.stdout
    assert results(fresh) == results(finished)
    kept = times(fresh, "results/smoke/training/*/run.json")
    assert finished_runs.items() < kept.items(), "what was complete is not trained again"
    assert not [path for name in ("results", "figures", "data") for path in (fresh / name).rglob(".*-*")]
    assert os.listdir(fresh / "results/smoke/checkpoints") == []

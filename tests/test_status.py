"""What a scale's status says of runs that train, wait, are killed or fail; and partial figures."""

import csv
import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import chdir
from pathlib import Path

import projects
import pytest
import synthetic

from sharpness import paths
from sharpness.cli import main
from sharpness.jobs import Job
from sharpness.progress import Progress, is_running, read_progress
from sharpness.status import FAILED, STOPPED, WAITING, collect
from sharpness.study import Study, load_study
from sharpness.training.history import history_text

pytestmark = pytest.mark.timeout(300)

FOLLOW = (sys.executable, "-m", "sharpness", "status", "--scale", "smoke", "--follow")
EPOCHS = 4


def rows(path: Path) -> list[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Live:
    """A project with real processes: one run finished, one held in the middle, one killed and one that fails."""

    def __init__(self, folder: Path):
        self.folder = projects.copy(folder)
        projects.edit(folder / "config/scales/smoke.yaml", lambda scale: scale.update(epochs=EPOCHS))
        with chdir(folder):
            self.study = load_study("smoke")
        self.held, self.killed, self.failed, self.finished = self.study.artifact("figure1").jobs(self.study)[:4]
        (folder / self.failed.unfinished).parent.mkdir(parents=True)
        (folder / self.failed.unfinished).write_text("in its place")
        processes = {job: self.train(job) for job in (self.held, self.killed, self.failed, self.finished)}
        for job, number in ((self.held, signal.SIGSTOP), (self.killed, signal.SIGKILL)):
            assert projects.wait_for(lambda job=job: self.epoch(job) >= 1, processes[job])
            os.killpg(processes[job].pid, number)
        self.process = processes.pop(self.held)
        codes = {job: process.wait() for job, process in processes.items()}
        assert codes == {self.killed: -signal.SIGKILL, self.failed: 1, self.finished: 0}

    def epoch(self, job: Job) -> int:
        with chdir(self.folder):
            return (read_progress(job) or {"epoch": 0})["epoch"]

    def train(self, job: Job) -> subprocess.Popen:
        """As the workflow's rule does it."""
        log = self.folder / paths.log("smoke", job.id)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as output:
            return subprocess.Popen(
                projects.train(job.id),
                cwd=self.folder,
                env=projects.environment(self.folder),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("live") / "project")
    yield live
    projects.kill(live.process)
    live.process.wait()


def test_status_says_of_real_processes_what_their_files_say(live, monkeypatch, capsys):
    monkeypatch.chdir(live.folder)
    done = projects.run(live.folder, *FOLLOW[:-1])
    assert done.returncode == 0, done.stdout
    first, *lines = done.stdout.splitlines()
    others = len(live.study.runs) - 4
    assert f"1 of {len(live.study.runs)} runs done, 1 running, {others} waiting, 1 stopped, 1 failed" in first
    assert re.search(r"; about [\d.]+ (s|min) left, 1 at a time", first)
    failed, held, killed = lines
    fault = "File exists; a file, or a link to what is gone, is in a folder's place: move it away and run again"
    assert failed == f"{live.failed.id}: failed: {live.failed.unfinished}: {fault}"
    for line, job, name in ((held, live.held, "running"), (killed, live.killed, "stopped")):
        history = rows(job.unfinished / "history.csv")
        assert line.startswith(f"{job.id}: {name}: epoch {len(history)} of {EPOCHS}, ")
        assert f"test accuracy {float(history[-1]['test_accuracy']):.4f}" in line
    assert killed.endswith("killed, or out of memory")
    assert is_running(live.held)
    assert not is_running(live.killed)
    [state] = [state for state in collect(live.study).runs if state.job is live.finished]
    run = live.finished.read()
    assert (state.name, state.epoch, state.seconds) == (run["status"], run["epochs"], run["cost"]["seconds"])
    assert state.test_accuracy == float(rows(live.finished.data)[-1]["test_accuracy"])
    assert not live.finished.unfinished.exists()


def test_followed_at_a_terminal_and_in_a_log_until_nothing_works(live):
    """The run that was held goes on, and its history so far is the beginning of the one that it leaves."""
    so_far = (live.folder / live.held.unfinished / "history.csv").read_text(encoding="utf-8")
    place, terminal = pty.openpty()
    environment = projects.environment(live.folder, TERM="xterm", COLUMNS="150", LINES="40")
    table = subprocess.Popen(FOLLOW, cwd=live.folder, env=environment, stdout=terminal, stderr=terminal)
    log = projects.start(live.folder, *FOLLOW)
    os.close(terminal)
    first = log.stdout.readline()
    os.killpg(live.process.pid, signal.SIGCONT)
    shown = b""
    try:
        while piece := os.read(place, 4096):
            shown += piece
    except OSError:  # the terminal is gone
        pass
    rest, _ = log.communicate()
    assert (table.wait(), log.returncode) == (1, 1), "not all is done"

    history = (live.folder / live.held.data).read_text(encoding="utf-8")
    assert history.startswith(so_far)
    accuracy = float(rows(live.folder / live.held.data)[-1]["test_accuracy"])
    assert "1 running" in first
    assert f"{live.held.id}: completed: {EPOCHS} epochs, test accuracy {accuracy:.4f}" in rest
    assert rest.splitlines()[-1].startswith(f"scale smoke: 2 of {len(live.study.runs)} runs done, ")
    text = shown.decode()
    assert "\x1b[" in text
    for word in (live.held.slug, "running", "failed", "killed, or out of memory", "2 of 21 runs done"):
        assert word in text


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    """A study of which nothing has run."""
    study = synthetic.project(tmp_path, epochs=12)
    monkeypatch.chdir(tmp_path)
    return study


def stopped(job: Job, epochs: int, seconds: float) -> None:
    """Leave what a run leaves that was killed after some epochs."""
    history = synthetic.history(job.spec)[:epochs]
    progress = Progress(job)
    progress.__enter__()
    progress.update(history_text(history), epochs, seconds, history[-1]["test_accuracy"])
    progress.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)


def test_following_ends_when_all_is_done(study, capsys):
    synthetic.write_all(study)
    for job in study.problems.values():
        synthetic.write_problem(job, synthetic.sensing_losses(study))
    assert main(["status", "--scale", "smoke", "--follow"]) == 0
    assert f"{len(study.runs)} of {len(study.runs)} runs done; " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("log", "name", "reason"),
    [
        ("", WAITING, ""),
        ("sharpness: warning: slow\nsharpness: error: no room\n", FAILED, "no room"),
        ("Traceback (most recent call last):\n  File ...\nKeyError: 'x'\n", FAILED, "KeyError: 'x'"),
        ("sharpness: error: \x1b[31mred\x07\n", FAILED, "[31mred"),
        ("sharpness: {id}: stopped by SIGTERM; run again to continue\n", STOPPED, "stopped by SIGTERM"),
    ],
)
def test_why_a_run_is_not_finished(study, log, name, reason):
    job = next(iter(study.runs.values()))
    path = paths.log("smoke", job.id)
    path.parent.mkdir(parents=True)
    path.write_text(log.replace("{id}", job.id), encoding="utf-8")
    state = collect(study).runs[0]
    assert (state.name, state.reason.strip()) == (name, reason)


def test_a_result_that_is_damaged_is_a_failure(study):
    synthetic.write_all(study)
    job = next(iter(study.runs.values()))
    job.data.write_text("epoch\n", encoding="utf-8")
    state = collect(study).runs[0]
    assert state.name == FAILED
    assert "not the file that its run.json describes" in state.reason


def test_the_time_left_is_the_remaining_epochs_at_the_measured_speeds(study):
    kind = {"network": "wide_resnet", "optimizer": "sam"}
    one, two, *others = [study.runs[identity] for identity in synthetic.find(study, **kind)]
    synthetic.write(study, one.id, synthetic.history(one.spec))  # 12 epochs in 1 s
    stopped(two, epochs=2, seconds=6.0)
    seconds, unknown = collect(study).seconds_left(at_once=1)
    assert seconds == pytest.approx(10 * 3.0 + len(others) * 12 * (1 / 12 + 3.0) / 2)
    assert unknown == len(study.runs) - 2 - len(others)
    assert collect(study).seconds_left(at_once=1000)[0] == pytest.approx(30.0), "the longest of them"


def test_a_partial_figure_has_every_run_so_far_and_says_how_much_that_is(study, capsys):
    runs = study.artifact("figure3").jobs(study)
    arguments = ["figure", "figure3", "--scale", "smoke", "--partial"]
    assert main(arguments) == 1
    assert "no run of figure3 has finished an epoch yet" in capsys.readouterr().err
    synthetic.write(study, runs[0].id, synthetic.history(runs[0].spec))
    stopped(runs[1], epochs=4, seconds=1.0)
    assert main(arguments) == 0
    svg = Path("figures/smoke/partial/figure3.svg")
    assert capsys.readouterr().out == f"{svg}\n"
    assert f"<!-- PARTIAL: 1 of {len(runs)} runs finished, the others at epoch 0 to 4 of 12 -->" in svg.read_text()
    assert {path.suffix for path in svg.parent.iterdir()} == {".svg", ".pdf", ".png"}
    assert not any(file.exists() for file in study.artifact("figure3").files("smoke")), "it is no result"
    for run in runs:
        synthetic.write(study, run.id, synthetic.history(run.spec))
    assert main(arguments) == 1
    assert "all runs of figure3 are finished; leave it out" in capsys.readouterr().err
    assert main(["figure", "figure2", "--scale", "smoke", "--partial"]) == 1
    assert "figure2 is no figure of training runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "shown",
    [
        "[1]", "{}", '{"epoch": 1}', '{"epoch": "1", "seconds": 1, "test_accuracy": 0.5}',
        '{"epoch": 1, "seconds": 1, "test_accuracy": null}', '{"epoch": -1, "seconds": 1, "test_accuracy": 0.5}',
        '{"epoch": 1, "seconds": NaN, "test_accuracy": 0.5}',
        '{"epoch": 0, "seconds": 0, "test_accuracy": null, "x": 1}',
    ],
)  # fmt: skip
def test_what_a_run_has_shown_and_cannot_be_used_is_nothing(study, shown):
    job = next(iter(study.runs.values()))
    stopped(job, epochs=2, seconds=1.0)
    (job.unfinished / "progress.json").write_text(shown)
    assert read_progress(job) is None
    assert main(["status", "--scale", "smoke"]) == 0


@pytest.mark.parametrize("content", [b"", b"\xff", b"epoch\0,x\n1,a\n", None])
def test_a_history_so_far_that_cannot_be_read_is_refused_by_name(study, capsys, content):
    job = study.artifact("figure3").jobs(study)[0]
    stopped(job, epochs=2, seconds=1.0)
    history = job.unfinished / "history.csv"
    history.write_bytes(content) if content is not None else history.unlink()
    assert main(["figure", "figure3", "--scale", "smoke", "--partial"]) == 1
    assert f"{history}: cannot be read; delete {job.unfinished}" in capsys.readouterr().err

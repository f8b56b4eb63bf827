"""Training in a time box, and carrying results from one machine to another."""

import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from contextlib import chdir
from pathlib import Path

import projects
import pytest
import synthetic
import torch

from sharpness.archive import export_results, import_results
from sharpness.errors import UserError
from sharpness.study import load_study
from sharpness.training.checkpoint import MAGIC, CheckpointFile
from sharpness.work import _stop

pytestmark = pytest.mark.timeout(600)


def work(*words: str) -> list[str]:
    return [sys.executable, "-m", "sharpness", "work", "--scale", "smoke", "--device", "cpu", *words]


def finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/smoke/training/*/run.json"))


@pytest.mark.pipeline
def test_stopped_carried_elsewhere_and_finished_the_histories_are_those_of_snakemake(tmp_path):
    here, there = (projects.copy(tmp_path / name) for name in ("here", "there"))
    runs = load_study("smoke", here).runs
    box = projects.start(here, *work("--minutes", "10", "--at-once", "2"))
    assert projects.wait_for(lambda: len(finished(here)) >= 3, box, seconds=120)
    box.send_signal(signal.SIGTERM)
    output, _ = box.communicate()
    done = len(finished(here))
    assert box.returncode == 0, output
    assert f"scale smoke: {done} of {len(runs)} runs are finished, {len(runs) - done} remain" in output
    assert not projects.running_below(here)

    packed = projects.run(here, *work("--export", str(tmp_path / "box.tar.gz")))
    assert packed.returncode == 0, packed.stdout
    continued = projects.run(
        there, *work("--import", str(tmp_path / "box.tar.gz"), "--minutes", "10", "--at-once", "2")
    )
    assert continued.returncode == 0, continued.stdout
    assert f"scale smoke: {len(runs)} of {len(runs)} runs are finished" in continued.stdout
    assert not list(there.glob("results/smoke/checkpoints/*"))

    snakemake = projects.snakemake(here, *(str(job.data) for job in runs.values()))
    assert snakemake.returncode == 0, snakemake.stdout
    for job in runs.values():
        assert (there / job.data).read_bytes() == (here / job.data).read_bytes()


@pytest.mark.pipeline
def test_when_the_time_is_up_it_ends_and_a_second_one_at_the_same_time_is_refused(tmp_path):
    folder = projects.copy(tmp_path / "project")
    first = projects.start(folder, *work("--minutes", "0.2"))
    assert projects.wait_for(lambda: list(folder.glob("results/smoke/logs/*")), first)
    second = projects.run(folder, *work("--minutes", "1"))
    assert second.returncode == 1
    assert "is running in" in second.stdout
    output, _ = first.communicate()
    assert first.returncode == 0, output
    assert "remain" in output
    assert not projects.running_below(folder)


@pytest.mark.pipeline
def test_a_run_that_fails_is_named_and_does_not_stop_the_others(tmp_path):
    folder = projects.copy(tmp_path / "project")
    broken = next(iter(load_study("smoke", folder).runs.values()))
    (folder / broken.unfinished).parent.mkdir(parents=True)
    (folder / broken.unfinished).write_text("in its place")
    done = projects.run(folder, *work("--minutes", "0.6"))
    assert done.returncode == 1
    assert f"{broken.id}: sharpness: error: {broken.unfinished}: File exists; " in done.stdout
    assert finished(folder)


@pytest.mark.pipeline
def test_what_no_run_could_begin_with_is_said_once_and_before_any(tmp_path):
    folder = projects.copy(tmp_path / "project")
    for option, value, fault in (
        ("--device", "cuda", "no GPU is visible here"),
        ("--export", "config", "config: a folder; name a file in it"),
    ):
        refused = projects.run(folder, *work("--minutes", "1", option, value))
        assert refused.returncode == 1
        assert fault in refused.stdout
    missing = {"name": "image_folder", "title": "pictures", "folder": "nowhere"}
    projects.edit(folder / "config/scales/smoke.yaml", lambda scale: scale.update(dataset=missing, epochs=1))
    refused = projects.run(folder, *work("--minutes", "1"))
    assert refused.returncode == 1
    [line] = refused.stdout.splitlines()
    assert "nowhere/train: cannot be read (No such file or directory); an image folder has" in line
    assert not (folder / "results").exists()


@pytest.mark.pipeline
def test_a_run_that_a_killed_box_has_left_behind_is_not_trained_twice(tmp_path):
    folder = projects.copy(tmp_path / "project")
    projects.edit(folder / "config/scales/smoke.yaml", lambda scale: scale.update(epochs=100))
    first = next(iter(load_study("smoke", folder).runs.values()))
    box = projects.start(folder, *work("--minutes", "10"))
    assert projects.wait_for((folder / first.unfinished / "progress.json").exists, box)
    box.kill()
    box.wait()
    second = projects.run(folder, *work("--minutes", "0.1"))
    assert f"{first.id}: another process is training it" in second.stdout
    [left] = projects.running_below(folder)
    left.send_signal(signal.SIGHUP)
    assert left.wait(30) in (None, 128 + signal.SIGHUP)
    assert (folder / first.checkpoint).exists()


@pytest.mark.timeout(60)
def test_runs_that_do_not_stop_share_one_grace(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sharpness.work._log", lambda job: tmp_path / "log")
    waits = []

    class Process(subprocess.Popen):
        def wait(self, timeout=None):
            waits.append(timeout)
            return super().wait(timeout)

    script = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    study = load_study("smoke")
    running = {run_id: Process([sys.executable, "-c", script], stdout=subprocess.PIPE) for run_id in [*study.runs][:3]}
    for process in running.values():
        process.stdout.readline()
    assert _stop(study, running, grace=2.0) == 0
    assert 1 < waits[0] <= 2
    assert waits[1:] == [0, 0], "the first has used the grace of all"
    assert capsys.readouterr().out.count("stopped; the next call continues it") == 3


# --- archives


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of which all runs are finished but one, which has nothing."""
    study = synthetic.project(tmp_path / "packing")
    with chdir(tmp_path / "packing"):
        synthetic.write_all(study)
        missing = next(iter(study.runs.values()))
        for file in missing.files:
            file.unlink()
        export_results(study, tmp_path / "box.tar.gz")
    (tmp_path / "taking").mkdir()
    monkeypatch.chdir(tmp_path / "taking")
    return study


def repacked(archive: Path, change) -> Path:
    """The archive with its content, name → bytes, changed."""
    with tarfile.open(archive) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}
    change(content)
    with tarfile.open(archive, "w:gz") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return archive


def test_what_was_packed_is_taken_in(study, tmp_path):
    assert import_results(study, tmp_path / "box.tar.gz") == len(study.runs) - 1
    assert sum(job.is_finished() for job in study.runs.values()) == len(study.runs) - 1
    assert import_results(study, tmp_path / "box.tar.gz") == 0, "what is finished here stays as it is"


def first(content: dict, name: str) -> str:
    return next(key for key in content if key.endswith(name))


def swap_runs(content: dict) -> None:
    one, other = [key for key in content if key.endswith("run.json")][:2]
    content[one], content[other] = content[other], content[one]


def other_spec(content: dict) -> None:
    run = json.loads(content[first(content, "run.json")])
    del run["seal"]  # a run of before the seals has none
    content[first(content, "run.json")] = json.dumps(run | {"id": "x"}).encode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update({"../outside": b"x"}), "'../outside' is not a file below results/"),
        (lambda content: content.update({"/etc/outside": b"x"}), "'/etc/outside' is not a file below results/"),
        (lambda content: content.update({"src/sharpness/cli.py": b"x"}), "is not a file below results/"),
        (lambda content: content.update({".": b"x"}), "'.' is not a file below results/"),
        (
            lambda content: content.update({"results/\x1b[31m": b"x"}),
            r"'results/\x1b[31m' is not a file of scale smoke",
        ),
        (lambda content: content.update({"results/smoke/runs.csv": b"x"}), "runs.csv' is not a file of scale smoke"),
        (lambda content: content.update({first(content, "history.csv"): b"epoch\n"}), "not the file that its run.json"),
        (lambda content: content.update({first(content, "run.json"): b"{"}), "cut short or not JSON"),
        (swap_runs, "run.json: does not describe this job"),
        (other_spec, "does not describe this job"),
        (lambda content: content.pop(first(content, "run.json")), "only one of the files of"),
    ],
)
def test_an_archive_with_anything_else_is_refused_whole(study, tmp_path, change, message):
    archive = repacked(tmp_path / "box.tar.gz", change)
    with pytest.raises(UserError) as refusal:
        import_results(study, archive)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list(Path().rglob("*"))


def test_a_checkpoint_of_something_else_is_refused(study, tmp_path):
    checkpoint = str(next(iter(study.runs.values())).checkpoint)
    archive = repacked(tmp_path / "box.tar.gz", lambda content: content.update({checkpoint: b"cos\nsystem\n"}))
    with pytest.raises(UserError, match="cut short, corrupt or of another version"):
        import_results(study, archive)
    assert not list(Path().rglob("*"))


@pytest.mark.parametrize("pickled", [b"\x80\x02h\x05.", b"\x80\x02.", b"\x80\x02ctorch\nSize\nK\x05R."])
def test_a_crafted_checkpoint_is_refused_in_a_line(study, tmp_path, pickled):
    payload = io.BytesIO()
    with zipfile.ZipFile(payload, "w") as packed:
        packed.writestr("archive/data.pkl", pickled)
        packed.writestr("archive/version", b"3\n")
    payload = payload.getvalue()
    content = MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload
    checkpoint = str(next(iter(study.runs.values())).checkpoint)
    archive = repacked(tmp_path / "box.tar.gz", lambda members: members.update({checkpoint: content}))
    with pytest.raises(UserError, match="not a plain checkpoint"):
        import_results(study, archive)
    assert not list(Path().rglob("*"))


def test_a_run_that_comes_finished_leaves_nothing_of_its_beginning_here(study, tmp_path):
    job = list(study.runs.values())[1]
    job.unfinished.mkdir(parents=True)
    (job.unfinished / "history.csv").write_text("epoch")
    CheckpointFile(job.checkpoint, {"id": job.id, "spec": job.spec}).save({"history": [{}], "done": 0})
    import_results(study, tmp_path / "box.tar.gz")
    assert job.is_finished()
    assert not job.checkpoint.exists()
    assert not job.unfinished.exists()


def packed_checkpoint(archive: Path, job, epochs: int) -> Path:
    """The archive with the checkpoint of a run that has finished some epochs; the run's own is there after it."""
    CheckpointFile(job.checkpoint, {"id": job.id, "spec": job.spec}).save({"history": [{}] * epochs, "done": 0})
    content = job.checkpoint.read_bytes()
    return repacked(archive, lambda members: members.update({str(job.checkpoint): content}))


def test_a_checkpoint_that_is_further_stays(study, tmp_path):
    missing = next(iter(study.runs.values()))
    archive = packed_checkpoint(tmp_path / "box.tar.gz", missing, 5)
    packed = missing.checkpoint.read_bytes()
    for epochs, taken in ((7, False), (5, False), (3, True), (None, True)):
        checkpoint = CheckpointFile(missing.checkpoint, {"id": missing.id, "spec": missing.spec})
        checkpoint.save({"history": [{}] * epochs, "done": 1} if epochs else {"of": "no use"})
        here = missing.checkpoint.read_bytes()
        import_results(study, archive)
        assert missing.checkpoint.read_bytes() == (packed if taken else here), epochs


def test_a_checkpoint_of_no_use_is_refused(study, tmp_path):
    missing = next(iter(study.runs.values()))
    CheckpointFile(missing.checkpoint, {"id": missing.id, "spec": missing.spec}).save({"history": "none"})
    content = missing.checkpoint.read_bytes()
    archive = repacked(tmp_path / "box.tar.gz", lambda members: members.update({str(missing.checkpoint): content}))
    with pytest.raises(UserError, match="is not a checkpoint of"):
        import_results(study, archive)


def test_an_archive_that_is_damaged_anywhere_is_refused(study, tmp_path):
    missing = next(iter(study.runs.values()))
    checkpoint = CheckpointFile(missing.checkpoint, {"id": missing.id, "spec": missing.spec})
    checkpoint.save({"history": [], "done": 0, "weights": torch.arange(100_000.0)})
    packed = missing.checkpoint.read_bytes()  # so large that much of the archive is one member's
    shutil.rmtree("results")
    repacked(tmp_path / "box.tar.gz", lambda members: members.update({str(missing.checkpoint): packed}))
    content = (tmp_path / "box.tar.gz").read_bytes()
    for place in range(20, len(content) - 100, len(content) // 40):
        damaged = content[:place] + b"\xff" * 50 + content[place + 50 :]
        (tmp_path / "damaged.tar.gz").write_bytes(damaged)
        with pytest.raises(UserError, match=r"damaged\.tar\.gz: "):
            import_results(study, tmp_path / "damaged.tar.gz")
    assert not list(Path().rglob("*"))


def test_a_link_is_refused(study, tmp_path):
    with tarfile.open(tmp_path / "link.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("results/smoke/link")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(UserError, match="is not a file below results/"):
        import_results(study, tmp_path / "link.tar.gz")


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_an_archive_that_is_cut_short_is_refused(study, tmp_path, size):
    (tmp_path / "box.tar.gz").write_bytes((tmp_path / "box.tar.gz").read_bytes()[:size])
    with pytest.raises(UserError, match="not a complete archive"):
        import_results(study, tmp_path / "box.tar.gz")
    assert not list(Path().rglob("*"))

"""Writing whole or not at all: on failure, on a full disk, on a read-only one, beside other writers."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import projects
import pytest
import synthetic

from sharpness import files
from sharpness.cli import main
from sharpness.datasets import prepare
from sharpness.study import load_study


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new/history.csv"
    files.write_text(path, "one\n")
    with path.open() as reader:
        with files.replacing(path) as temporary:
            assert temporary.suffix == ".csv"
            temporary.write_text("two\n")
            assert path.read_text() == "one\n"
        assert path.read_text() == "two\n"
        assert reader.read() == "one\n", "who reads meanwhile reads the old one to its end"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["history.csv"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "history.csv"
    files.write_text(path, "one\n")
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "two\n" + 10**6 * "2" + "\ud800")
    assert path.read_text() == "one\n"
    assert os.listdir(tmp_path) == ["history.csv"]


def test_a_fault_names_the_file_that_was_to_be_written(tmp_path):
    path = tmp_path / "history.csv"
    with pytest.raises(OSError, match="No space left") as fault, files.replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert fault.value.filename == str(path)
    path.mkdir()
    with pytest.raises(IsADirectoryError) as fault:
        files.write_text(path, "one\n")
    assert fault.value.filename == str(path)
    assert os.listdir(tmp_path) == ["history.csv"]


# --- full and read-only disks


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a disk of so many bytes, a multiple of 4096, at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration and the prepared data, as the working directory; runs of two epochs."""
    for name in ("config", "workflow"):
        shutil.copytree(projects.ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    prepare(load_study("smoke").settings["dataset"], Path("data"))
    return tmp_path


def refusal(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    assert main(list(arguments)) == 1
    line = capsys.readouterr().err
    assert line.startswith("sharpness: error: ")
    assert line.count("\n") == 1
    return line


FULL = "No space left on device; the disk or quota is full: free some space and run again; finished work is kept"

CURVE = {"history.csv", "progress.json", "lock"}  # of the epoch that was finished


def test_a_disk_too_small_for_a_checkpoint(project, capsys):
    run_id = projects.find_run(Path(), network="wide_resnet", method="sgd")
    command = ["train", "--scale", "smoke", "--run", run_id, "--device", "cpu"]
    with small_disk(Path("results"), 64 * 1024):
        assert f"{load_study('smoke').job(run_id).checkpoint}: {FULL}" in refusal(capsys, *command)
        assert {Path(name).name for name in projects.files(Path("results"))} == CURVE


def test_a_disk_too_full_for_a_result(project, capsys):
    projects.edit(Path("config/scales/smoke.yaml"), lambda scale: scale.update(epochs=1))  # no checkpoint
    job = load_study("smoke").job(projects.find_run(Path(), network="vgg", method="sgd"))
    command = ["train", "--scale", "smoke", "--run", job.id, "--device", "cpu"]
    with small_disk(Path("results"), 6 * 4096):
        filler = Path("results/filler")
        filler.write_bytes(bytes(3 * 4096))
        assert f"{job.run}: {FULL}" in refusal(capsys, *command)
        assert {Path(name).name for name in projects.files(Path("results"))} == {"filler", *CURVE}
        assert not job.is_finished()
        filler.unlink()
        assert main(command) == 0
        assert job.read()


def test_a_disk_too_full_for_a_figure_keeps_the_old_one(tmp_path, monkeypatch, capsys):
    study = synthetic.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    synthetic.write_all(study)
    with small_disk(Path("figures"), 16 * 4096):
        finished = Path("figures/finished.csv")
        finished.write_text("finished\n")
        before = projects.files(Path("figures"))
        line = refusal(capsys, "figure", "figure1", "--scale", "smoke")
        assert "figures/smoke/figure1." in line
        assert FULL in line
        after = projects.files(Path("figures"))
        assert before.items() <= after.items()
        whole = {str(file.relative_to("figures")) for file in study.artifact("figure1").files("smoke")}
        assert set(after) - set(before) < whole


def test_a_disk_too_small_for_the_data(project, capsys):
    shutil.rmtree("data")
    with small_disk(Path("data"), 64 * 1024):
        line = refusal(capsys, "data", "--scale", "smoke")
        assert "data/" in line
        assert FULL in line
        assert list(projects.files(Path("data"))) == ["digits.lock"]


def test_read_only_results(project, capsys):
    run_id = projects.find_run(Path(), network="vgg", method="sgd")
    with small_disk(Path("results"), 64 * 1024):
        subprocess.run(["mount", "-o", "remount,ro", "results"], check=True)
        line = refusal(capsys, "train", "--scale", "smoke", "--run", run_id, "--device", "cpu")
        assert "results/smoke: Read-only file system; make it writable and readable for you, and run again" in line
        sweep = load_study("smoke").problems["sensing"].id
        line = refusal(capsys, "compute", "--scale", "smoke", "--job", sweep)
        assert "results/smoke: Read-only file system; make it writable" in line

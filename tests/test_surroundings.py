"""Faults of what is around the command, real ones: a full device, a closed pipe, an old terminal, little memory."""

import shlex
import subprocess
import sys
from pathlib import Path

import projects
import pytest
from PIL import Image

from sharpness.datasets.image_folder import Source
from sharpness.errors import UNSAID, UserError

COMMAND = f"{shlex.quote(sys.executable)} -P -m sharpness"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return projects.copy(tmp_path_factory.mktemp("surroundings") / "project")


def shell(project: Path, line: str, **extra: str) -> subprocess.CompletedProcess:
    return projects.run(project, "bash", "-c", line, **extra)


@pytest.mark.parametrize(
    "line", ["{} verify --scale smoke 2> /dev/full > /dev/full", "{} verify --scale no 2> /dev/full"]
)
def test_a_fault_that_cannot_be_said_has_a_status_of_its_own(project, line):
    done = shell(project, line.format(COMMAND))

    assert done.returncode == UNSAID
    assert done.stdout == ""


@pytest.fixture
def full_disk(project):
    """The folders of logs and figures, each on a disk without a free byte: files made there stay empty."""
    folders = [project / "results/smoke/logs", project / "figures/smoke"]
    for folder in folders:
        folder.mkdir(parents=True)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True)
        if mounted.returncode:
            pytest.skip("may not mount a small disk")
        subprocess.run(["dd", "if=/dev/zero", f"of={folder}/filled", "bs=4k"], capture_output=True)
    yield
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_though_the_log_is_on_it(project, full_disk):
    done = projects.snakemake(project, "figure2")

    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("results/smoke/logs/figure2.log: ")]
    assert lines == [
        "results/smoke/logs/figure2.log: cannot be written: the disk or quota is full; free some space and run again"
    ]


def test_a_closed_pipe_is_no_fault_to_speak_of(project):
    done = shell(project, f"{COMMAND} verify --scale laptop | true; echo ${{PIPESTATUS[0]}}")

    assert done.stdout in ("141\n", "1\n")  # 1: it had said all before the pipe was closed


def test_a_terminal_without_the_characters_is_no_fault(project):
    done = shell(project, f"{COMMAND} data --scale smoke --data-dir dätä", PYTHONIOENCODING="ascii")

    assert done.returncode == 0
    assert done.stdout == "d\\xe4t\\xe4/digits\n"


def test_little_memory_is_one_line(project):
    run_id = projects.find_run(project)
    done = shell(project, f"ulimit -v 1000000; {COMMAND} train --scale smoke --run {run_id} --device cpu")

    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    assert line.startswith("sharpness: error: memory exhausted; ")
    assert "ulimit -v" in line


def test_a_format_that_is_not_declared_is_refused_whatever_its_name(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(tmp_path / split / name / "1.png")
    odd = tmp_path / "train/dog/1.png"
    Image.new("RGB", (4, 4)).save(odd, format="EPS")

    with pytest.raises(UserError, match=r"train/dog/1\.png: not a readable image"):
        Source(str(tmp_path)).read(tmp_path, show_progress=False)

"""`make`'s set-up: which Python it takes, what it says of each failure, torch from another index, and `make help`."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A Python that has a version, makes a .venv that holds itself, and whose pip says what PIP_SAYS holds, and fails then.
FAKE = """#!/bin/sh
case "$*" in
-c*"<"*) exit {old} ;;
-c*) echo {version} ;;
"-m venv"*) echo "$VENV_SAYS"; [ -z "$VENV_SAYS" ] && mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
*) echo "$PIP_SAYS"; [ -z "$PIP_SAYS" ] ;;
esac
"""
# A build backend for an editable install that needs nothing else.
BACKEND = """
import zipfile

def build_editable(folder, settings=None, metadata=None):
    with zipfile.ZipFile(f"{folder}/own-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("own-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n")
        wheel.writestr("own-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\nRoot-Is-Purelib: true\\n")
        wheel.writestr("own-1.dist-info/RECORD", "")
    return "own-1-py3-none-any.whl"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "workflow").mkdir()
    shutil.copy2(ROOT / "workflow/set_up.sh", tmp_path / "workflow")
    (tmp_path / "requirements.lock").write_text("")
    (tmp_path / "bin").mkdir()
    return tmp_path


def python(folder: Path, name: str, version: str) -> Path:
    """Put a Python of a version on the path."""
    file = folder / "bin" / name
    file.write_text(FAKE.format(version=version, old=int(int(version.split(".")[1]) < 11)))
    file.chmod(0o755)
    return file


def set_up(folder: Path, **settings: str) -> subprocess.CompletedProcess:
    """Run it with nothing on the path but what every machine has, and the folder's own commands."""
    environment = {"PATH": f"{folder / 'bin'}:{folder / 'tools'}", "UV": "no", "TMPDIR": str(folder)} | settings
    tools = folder / "tools"
    if not tools.exists():
        tools.mkdir()
        for name in ("awk", "cat", "cp", "df", "grep", "mkdir", "mktemp", "rm", "sed", "sh", "tail", "touch", "uname"):
            (tools / name).symlink_to(shutil.which(name))
    command = ["sh", "workflow/set_up.sh"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_first_python_that_is_new_enough_is_taken(folder):
    python(folder, "python3", "3.9.2")
    for name, version in (("python3.11", "3.11.7"), ("python3.12", "3.12.1")):
        python(folder, name, version)
    done = set_up(folder)
    assert done.returncode == 0, done.stderr
    first, *stages = done.stdout.splitlines()
    assert first == (f"set-up: Python 3.12.1, {folder}/bin/python3.12, the first on the path that is 3.11 or newer")
    assert [re.sub(r"\(.*\)", "", line) for line in stages] == [
        "set-up: installing the locked packages into .venv by pip ",
        "set-up: installing sharpness itself",
        "set-up: done; source .venv/bin/activate lets you use it",
    ]
    assert (folder / ".venv/.complete").exists()
    done = set_up(folder, PYTHON=str(folder / "bin/python3.11"))
    assert done.stdout.startswith(f"set-up: Python 3.11.7, {folder}/bin/python3.11, as PYTHON says\n")


def test_a_python_that_is_too_old_or_is_not_there_is_refused_and_what_there_was_is_kept(folder):
    python(folder, "python3", "3.9.2")
    (folder / ".venv").mkdir()
    done = set_up(folder)
    assert done.returncode == 1
    assert done.stderr == (
        "set-up: no Python 3.11 or newer found among: python3 python3.13 python3.12 python3.11; python3 is 3.9.2; "
        "install one, or name it: make PYTHON=/path/to/python3.12\n"
    )
    assert "found among: /no/python;" in set_up(folder, PYTHON="/no/python").stderr
    assert (folder / ".venv").exists()


def test_without_the_venv_module_it_names_the_package(folder):
    python(folder, "python3", "3.12.1")
    said = "The virtual environment was not created successfully because ensurepip is not available."
    done = set_up(folder, VENV_SAYS=said)
    assert done.returncode == 1
    assert done.stderr == (
        "set-up: python3 cannot make virtual environments; install its venv module (Debian: apt install "
        "python3.12-venv)\n"
    )


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "the disk is full"),
        ("error: failed to write: Disk quota exceeded (os error 122)", "the disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "its download was altered"),
        ("  × Hash mismatch for `rich==13.9.4`", "its download was altered"),
        (
            "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found for rich",
            "check the network",
        ),
        ("error: Failed to fetch: `rich`\n  Caused by: dns error", "check the network"),
        ("ERROR: No matching distribution found for rich==13.9.4", "try another Python: make PYTHON="),
        ("error: subprocess-exited-with-error", "error: subprocess-exited-with-error"),
    ],
)
def test_each_failure_has_its_remedy_and_the_installer_s_own_words(folder, said, remedy):
    python(folder, "python3", "3.12.1")
    done = set_up(folder, PIP_SAYS=said)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert remedy in line
    assert f"pip: {said.splitlines()[-1].strip()}" in line
    assert not (folder / ".venv").exists()


def test_a_disk_with_too_little_room_is_refused_before_anything_is_downloaded(folder):
    python(folder, "python3", "3.12.1")
    (folder / "bin/df").write_text("#!/bin/sh\necho Filesystem\necho /dev/sda 9 9 5100000 50% /\n")
    (folder / "bin/df").chmod(0o755)
    done = set_up(folder)
    assert done.returncode == 1
    assert "5100 MB are free here and .venv takes about 7 GB" in done.stderr
    assert set_up(folder, TORCH_INDEX="file:///index").returncode == 0, "without CUDA it is enough"


def test_uv_is_used_where_it_is_on_the_path(folder):
    python(folder, "python3", "3.12.1")
    (folder / "bin/uv").write_text('#!/bin/sh\necho "$@" >>uv.log\n')
    (folder / "bin/uv").chmod(0o755)
    done = set_up(folder, UV="", PIP_SAYS="pip is not asked")
    assert "into .venv by uv" in done.stdout
    assert (folder / "uv.log").read_text().splitlines() == [
        "pip install --python .venv/bin/python --require-hashes -r requirements.lock",
        "pip install --python .venv/bin/python --no-deps --no-build-isolation -e .",
    ]


def wheel(folder: Path, name: str, version: str) -> str:
    """Write an empty package as a wheel, and return its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-{version}-py3-none-any.whl"
    described = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{described}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{described}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{described}/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_with_a_real_pip_torch_comes_from_the_other_index_and_the_rest_by_hash(folder):
    small = wheel(folder / "wheels", "small", "1.0")
    for name in ("torch", "torchvision"):
        wheel(folder / "index" / name, name, "2.0+cpu")
        (folder / "index" / name / "index.html").write_text(f'<a href="{name}-2.0%2Bcpu-py3-none-any.whl">{name}</a>')
    blocks = [("nvidia-cublas", "13.1", "0" * 64), ("small", "1.0", small), ("torch", "2.0", "0" * 64)]
    blocks += [("torchvision", "2.0", "0" * 64), ("triton", "3.8 ; sys_platform == 'linux'", "0" * 64)]
    lock = "".join(f"{name}=={version} \\\n    --hash=sha256:{digest}\n    # via\n" for name, version, digest in blocks)
    (folder / "requirements.lock").write_text(lock)
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    settings = {
        "PYTHON": sys.executable,
        "TORCH_INDEX": (folder / "index").as_uri(),
        "PIP_FIND_LINKS": str(folder / "wheels"),
        "PIP_INDEX_URL": (folder / "none").as_uri(),
        "PIP_CONFIG_FILE": "/dev/null",
    }
    done = set_up(folder, **settings)
    assert done.returncode == 0, done.stderr
    assert f"installing torch==2.0 torchvision==2.0 from {settings['TORCH_INDEX']}, without hashes" in done.stdout
    installed = {path.name for path in folder.glob(".venv/lib/python*/site-packages/*.dist-info")}
    expected = {"own-1", "small-1.0", "torch-2.0+cpu", "torchvision-2.0+cpu"}
    assert {f"{name}.dist-info" for name in expected} <= installed
    assert not [name for name in installed if name.startswith(("nvidia", "triton"))]


def test_make_help_has_a_line_for_every_target():
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    shown = subprocess.run([make, "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    assert re.findall(r"^make (\S+) +\S", shown, re.MULTILINE) == targets
    assert os.linesep + "  TORCH_INDEX=URL" in shown

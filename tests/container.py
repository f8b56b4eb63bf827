"""The smoke scale in a root like the Containerfile's, made with debootstrap: `make test-container`, some minutes.

It takes the place of the container where there is no podman: Debian bookworm with its own Python 3.11, an ordinary
user, and a path with blanks. The locked packages are those of the environment that runs the test, mounted read-only.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import projects
import pytest

MIRROR = os.environ.get("DEBIAN_MIRROR")  # otherwise the one that debootstrap knows
PROJECT = "/home/reader/a study with blanks"
# Run in a mount namespace of its own, so that no mount outlives it: the root, the locked packages, the command's words.
ENTER = f"""
set -eu
root=$1 packages=$2
shift 2
mkdir -p "$root/locked"
mount --bind "$packages" "$root/locked"
mount -o remount,ro,bind "$root/locked"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot --userspec=1000:1000 "$root" \
    env -i HOME=/home/reader PATH=/home/reader/venv/bin:/usr/bin:/bin LANG=C.UTF-8 \
    sh -euc 'cd "{PROJECT}"; exec "$@"' sh "$@"
"""


def why_not() -> str | None:
    """What is missing here for the test."""
    if os.geteuid() != 0:
        return "only root may make a root"
    for program in ("debootstrap", "unshare", "chroot"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if sys.version_info[:2] != (3, 11):
        return "bookworm has Python 3.11, for which the packages of this environment are not made"
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        return "no mount namespace may be made here"
    return None


pytestmark = [pytest.mark.skipif(why_not() is not None, reason=str(why_not())), pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Debian with an ordinary user, a copy of the project, and an environment that has the locked packages."""
    root = tmp_path_factory.mktemp("container") / "root"
    words = ["debootstrap", "--variant=minbase", "--include=python3,python3-venv", "bookworm", str(root)]
    made = subprocess.run(words + [MIRROR] * bool(MIRROR), capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no Debian; DEBIAN_MIRROR may name another mirror: {made.stdout.strip().splitlines()[-1]}")
    subprocess.run(["chroot", root, "useradd", "--create-home", "--uid", "1000", "reader"], check=True)
    projects.copy(root / PROJECT[1:])
    subprocess.run(["chroot", root, "python3", "-m", "venv", "--without-pip", "/home/reader/venv"], check=True)
    packages = root / "home/reader/venv/lib/python3.11/site-packages/locked.pth"
    packages.write_text("/locked\n", encoding="utf-8")
    subprocess.run(["chroot", root, "chown", "-R", "reader:reader", "/home/reader"], check=True)
    return root


def inside(root: Path, *words: str) -> subprocess.CompletedProcess:
    """Run a command in the root as its ordinary user, in the project's folder."""
    locked = sysconfig.get_paths()["purelib"]
    command = ["unshare", "--mount", "sh", "-c", ENTER, "sh", str(root), locked, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_smoke_scale_runs_as_an_ordinary_user_in_a_path_with_blanks(root):
    script = "import os, sys; print(os.getuid(), os.getcwd(), sys.version_info[:2])"
    assert inside(root, "python", "-c", script).stdout.strip() == f"1000 {PROJECT} (3, 11)"
    done = inside(root, "python", "-m", "snakemake", "--cores", "2", "--config", "scale=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = root / PROJECT[1:]
    assert (folder / "results/smoke/report.pdf").read_bytes().startswith(b"%PDF")
    runs = [json.loads(file.read_bytes()) for file in folder.glob("results/smoke/training/*/run.json")]
    assert {run["status"] for run in runs} == {"completed"}
    assert {file.stat().st_uid for file in folder.rglob("results/**/*")} == {1000}
    verified = inside(root, "env", "PYTHONPATH=src", "python", "-m", "sharpness", "verify", "--scale", "smoke")
    assert verified.returncode == 0, verified.stdout + verified.stderr

"""The three files that name versions stay in step, and the command starts without what it does not need."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIN = re.compile(r"^(?P<name>[A-Za-z0-9_.-]+)==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))?(?: \\)?$", re.MULTILINE)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(python: str) -> dict[str, str]:
    """The lock's versions on Linux x86-64 under a version of Python."""
    machine = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    machine |= {
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    pins = {}
    for pin in PIN.finditer((ROOT / "requirements.lock").read_text(encoding="utf-8")):
        if pin["marker"] is None or Marker(pin["marker"]).evaluate(machine):
            assert normal(pin["name"]) not in pins, f"{pin['name']} is pinned twice for Python {python}"
            pins[normal(pin["name"])] = pin["version"]
    return pins


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_satisfies_pyproject(python):
    pins = locked(python)
    for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[normal(requirement.name)]), text


def test_every_pin_has_hashes():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    assert all("--hash=sha256:" in block for block in blocks if PIN.match(block))
    assert "://" not in text, "the lock names no package index"


def test_environment_yml_names_the_locked_versions():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    python = next(entry for entry in dependencies if str(entry).startswith("python=")).removeprefix("python=")
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    named = [Requirement(text) for text in next(entry for entry in dependencies if isinstance(entry, dict))["pip"]]
    assert {normal(entry.name) for entry in named} == {
        normal(Requirement(text).name) for text in PROJECT["dependencies"]
    }
    pins = locked(python)
    for entry in named:
        assert str(entry.specifier) == f"=={pins[normal(entry.name)]}", entry.name


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_help_waits_for_no_heavy_import(arguments):
    script = (
        "import sys\nfrom sharpness.cli import main\n"
        f"try: main({arguments!r})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'matplotlib', 'numpy', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: sharpness" in done.stdout

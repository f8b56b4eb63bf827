"""The wheel that people install: torch alone beside it, typed, the same from the source distribution."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

BUILD = "from setuptools import build_meta; import sys; print(getattr(build_meta, 'build_' + sys.argv[1])(sys.argv[2]))"


def torch_and_what_it_requires(name: str = "torch", found: set[str] | None = None) -> set[str]:
    """Names of the distributions that are installed with torch."""
    found = set() if found is None else found
    if name not in found and next(iter(metadata.Distribution.discover(name=name)), None):
        found.add(name)
        for requirement in metadata.requires(name) or []:
            if "extra ==" not in requirement:
                torch_and_what_it_requires(re.match(r"[A-Za-z0-9._-]+", requirement).group(), found)
    return found


def build(source: Path, kind: str, target: Path) -> Path:
    command = [sys.executable, "-c", BUILD, kind, str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> dict[str, Path]:
    """The wheel and the source distribution, built of the files that decide them, without the network."""
    try:
        version = metadata.version("setuptools")
    except metadata.PackageNotFoundError:
        pytest.skip("setuptools is not installed")
    if int(version.split(".")[0]) < 77:
        pytest.skip(f"setuptools {version} is too old to build the project")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "src" / "sharpness", source / "src" / "sharpness", ignore=shutil.ignore_patterns("__pycache__")
    )
    return {kind: build(source, kind, target) for kind in ("sdist", "wheel")}


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_source_distribution_builds_the_same_wheel(built, tmp_path):
    shutil.unpack_archive(built["sdist"], tmp_path)
    (unpacked,) = tmp_path.iterdir()
    again = build(unpacked, "wheel", tmp_path)
    assert content(again) == content(built["wheel"])


def test_the_wheel_requires_torch_alone_and_is_typed(built):
    files = content(built["wheel"])
    assert "sharpness/py.typed" in files
    (meta,) = [text.decode() for name, text in files.items() if name.endswith(".dist-info/METADATA")]
    required = re.findall(r"^Requires-Dist: ([A-Za-z0-9_.-]+)(?!.*extra ==).*$", meta, flags=re.MULTILINE)
    assert required == ["torch"]
    assert set(re.findall(r"^Provides-Extra: (.+)$", meta, flags=re.MULTILINE)) >= {"pipeline", "dev"}


@pytest.fixture(scope="module")
def alone(built, tmp_path_factory) -> Path:
    """A folder of packages: the wheel, torch, and what torch requires."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.unpack_archive(built["wheel"], folder, "zip")
    for name in torch_and_what_it_requires():
        for file in metadata.files(name):
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (folder / top).exists():
                (folder / top).symlink_to(metadata.distribution(name).locate_file(top))
    return folder


def run_alone(alone: Path, folder: Path, script: str) -> str:
    """What a script prints that finds no packages but those."""
    (folder / "script.py").write_text(f"import importlib.util, sys\nhome = {str(alone)!r}\n{script}", encoding="utf-8")
    command = [sys.executable, "-S", "-W", "ignore", str(folder / "script.py")]
    environment = {"PYTHONPATH": str(alone), "PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_sharpness_imports_no_torch_before_it_is_used(alone, tmp_path):
    script = """
import sharpness
assert sharpness.__file__.startswith(home), sharpness.__file__
assert not any(importlib.util.find_spec(name) for name in ("yaml", "pytest", "pandas", "snakemake"))
assert "torch" not in sys.modules
assert {"SAM", "frozen_statistics", "ascent_step", "presets", "diagnose"} <= set(dir(sharpness))
from sharpness import SAM, ascent_step, frozen_statistics, presets
assert "torch" in sys.modules
assert not hasattr(sharpness, "SAMM")
import sharpness.optim
assert {name for name in sharpness.optim.__all__} <= set(dir(sharpness))
print("imported")
"""
    assert run_alone(alone, tmp_path, script) == "imported\n"


def test_the_page_needs_torch_alone_up_to_the_frameworks(alone, tmp_path):
    page = (ROOT / "docs" / "optimizer.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    needing_more = ("# torchrun", "lightning", "transformers", "accelerate", "torch.compile(")  # which needs a compiler
    plain = [block for block in blocks if not any(word in block for word in needing_more)]
    assert len(plain) >= 14
    assert run_alone(alone, tmp_path, "\n".join(plain) + "\nprint('trained')\n").endswith("trained\n")

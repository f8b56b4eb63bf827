"""The files that name versions stay in step, commands start without what they do not need, and imports go one way."""

import ast
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

from sharpness import registry

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/sharpness"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PIPELINE = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["pipeline"]
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
    for text in [*PIPELINE, *PROJECT["optional-dependencies"]["dev"]]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[normal(requirement.name)]), text


def test_every_pin_has_hashes():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    assert all("--hash=sha256:" in block for block in blocks if PIN.match(block))
    assert "://" not in text, "the lock names no package index"


# What conda-forge calls otherwise than PyPI.
CONDA_NAMES = {"matplotlib-base": "matplotlib"}


def test_environment_yml_names_the_locked_versions():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    [of_pip] = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    of_conda = [entry.split("=") for entry in entries if isinstance(entry, str) and entry != "pip"]
    named = [(CONDA_NAMES.get(name, name), version) for name, version in of_conda]
    [python] = [version for name, version in named if name == "python"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python)
    named += [entry.split("==") for entry in of_pip]
    pins = locked(python)
    wanted = {normal(Requirement(text).name) for text in PIPELINE}
    assert sorted((normal(name), version) for name, version in named if name != "python") == sorted(
        (name, pins[name]) for name in wanted
    )


def test_the_container_has_its_base_by_digest_and_the_locked_packages():
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    [base] = re.findall(r"^FROM (\S+)$", text, re.MULTILINE)
    assert re.fullmatch(r"docker\.io/library/python:3\.1[123]-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert "pip install --no-cache-dir --require-hashes -r requirements.lock" in text


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


def imported(code: str) -> set[str]:
    """The packages that are loaded once some code has run in the project's root."""
    script = f"import sys\n{code}\nprint(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_a_run_starts_without_torch_and_pandas():
    code = """
from sharpness.study import load_run
try: load_run("smoke", "none")
except Exception as error: assert "unknown run" in str(error), error
"""
    assert {"torch", "pandas", "matplotlib", "scipy"} & imported(code) == set()


def test_the_study_loads_without_torch_matplotlib_seaborn_and_scipy():
    code = "from sharpness.study import load_study; load_study('smoke')"
    assert {"torch", "matplotlib", "seaborn", "scipy"} & imported(code) == set()


def test_evidence_never_imports_torch():
    modules = [name for name in MODULES if name.startswith("evidence")]
    assert "torch" not in imported("\n".join(f"import sharpness.{name}" for name in modules))
    for name in modules:
        assert not {"torch", "torchvision"} & {found.partition(".")[0] for found in imports(name)}, name


BARE = {"__init__", "evidence"}  # nothing but a docstring, or the version
# Where each module stands: it may import what stands before it, and within its own package.
LAYERS = [
    ["errors"],
    ["files", "settings"],
    ["paths", "yaml_files"],
    ["provenance", "records", "source"],
    ["registry", "jobs", "arrays"],
    ["config"],
    ["optim", "networks", "datasets", "dynamics"],
    ["progress"],
    ["training"],
    ["fit"],
    ["scales", "references"],
    ["labels"],
    ["problems", "design"],
    ["experiments"],
    ["study"],
    ["compute"],
    ["evidence.formatting", "evidence.verdicts", "evidence.style"],
    ["evidence.hover"],
    ["evidence.titles"],
    ["evidence.power", "evidence.runs"],
    ["evidence.artifact", "evidence.quantity"],
    ["evidence.claims", "evidence.theory"],
    ["evidence.sensing"],
    ["evidence.artifacts", "evidence.partial", "evidence.quantities"],
    ["evidence.intact", "evidence.manifest"],
    ["evidence.verify"],
    ["evidence.publish"],
    ["evidence.report"],
    ["evidence.crate"],
    ["archive", "status"],
    ["watch", "work"],
    ["cli"],
    ["__main__"],
]


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(file): file for file in sorted(SOURCE.rglob("*.py"))}


def imports(name: str) -> set[str]:
    """What a module imports anywhere but for its annotations: modules of ours by their names here, others in full."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    found = set()
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            ours = [other.removeprefix("sharpness.") for other in inner if other.removeprefix("sharpness.") in MODULES]
            found |= set(ours) or {node.module.removeprefix("sharpness.")}
    return found


def place(name: str) -> tuple[int, str]:
    """A module's layer and which of its packages it belongs to."""
    for number, layer in enumerate(LAYERS):
        for package in layer:
            if name == package or name.startswith(f"{package}."):
                return number, package
    raise AssertionError(f"{name}.py stands in none of the LAYERS of {Path(__file__).name}; add it where it belongs")


def test_no_module_imports_upward():
    upward = []
    for name in MODULES.keys() - BARE:
        layer, package = place(name)
        for other in (imports(name) & MODULES.keys()) - BARE:
            below, its_package = place(other)
            if below >= layer and its_package != package:
                upward.append(f"{name} imports {other}")
    assert upward == []


def test_only_what_people_start_imports_evidence():
    users = {name for name in MODULES if any(other.partition(".")[0] == "evidence" for other in imports(name))}
    assert {name for name in users if not name.startswith("evidence.")} == {"cli", "watch", "work"}


def test_kinds_do_not_know_each_other():
    for package in ("networks", "problems", "datasets", "evidence.artifacts", "evidence.quantities"):
        kinds = {f"{package}.{name}" for name in registry.names(package)}
        for kind in kinds:
            assert not imports(kind) & kinds, kind


def test_optim_imports_torch_and_nothing_of_ours():
    for name in MODULES:
        if name.partition(".")[0] == "optim":
            found = {other.partition(".")[0] for other in imports(name)}
            assert found <= {"optim", "torch"} | set(sys.stdlib_module_names), name


def test_no_file_is_longer_than_300_lines():
    lengths = {name: file.read_text(encoding="utf-8").count("\n") for name, file in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 300} == {}

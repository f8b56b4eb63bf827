"""The optimizer's types, as a type checker sees them from outside."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")

USE = """
import torch
from torch import nn
from sharpness import SAM, After, Every, Last, diagnose, frozen_statistics, preset, presets

model = nn.Linear(2, 2)
optimizer = SAM(model.named_parameters(), torch.optim.SGD, **preset("asam", rho=1.0), lr=0.1)
wrapped = SAM.wrap(torch.optim.AdamW(model.parameters()), rho=0.1, when=Every(2), perturb="*weight")
reveal_type(optimizer)
reveal_type(wrapped)
reveal_type(presets())
with frozen_statistics(model), diagnose(optimizer, model) as found:
    reveal_type(found.steps[0].cosine)
"""
WRONG = """
from sharpness import SAM, preset

SAM.wrap(1, rho=0.1)
preset("sam", rhoo=0.1)
"""


def mypy(*arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "mypy", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_the_package_is_typed_throughout():
    status, output = mypy()
    assert status == 0, output


def test_its_types_are_seen_from_outside(tmp_path, monkeypatch):
    monkeypatch.setenv("MYPYPATH", str(ROOT / "src"))
    (tmp_path / "use.py").write_text(USE, encoding="utf-8")
    (tmp_path / "wrong.py").write_text(WRONG, encoding="utf-8")
    status, output = mypy(str(tmp_path / "use.py"))
    assert status == 0, output
    for revealed in ("sharpness.optim.sam.SAM", "dict[", "float"):
        assert revealed in output
    status, output = mypy(str(tmp_path / "wrong.py"))
    assert status == 1
    assert output.count("error:") == 2

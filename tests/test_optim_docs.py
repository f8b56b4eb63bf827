"""Every code block of docs/optimizer.md runs as it is written."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from sharpness import presets

PAGE = (Path(__file__).parents[1] / "docs" / "optimizer.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
DISTRIBUTED = [block for block in BLOCKS if block.startswith("# torchrun")]
FRAMEWORKS = {name: block for name in ("lightning", "transformers", "accelerate") for block in BLOCKS if name in block}
PLAIN = [block for block in BLOCKS if block not in DISTRIBUTED and block not in FRAMEWORKS.values()]


def test_every_kind_of_block_is_there():
    assert len(DISTRIBUTED) == 2
    assert len(FRAMEWORKS) == 3
    assert len(PLAIN) >= 15


@pytest.mark.filterwarnings("ignore")
def test_the_blocks_train_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for number, block in enumerate(PLAIN):
        exec(compile(block, f"docs/optimizer.md, block {number}", "exec"), namespace)
        loss = F.cross_entropy(namespace["model"](namespace["images"]), namespace["labels"])
        assert loss < 0.5, block  # 2.3 by chance
    assert namespace["found"].warnings == []


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch is built without gloo")
@pytest.mark.parametrize("block", DISTRIBUTED, ids=["DistributedDataParallel", "fully_shard"])
def test_a_distributed_block_runs_in_two_processes(block, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(f"{block}\nprint('done')\n", encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done") == 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_block_of_a_framework_runs_where_it_is_installed(name, tmp_path, monkeypatch):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    namespace = {}
    exec(BLOCKS[0], namespace)
    exec(FRAMEWORKS[name], namespace)
    steps = {
        "lightning": lambda: namespace["trainer"].optimizers[0].steps,
        "transformers": lambda: namespace["trainer"].sam.steps,
        "accelerate": lambda: namespace["optimizer"].steps,
    }[name]()
    assert steps == (3 if name == "transformers" else 4)


def test_the_table_shows_the_presets_as_they_are():
    rows = re.findall(r"^\| `([a-z0-9-]+)`.*\| `([a-z].*?)` \|$", PAGE, flags=re.MULTILINE)
    shown = {name: eval(f"dict({settings})", {"math": __import__("math")}) for name, settings in rows}
    assert shown == presets()

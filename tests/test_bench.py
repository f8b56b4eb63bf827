"""The benchmarks' own pieces, at tiny sizes; how fast anything is, they do not say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import projects
import pytest
import torch

ROOT = Path(__file__).parents[1]
# gpu-check on the CPU, in a process that has only what it says that it needs.
GPU_CHECK = """
import runpy, sys
absent = "jinja2 jsonschema matplotlib PIL psutil pypandoc pytest pytorch_optimizer scipy seaborn sklearn torchvision"
sys.modules |= dict.fromkeys(absent.split())
sys.path.insert(0, "bench")
sys.argv = ["gpu_check.py", "--device", "cpu", "--size", "tiny", "--output", *sys.argv[1:]]
runpy.run_path("bench/gpu_check.py", run_name="__main__")
"""


@pytest.fixture(autouse=True)
def bench_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "bench")


def test_tables_fill_their_marks_and_nothing_else():
    from tables import filled, markdown

    text = "before\n<!-- bench: speed -->\nold\n<!-- end -->\n<!-- bench: other -->\nkept\n<!-- end -->\nafter\n"
    table = markdown(["what", "how fast"], [["this", 3]])
    result = filled(text, {"speed": table})
    assert "| this | 3 |" in result
    assert "old" not in result
    assert "kept" in result
    assert filled(result, {"speed": table}) == result


def test_candidates_take_turns_for_an_odd_number_of_rounds():
    from measure import interleaved

    calls = []
    seconds = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, budget=0.0)
    assert len(seconds["a"]) == len(seconds["b"]) == 3
    assert calls == ["a", "b"] * 4  # a round that does not count comes first


def test_every_document_mark_belongs_to_a_benchmark():
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").glob("*.py"))
    for document in ("performance", "precision"):
        text = (ROOT / f"docs/{document}.md").read_text(encoding="utf-8")
        marks = [line.split()[2] for line in text.splitlines() if line.startswith("<!-- bench:")]
        assert marks
        for mark in marks:
            assert f'"{mark}"' in source, mark


def test_the_references_of_matrix_sensing_agree_with_the_sweeps_own_descent():
    from reference import sense_by_loop, sense_by_product

    from sharpness.dynamics.matrix_sensing import MatrixSensing, Run, descend
    from sharpness.problems.matrix_sensing import Settings

    problem = {"dimension": 6, "rank": 2, "iterate_rank": 2, "measurements": 60}
    settings = Settings(**problem, learning_rate=0.02, steps=4, methods=("sam",), rho=(0.1,), draws=1, seed=0)
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(60, 6, 6, dtype=torch.float64, generator=generator)
    factor, start = (torch.randn(6, 2, dtype=torch.float64, generator=generator) for _ in range(2))
    rows, columns = torch.triu_indices(6, 6)
    packed = (matrices + matrices.mT - torch.diag_embed(matrices.diagonal(dim1=1, dim2=2)))[:, rows, columns]
    for run in (Run("sam", 0.1), Run("usam", 0.01)):
        ours = descend(MatrixSensing(packed, factor @ factor.mT), start[None], [run], 0.02, 4)[0]
        for reference in (sense_by_loop, sense_by_product):
            found = torch.tensor(reference(matrices, factor @ factor.mT, start, run, settings), dtype=torch.float64)
            torch.testing.assert_close(found, ours, rtol=1e-9, atol=0)


def start_gpu_check(output: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests'}"}
    return subprocess.Popen(
        [sys.executable, "-c", GPU_CHECK, str(output)], cwd=ROOT, env=environment, start_new_session=True
    )


def test_gpu_check_runs_through_on_a_cpu_and_its_tables_show_what_it_wrote(tmp_path):
    import gpu_check

    assert start_gpu_check(tmp_path / "check.json").wait() == 0
    result = json.loads((tmp_path / "check.json").read_text())
    assert result["finished"]
    assert {(row["precision"], row["layout"]) for row in result["steps"]} == {
        (precision, layout) for precision in ("fp32", "bf16") for layout in ("channels last", "channels first")
    }
    assert [(row["runs"], row["network"]) for row in result["at_once"]] == [
        (runs, network) for runs in (1, 2) for network in ("WRN-10-1", "ResNet")
    ]
    assert [(row["scale"], row["runs"]) for row in result["scales"]] == [("smoke", 21)]
    tables = gpu_check.tables(result)
    assert tables["gpu_checks"].startswith("0 of 0 tests")
    for name, part in (("gpu_steps", "steps"), ("gpu_at_once", "at_once"), ("gpu_scales", "scales")):
        assert len(tables[name].splitlines()) == 2 + len(result[part])


def test_a_gpu_check_that_is_killed_leaves_what_it_has_and_that_is_shown(tmp_path):
    import gpu_check

    output = tmp_path / "check.json"
    process = start_gpu_check(output)
    try:
        assert projects.wait_for(lambda: output.exists() and json.loads(output.read_text())["steps"], process, 300)
    finally:
        projects.kill(process)
        process.wait()
    result = json.loads(output.read_text())
    assert not result["finished"]
    assert result["steps"][0]["images_per_second"] > 0
    assert "gpu_scales" in gpu_check.tables(result)


def test_a_failed_check_is_said_in_the_table_and_one_without_time_is_not_failed():
    import gpu_check

    checks = [{"name": "this"}, {"name": "that", "error": "AssertionError"}, {"name": "late", "skipped": "no time"}]
    tables = gpu_check.tables({"checks": checks, "steps": [], "at_once": [], "scales": [{"error": "no"}]})
    assert tables["gpu_checks"] == "1 of 2 tests that need a GPU pass here; not: that; for 1 there was no time."

"""The benchmarks' own pieces, at tiny sizes; how fast anything is, they do not say."""

from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


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

"""The study's tables: their numbers, their marks, their files."""

import math
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import projects
import pytest
import synthetic
from synthetic import record

from sharpness.errors import UserError
from sharpness.evidence.formatting import LATEX, MARKDOWN
from sharpness.study import load_study

TABLES = ["table1", "table2", "table3"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return synthetic.project(tmp_path, "laptop", epochs=2)


def write_finals(study, finals, **which):
    """Give the runs whose specs match final (accuracy, loss) pairs, one a seed; None is a diverged run."""
    run_ids = synthetic.find(study, **which)
    assert len(run_ids) == len(finals)
    for run_id, final in zip(run_ids, finals, strict=True):
        spec = study.runs[run_id].spec
        rows = [record(spec, 1, test_accuracy=0.999, test_loss=0.001)]
        if final is None:
            rows.append(record(spec, 2, train_loss=math.inf))
        else:
            rows.append(record(spec, 2, test_accuracy=final[0], test_loss=final[1]))
        synthetic.write(study, run_id, rows)


def change(study, edit):
    """The study after a change to config/study.yaml."""
    projects.edit(Path("config/study.yaml"), edit)
    return load_study(study.scale)


def written(study, name, suffix):
    study.artifact(name).write(study)
    return study.artifact(name).file(study.scale, suffix).read_text(encoding="utf-8")


def csv(study, name):
    study.artifact(name).write(study)
    return pd.read_csv(study.artifact(name).file(study.scale, "csv"))


def markdown_rows(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (lines[0], *lines[2:])]


def write_sensing(study, losses):
    """Write a sweep with the given losses by (method, rho, step), one loss a draw, and 1.0 everywhere else."""
    rows = [
        (method, rho, draw, step, losses.get((method, rho, step), [1.0, 1.0, 1.0])[draw])
        for method in ("sam", "usam")
        for rho in (0.01, 0.1)
        for draw in range(3)
        for step in range(1, 7)
    ]
    synthetic.write_sensing(study, pd.DataFrame(rows, columns=["method", "rho", "draw", "step", "loss"]))


# Table I


def test_table_1_equals_means_and_deviations_computed_by_hand(study):
    synthetic.write_all(study)
    # Deviations from the mean -0.03, -0.01, 0.04: variance (9 + 1 + 16)e-4 / 2 = 1.3e-3. Losses: 0.01, 0.01, -0.02.
    write_finals(study, [(0.90, 0.21), (0.92, 0.21), (0.97, 0.18)], network="wide_resnet", method="sam", rho=0.05)
    row = csv(study, "table1").set_index("rho").loc[0.05]
    assert (row["n"], row["diverged"]) == (3, 0)
    assert row["accuracy_mean"] == pytest.approx(0.93)
    assert row["accuracy_std"] == pytest.approx(math.sqrt(1.3e-3))
    assert row["loss_mean"] == pytest.approx(0.2)
    assert row["loss_std"] == pytest.approx(math.sqrt(3e-4))
    assert (row["published_accuracy_mean"], row["published_loss_std"]) == (0.9717, 0.0011)
    assert row["accuracy_difference"] == pytest.approx(0.93 - 0.9717)
    assert row["loss_difference"] == pytest.approx(0.2 - 0.0675)

    rows = {cells[0]: cells[1:] for cells in markdown_rows(written(study, "table1", "md"))}
    assert list(rows) == ["ρ", "0.5", "0.1", "0.05", "0.01"]
    assert rows["0.05"] == [
        "0.9300 ± 0.0361", "0.9717 ± 0.0007", "−0.0417", "0.2000 ± 0.0173", "0.0675 ± 0.0011", "+0.1325", "3",
    ]  # fmt: skip


def test_diverged_seeds_are_left_out_of_the_mean_and_counted(study):
    synthetic.write_all(study)
    write_finals(study, [(0.90, 0.2), None, (0.92, 0.4)], network="wide_resnet", method="sam", rho=0.5)
    write_finals(study, [None, None, None], network="wide_resnet", method="sam", rho=0.1)
    table = csv(study, "table1").set_index("rho")
    assert list(table.loc[0.5, ["n", "diverged", "accuracy_mean", "loss_mean"]]) == pytest.approx([2, 1, 0.91, 0.3])
    assert table.loc[0.1, ["accuracy_mean", "accuracy_std", "loss_mean", "accuracy_difference"]].isna().all()
    rows = {cells[0]: cells[1:] for cells in markdown_rows(written(study, "table1", "md"))}
    assert rows["0.5"][0] == "0.9100 ± 0.0141"
    assert rows["0.5"][-1] == "2 (1 of 3 diverged)"
    assert rows["0.1"] == [
        "diverged", "0.9710 ± 0.0008", "—", "diverged", "0.0695 ± 0.0007", "—", "0 (3 of 3 diverged)",
    ]  # fmt: skip


def test_one_seed_has_no_deviation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = synthetic.project(tmp_path, "smoke", seeds=[42], experiment_seeds={})
    synthetic.write_all(study)
    for name in ("table1", "table2"):
        table = csv(study, name)
        assert (table["n"] == 1).all()
        assert table["accuracy_std"].isna().all()
    ours = [row[1] for row in markdown_rows(written(study, "table1", "md"))[1:]]
    assert not any("±" in cell for cell in ours)
    assert all("(n = 1)" in cell for row in markdown_rows(written(study, "table2", "md"))[1:] for cell in row[1:])
    assert "± 0.0000" not in written(study, "table2", "md")


def test_a_radius_that_was_not_published_has_dashes(study):
    study = change(study, lambda design: design["experiments"]["radius"]["runs"][0]["rho"].append(0.2))
    synthetic.write_all(study)
    row = markdown_rows(written(study, "table1", "md"))[-1]
    assert (row[0], row[2], row[3], row[5], row[6]) == ("0.2", "—", "—", "—", "—")


def test_table_1_refuses_to_mix_methods_or_networks(study):
    def add_method(design):
        design["experiments"]["radius"]["runs"].append({"method": "asam", "rho": [2.0]})

    def add_network(design):
        design["experiments"]["radius"]["runs"].pop()
        design["experiments"]["radius"]["networks"].append("vgg")

    with pytest.raises(
        UserError, match=r"artifacts\.table1: shows one method, but its experiment trains sam, asam; give"
    ):
        change(study, add_method)
    with pytest.raises(
        UserError, match=r"artifacts\.table1: shows one network, but its experiment trains wide_resnet, vgg"
    ):
        change(study, add_network)


# Table II


def test_table_2_marks_the_highest_mean_of_each_network(study):
    synthetic.write_all(study)
    write_finals(study, [(0.9, 1), (0.9, 1), (0.9, 1)], network="resnet", method="sgd")
    write_finals(study, [(0.8, 1), (0.9, 1), (0.97, 1)], network="resnet", method="sam", rho=0.05)
    write_finals(study, [(0.91, 1), (0.90, 1), (0.92, 1)], network="resnet", method="asam")
    header, *rows = markdown_rows(written(study, "table2", "md"))
    assert header == ["Network", "SGD", "SAM, ρ = 0.05", "ASAM, ρ = 2"]
    assert [row[0] for row in rows] == ["ResNet", "WideResNet", "PyramidNet", "VGG"]
    assert rows[0][1:] == [
        "0.9000 ± 0.0000 (n = 3)", "0.8900 ± 0.0854 (n = 3)", "**0.9100 ± 0.0100 (n = 3)**",
    ]  # fmt: skip
    table = csv(study, "table2")
    assert table.groupby("network")["best"].sum().eq(1).all()
    assert r"\textbf{0.9100 $\pm$ 0.0100 (n = 3)}" in written(study, "table2", "tex")


def test_a_mean_over_survivors_is_never_marked_best(study):
    synthetic.write_all(study)
    write_finals(study, [(0.6, 1), (0.6, 1), (0.6, 1)], network="vgg", method="sgd")
    write_finals(study, [None, (0.9, 1), None], network="vgg", method="sam", rho=0.05)
    write_finals(study, [None, None, None], network="vgg", method="asam")
    vgg = markdown_rows(written(study, "table2", "md"))[-1]
    assert vgg == ["VGG", "0.6000 ± 0.0000 (n = 3)", "0.9000 (n = 1; 2 of 3 diverged)", "diverged"]
    # Where the survivors' mean is lower all the same, the mark stands.
    write_finals(study, [None, (0.5, 1), (0.5, 1)], network="vgg", method="sam", rho=0.05)
    vgg = markdown_rows(written(study, "table2", "md"))[-1]
    assert vgg[1:3] == ["**0.6000 ± 0.0000 (n = 3)**", "0.5000 ± 0.0000 (n = 2; 1 of 3 diverged)"]


# Table III


def test_table_3_equals_medians_and_ranges_computed_by_hand(study):
    write_sensing(study, {("sam", 0.1, 1): [4.7, 5.25, 4.9], ("usam", 0.1, 3): [3e5, 1.234e12, 3.07e7]})
    table = csv(study, "table3").set_index(["method", "step"])
    assert len(table) == 8
    assert list(table.loc[("sam", 1), ["draws", "diverged"]]) == [3, 0]
    numbers = ["loss_median", "loss_min", "loss_max", "published"]
    assert list(table.loc[("sam", 1), numbers]) == [4.9, 4.7, 5.25, 4.714]
    assert list(table.loc[("usam", 3), numbers]) == [3.07e7, 3e5, 1.234e12, 70595465.0]
    header, *rows = markdown_rows(written(study, "table3", "md"))
    assert header == ["ρ", "Step", "SAM", "published", "USAM", "published"]
    assert rows[0][:4] == ["0.1", "1", "4.90 (4.70 to 5.25)", "4.714"]
    assert rows[2][4:] == ["3.07 × 10⁷ (3.00 × 10⁵ to 1.23 × 10¹²)", "70595465"]
    assert [row[-1] for row in rows] == ["4.872", "22.873", "70595465", "1.545 × 10⁶⁵"]


def test_losses_that_are_no_number_any_more_are_called_diverged(study):
    losses = {
        ("usam", 0.1, 1): [3.0, math.inf, 5.0],
        ("usam", 0.1, 2): [math.nan, 7.0, math.inf],
        ("usam", 0.1, 3): [math.nan, math.inf, math.nan],
        ("usam", 0.1, 4): [1.5e308, math.inf, 1.2e308],
    }
    write_sensing(study, losses)
    table = csv(study, "table3").set_index(["method", "step"]).loc["usam"]
    assert list(table["diverged"]) == [1, 2, 3, 3]
    assert list(table["loss_median"]) == [5.0, math.inf, math.inf, math.inf]
    cells = [row[4] for row in markdown_rows(written(study, "table3", "md"))[1:]]
    assert cells == ["5.00 (3.00 to diverged)", "diverged (7.00 to diverged)", "diverged", "diverged"]


def test_published_losses_stand_beside_the_published_radius_only(study):
    study = change(study, lambda design: design["artifacts"]["table3"].update(rho=[0.01, 0.1]))
    write_sensing(study, {})
    rows = markdown_rows(written(study, "table3", "md"))[1:]
    assert [row[0] for row in rows] == ["0.01"] * 4 + ["0.1"] * 4
    assert {row[3] for row in rows[:4]} == {"—"}
    assert [row[3] for row in rows[4:]] == ["4.714", "2.81", "1.748", "1.199"]


# Files


@pytest.fixture
def complete(study):
    diverging = dict.fromkeys(synthetic.find(study, network="vgg", method="asam")[:2], 2)
    synthetic.write_all(study, diverging)
    synthetic.write_sensing(study)
    return study


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_same_bytes_each_time(complete, name):
    files = complete.artifact(name).files("laptop")
    complete.artifact(name).write(complete)
    first = [file.read_bytes() for file in files]
    complete.artifact(name).write(complete)
    assert [file.read_bytes() for file in files] == first
    assert all(first)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("suffix", ["md", "tex"])
def test_a_table_names_its_setting(complete, name, suffix):
    text = written(complete, name, suffix)
    if suffix == "tex":
        text = text.replace(r"$\times$", "×")
    assert "laptop scale" in text
    assert name == "table3" or "digits (8×8), laptop scale, 2 epochs" in text


def body_of(tabular):
    """The cells of a LaTeX table."""
    lines = tabular.splitlines()
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    return [line.removesuffix(r" \\").split(" & ") for line in body]


def test_latex_and_markdown_have_the_same_cells(complete):
    for name in TABLES:
        table = complete.artifact(name)
        content = {form: table.content(complete, table.data(complete), form) for form in (MARKDOWN, LATEX)}
        cells = body_of(written(complete, name, "tex"))
        assert cells == content[LATEX].rows
        assert [len(row) for row in cells] == [len(content[MARKDOWN].header)] * len(content[MARKDOWN].rows)
        assert [[in_markdown(cell) for cell in row] for row in cells] == content[MARKDOWN].rows


def in_markdown(cell):
    """A cell of a LaTeX table as Markdown has it."""
    cell = re.sub(r"\$10\^\{(-?\d+)\}\$", lambda power: MARKDOWN.power("", int(power[1])).removeprefix(" × "), cell)
    cell = re.sub(r"\\textbf\{(.*)\}", r"**\1**", cell)
    for latex, character in {r"$\pm$": "±", r"$\times$": "×", "$-$": "−", "---": "—", r"$\rho$": "ρ"}.items():
        cell = cell.replace(latex, character)
    return cell


@pytest.mark.parametrize("name", TABLES)
def test_latex_has_balanced_braces_and_no_letters_that_it_lacks(complete, name):
    text = written(complete, name, "tex")
    assert text.isascii(), sorted({character for character in text if not character.isascii()})
    unescaped = re.sub(r"\\[{}$&%#_]", "", text)
    depth = 0
    for character in unescaped:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    caption, *tabular = unescaped.splitlines()
    assert caption.startswith("% Table ")
    assert not any("%" in line for line in tabular)
    assert all(line.count("$") % 2 == 0 for line in tabular)
    assert len(re.findall(r"\\begin", text)) == len(re.findall(r"\\end", text)) == 1


def test_names_with_special_characters_survive(complete):
    def rename(design):
        design["methods"]["sam"]["title"] = "S|A_M & 100 %"

    study = change(complete, rename)
    assert r"| S\|A\_M & 100 %, ρ = 0.05 |" in written(study, "table2", "md")
    assert r"& S\textbar{}A\_M \& 100 \%, $\rho$ = 0.05 &" in written(study, "table2", "tex")


def test_an_unknown_table_is_a_user_s_error(complete):
    with pytest.raises(UserError, match=r"unknown artifact 'table9'; did you mean 'table\d'\?"):
        complete.artifact("table9")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_latex_compiles_with_booktabs(complete, tmp_path):
    for name in TABLES:
        complete.artifact(name).write(complete)
    tables = "\n\n".join(rf"\input{{{complete.artifact(name).file('laptop', 'tex')}}}" for name in TABLES)
    document = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "document.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]

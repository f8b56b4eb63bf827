"""The commands and the code of docs/ do what the pages say."""

import re
import runpy
import subprocess
from pathlib import Path

import finished
import pandas as pd
import projects
import pytest
import yaml

from sharpness.study import load_study

DOCS = projects.ROOT / "docs"


def blocks(page: str, language: str = "") -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    fenced = re.findall(r"^```(.*?)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [content for info, content in fenced if info == language]


def test_the_index_names_every_page():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in sorted(DOCS.glob("*.md")) if page.name not in index] == []


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_the_links_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#:]+)[^):]*\)", (DOCS / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (DOCS / target).exists()] == []


def test_the_graph_of_the_rules_is_what_snakemake_gives(tmp_path):
    generator = runpy.run_path(str(DOCS / "generate/rule_graph.py"))
    page = (DOCS / "from-run-to-figure.md").read_text(encoding="utf-8")
    assert generator["MARKED"].search(page)[0] == generator["drawn"](projects.copy(tmp_path)), "run `make docs`"


def test_a_number_of_table_1_is_reproduced_by_hand(tmp_path, monkeypatch, capsys):
    finished.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    [code] = blocks("one-number.md", "python")
    exec(code.replace("results/laptop", "results/smoke"), {})
    printed = capsys.readouterr().out.strip()
    [row] = [
        line for line in Path("results/smoke/tables/table1.md").read_text().splitlines() if line.startswith("| 0.05 ")
    ]
    assert printed in row
    assert re.fullmatch(r"0\.\d{4} ± 0\.\d{4}", printed)


def test_the_run_of_the_page_is_one_of_the_laptop_scale():
    [command] = blocks("one-number.md")
    run_id = command.split()[-1]
    assert load_study("laptop", projects.ROOT).job(run_id).spec["rho"] == 0.05


@pytest.mark.pipeline
def test_another_radius_is_one_new_run_for_each_seed_and_a_curve_of_the_figure(tmp_path):
    folder = projects.copy(tmp_path)
    [commands] = blocks("another-radius.md")
    edit, *others = commands.splitlines()
    before = load_study("laptop", folder)
    subprocess.run(edit, shell=True, cwd=folder, check=True)
    after = load_study("laptop", folder)
    added = [after.runs[name].spec for name in after.runs if name not in before.runs]
    assert [(spec["method"], spec["rho"], spec["seed"]) for spec in added] == [
        ("sam", 0.2, seed) for seed in (0, 10, 42)
    ]

    tiny = {"epochs": 2, "seeds": [0], "experiment_seeds": {"radius": [0, 10]}}
    projects.replace(folder / "config/scales/laptop.yaml", tiny)
    plan, build, check = (projects.run(folder, *command.split()) for command in others)

    assert re.search(r"^figure +1$", plan.stdout, re.MULTILINE), plan.stdout
    assert re.search(r"^train +4$", plan.stdout, re.MULTILINE), plan.stdout
    assert build.returncode == 0, build.stdout
    data = pd.read_csv(folder / "figures/laptop/figure3.csv")
    assert sorted(data.loc[data["method"] == "sam", "rho"].unique()) == [0.05, 0.2]
    assert "<!-- SAM, ρ = 0.2 -->" in (folder / "figures/laptop/figure3.svg").read_text(encoding="utf-8")
    assert check.returncode == 1
    assert "make the report" in check.stdout


def test_a_scale_of_ones_own_is_planned(tmp_path):
    folder = projects.copy(tmp_path)
    [(name, scale)] = re.findall(
        r'^```yaml title="(.*?)"\n(.*?)^```', (DOCS / "choosing-a-scale.md").read_text(), re.DOTALL | re.MULTILINE
    )
    (folder / name).write_text(scale, encoding="utf-8")
    command = blocks("choosing-a-scale.md")[-1].strip()
    planned = projects.run(folder, *command.split())
    assert planned.returncode == 0, planned.stdout
    runs = load_study("quick", folder).runs
    assert re.search(rf"^train +{len(runs)}$", planned.stdout, re.MULTILINE)
    assert {job.spec["epochs"] for job in runs.values()} == {yaml.safe_load(scale)["epochs"]}

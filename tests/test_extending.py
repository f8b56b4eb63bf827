"""docs/extending.md: its nine examples, carried out together in a copy of the repository."""

import html
import json
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import projects
import pytest
import yaml

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(600)]

PAGE = (projects.ROOT / "docs/extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(\w+) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code under the name of its file."""

    language: str
    file: str
    text: str

    @property
    def is_new(self) -> bool:
        return not (projects.ROOT / self.file).exists()

    @property
    def lines(self) -> int:
        """How many it adds to its file."""
        lines = self.text.splitlines()
        return sum(line.startswith("+") for line in lines) if self.language == "diff" else len(lines)

    def carry_out(self, folder: Path) -> None:
        """Write the file, or add to the one that is there."""
        file = folder / self.file
        if self.language == "diff":
            lines = self.text.splitlines(keepends=True)
            before, after = ("".join(line[1:] for line in lines if line[0] in (" ", sign)) for sign in "-+")
            source = file.read_text(encoding="utf-8")
            assert source.count(before) == 1, f"{self.file} has not the lines that its diff shows"
            file.write_text(source.replace(before, after), encoding="utf-8")
        elif self.is_new:
            file.write_text(self.text, encoding="utf-8")
        else:
            projects.edit(file, lambda content: merge(content, yaml.safe_load(self.text)))


def merge(content: dict, entry: dict) -> None:
    """Add an entry to the content of a file of config/: keys to mappings, items to lists."""
    for key, value in entry.items():
        if key not in content:
            content[key] = value
        elif isinstance(value, dict):
            merge(content[key], value)
        else:
            assert isinstance(value, list), f"{key} is there already"
            content[key] += value


def examples() -> dict[str, list[Block]]:
    """The blocks of each example, by its title."""
    parts = re.split(r"^## (\d\. .+)$", PAGE, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {title: [Block(*found) for found in BLOCK.findall(text)] for title, text in pairs}


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with all nine examples."""
    folder = projects.copy(tmp_path_factory.mktemp("extended") / "project")
    for blocks in examples().values():
        for block in blocks:
            block.carry_out(folder)
    return folder


@pytest.fixture(scope="module")
def made(extended: Path) -> Path:
    """The copy after the pipeline has run at the scale of the last example."""
    done = projects.run(extended, "snakemake", "--cores", "2", "--config", "scale=tiny")
    assert done.returncode == 0, done.stdout
    return extended


@pytest.fixture(scope="module")
def report(made: Path) -> dict[str, str]:
    """The text of the report's sections by their identifiers; what is above the first one is "top"."""
    page = (made / "results/tiny/report.html").read_text(encoding="utf-8")
    page = re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)
    top, *rest = re.split(r'<h2[^>]* id="([\w-]+)"[^>]*>', page)
    parts = {"top": top, **dict(zip(rest[::2], rest[1::2], strict=True))}
    return {name: " ".join(html.unescape(re.sub(r"<[^>]+>", "", part)).split()) for name, part in parts.items()}


def test_a_network_has_its_row_in_the_table_of_its_experiment(made, report):
    assert "MLP (widths [32])." in report["method"]
    rows = pd.read_csv(made / "results/tiny/tables/table2.csv")
    rows = rows[rows["network"] == "mlp"]
    assert list(rows["method"]) == ["sgd", "sam", "asam"]
    cells = " ".join(f"{accuracy:.4f} (n = 1)" for accuracy in rows["accuracy_mean"])
    assert f"MLP {cells}" in report["adaptivity"]


def test_a_geometry_is_a_method_s_step(made, report):
    runs = pd.read_csv(made / "results/tiny/runs.csv").set_index("method")
    assert runs.loc["sam-layerwise", "geometry"] == "layerwise"
    assert re.search(r"SAM \(layerwise\) .* on tensor .* 2 ", report["method"])
    curves = pd.read_csv(made / "figures/tiny/figure3.csv")
    assert "SAM (layerwise), ρ = 2" in set(curves["label"])


def test_a_data_set_is_what_the_runs_are_trained_on(made, report):
    assert "Tiny scale: digits (8×8), 20 % of the training labels wrong, 1 epoch." in report["top"]
    for run in made.glob("results/tiny/training/*/run.json"):
        spec = json.loads(run.read_text(encoding="utf-8"))["spec"]
        assert (spec["dataset"], spec["dataset_noise"], spec["training_images"]) == ("noisy_digits", 0.2, 128)
    program = (
        "from pathlib import Path; from sharpness.datasets import digits, noisy_digits\n"
        "clean, noisy = (source.read(Path(), False) for source in (digits.Source(), noisy_digits.Source(0.2)))\n"
        "print((clean.train_labels != noisy.train_labels).sum(), (clean.test_labels != noisy.test_labels).sum())"
    )
    assert projects.run(made, sys.executable, "-c", program).stdout.split() == ["102", "0"], "a fifth of 512"


def test_a_toy_problem_has_its_section(made, report):
    [data] = made.glob("results/tiny/rosenbrock/rosenbrock-*/data.csv")
    distances = pd.read_csv(data).groupby("method")["distance"].median()
    assert distances["sam"] > 1e-3, "SAM keeps its distance from the minimum"
    assert distances[["gd", "usam"]].max() < 1e-8
    text = report["convergence"]
    assert "after 10000 steps at η = 0.005 and ρ = 0.003, the median distance to the minimum is" in text
    assert f"{distances['sam']:.3g} (SAM)" in text
    assert "The 1 job of this section took" in text


def test_a_figure_of_a_new_kind_stands_in_its_section(made, report):
    caption = "Figure 16. SAM and ASAM on the MLP by radius: mean and range over the seeds that completed, digits (8×8)"
    assert caption in report["radius"]
    points = pd.read_csv(made / "figures/tiny/figure16.csv")
    assert list(zip(points["label"], points["rho"], strict=True)) == [
        *(("SAM", rho) for rho in (0.01, 0.05, 0.2)),
        *(("ASAM", rho) for rho in (0.1, 0.5, 2.0)),
    ]
    picture = (made / "figures/tiny/figure16.svg").read_text(encoding="utf-8")
    for text in ("Radius ρ", "Test accuracy", "SAM", "ASAM", "MLP (widths [32])"):
        assert f"<!-- {text} -->" in picture


def test_a_table_of_a_new_kind_stands_in_its_section(made, report):
    caption = "Table V. WideResNet (depth 10, width 1): negative log-likelihood and expected calibration error"
    assert caption in report["adaptivity"]
    rows = pd.read_csv(made / "results/tiny/tables/table5.csv")
    for title, row in zip(("SGD", "SAM, ρ = 0.05", "ASAM, ρ = 2"), rows.itertuples(), strict=True):
        assert f"{title} {row.nll_mean:.4f} {row.ece_mean:.4f} 1" in report["adaptivity"]
    assert r"\toprule" in (made / "results/tiny/tables/table5.tex").read_text(encoding="utf-8")


def test_a_claim_with_a_new_quantity_has_its_verdict(made, report):
    claims = pd.read_csv(made / "results/tiny/claims.csv", index_col="claim")
    table = pd.read_csv(made / "results/tiny/tables/table5.csv", index_col="method")["nll_mean"]
    part = claims.loc["F11a"]
    assert part["effect"] == pytest.approx(table["sgd"] - table["sam"])
    assert part["quantity"] == "final test NLL of SGD, minus that of SAM, ρ = 0.05, on WideResNet"
    assert part["reason"].startswith("1 of the 3 pairs of runs that the criterion asks for")
    assert "F11 SAM gives the test labels a higher likelihood than SGD. inconclusive" in report["findings"]
    assert "and F11 is inconclusive" in report["adaptivity"]


def test_a_logged_quantity_is_a_column_of_every_history(made):
    histories = [pd.read_csv(file) for file in made.glob("results/tiny/training/*/history.csv")]
    assert histories
    for history in histories:
        assert (history["weight_norm"] > 0).all()


def test_a_scale_has_all_of_its_own_results(made):
    verified = projects.run(made, sys.executable, "-m", "sharpness", "verify", "--scale", "tiny")
    assert verified.returncode == 0, verified.stdout
    assert [folder.name for folder in (made / "results").iterdir()] == ["tiny"]
    runs = pd.read_csv(made / "results/tiny/runs.csv")
    assert set(runs["epochs"]) == {1}


def test_every_other_scale_takes_the_examples_as_well(extended):
    program = (
        "from sharpness.scales import scale_names; from sharpness.study import load_study\n"
        "for scale in scale_names(): print(scale, len(load_study(scale).jobs))"
    )
    done = projects.run(extended, sys.executable, "-c", program)
    assert done.returncode == 0, done.stdout
    assert len(done.stdout.splitlines()) == len(list((extended / "config/scales").glob("*.yaml")))


FAULTS = {
    "a figure's key": (
        "config/study.yaml",
        ("experiment: ball-size", "experimnt: ball-size"),
        "config/study.yaml: unknown key 'experimnt' in artifacts.figure16; did you mean 'experiment'?",
    ),
    "a figure's experiment": (
        "config/study.yaml",
        ("experiment: ball-size", "experiment: adaptivity\n    network: mlp"),
        "config/study.yaml: artifacts.figure16: shows radii, but its experiment trains a method that has none; "
        "choose another",
    ),
    "a table's network": (
        "config/study.yaml",
        ("Calibration of SGD, SAM and ASAM\n    experiment: adaptivity\n    network: wide_resnet\n",
         "Calibration of SGD, SAM and ASAM\n    experiment: adaptivity\n"),
        "config/study.yaml: artifacts.table5: shows one network, but its experiment trains resnet, wide_resnet, "
        "pyramidnet, vgg, mlp; choose one with its key network",
    ),
    "a quantity's field": (
        "config/claims.yaml",
        ("quantity: nll_difference\n      network", "quantity: nll_difference\n      netwrk"),
        "config/claims.yaml: unknown key 'netwrk' in claims.F11a; did you mean 'network'?",
    ),
    "a problem's setting": (
        "config/study.yaml",
        ("steepness: 10.0", "steepness: -10.0"),
        "config/study.yaml: problems.rosenbrock.steepness is -10; it must be more than 0",
    ),
    "a data set's setting": (
        "config/scales/noisy.yaml",
        ("noise: 0.2", "noise: 20"),
        "config/scales/tiny.yaml (extends noisy, laptop): dataset.noise is 20; it must lie between 0 and 1",
    ),
    "a network's citation": (
        "src/sharpness/networks/mlp.py",
        ("CITATION = None\n", ""),
        "src/sharpness/networks/mlp.py: no CITATION that is written out; add it",
    ),
    "a geometry's formula": (
        "src/sharpness/optim/geometries/layerwise.py",
        ("FORMULA = ", "FORMULAE = "),
        "src/sharpness/optim/geometries/layerwise.py: no FORMULA that is written out; add it",
    ),
    "a method's geometry": (
        "config/study.yaml",
        ("geometry: layerwise", "geometry: layer"),
        "config/study.yaml: methods.sam-layerwise: unknown geometry 'layer'; did you mean 'layerwise'?",
    ),
    "an experiment's network": (
        "config/study.yaml",
        ("networks:\n    - mlp", "networks:\n    - mpl"),
        "config/study.yaml: experiments.ball-size: unknown network 'mpl'; did you mean 'mlp'?",
    ),
    "a scale's parent": (
        "config/scales/tiny.yaml",
        ("extends: noisy", "extends: nosy"),
        "config/scales/tiny.yaml: extends: unknown scale 'nosy'; did you mean 'noisy'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("file", "change", "line"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_an_example_is_refused_before_anything_runs(extended, tmp_path, file, change, line):
    ignored = shutil.ignore_patterns("results", "figures", "data", ".snakemake", "__pycache__")
    folder = Path(shutil.copytree(extended, tmp_path / "project", ignore=ignored))
    text = (folder / file).read_text(encoding="utf-8")
    assert text.count(change[0]) == 1
    (folder / file).write_text(text.replace(*change), encoding="utf-8")
    done = projects.run(folder, "snakemake", "-n", "--config", "scale=tiny")
    assert done.returncode == 1
    assert line in done.stdout.splitlines()
    assert "Traceback" not in done.stdout


def test_the_page_says_how_much_each_example_takes():
    stated = re.findall(r"^\| (\d\. [^|]+?) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    counted = []
    for title, blocks in examples().items():
        new = sum(block.is_new for block in blocks)
        counted.append((title, str(new), str(len(blocks) - new), str(sum(block.lines for block in blocks))))
    assert len(counted) == 9
    assert stated == counted


def test_the_page_s_code_is_in_the_project_s_style(extended):
    new = [block.file for blocks in examples().values() for block in blocks if block.language == "python"]
    shutil.copy(projects.ROOT / "pyproject.toml", extended)
    for words in (["check"], ["format", "--check"]):
        done = projects.run(extended, "ruff", *words, "--no-cache", *new)
        assert done.returncode == 0, done.stdout

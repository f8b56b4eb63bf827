"""Tables I to III, each as tidy CSV for programs, as Markdown and as LaTeX (booktabs) for people."""

import math
import re
from dataclasses import dataclass

import pandas as pd

from sharpness import files, paths, records
from sharpness.errors import UserError, unknown
from sharpness.evidence import labels
from sharpness.evidence.runs import LARGEST_LOSS, csv_text, summarize, summarize_sensing
from sharpness.study import Study, published

# What config/published.yaml is of: Table I's training, Table III's radius.
PUBLISHED_TRAINING = "CIFAR-10, 200 epochs"
PUBLISHED_RADIUS = 0.1
DIVERGED = "diverged"
NOTHING = "—"

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
PLAIN_DIGITS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {
        "±": r"$\pm$",
        "×": r"$\times$",
        "−": "$-$",
        "∞": r"$\infty$",
        "ρ": r"$\rho$",
        "η": r"$\eta$",
        "–": "--",
        "—": "---",
    }
)


@dataclass(frozen=True)
class Table:
    """A table as people read it, and the numbers behind it.

    Attributes:
        title: what it shows and how, in a sentence.
        note: the data set and scale that its numbers are of.
        header: the columns' names.
        rows: the cells, text with Unicode's own ±, ×, ⁶⁵ and so on.
        best: (row, column) of the cells to mark, from 0.
        data: the numbers, tidy and at full precision.
    """

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]
    best: set[tuple[int, int]]
    data: pd.DataFrame


def write_table(study: Study, name: str) -> None:
    """Write a table's CSV, Markdown and LaTeX under results/<scale>/tables/.

    Raises:
        UserError: there is no such table, or a file that it rests on is missing or not what its run wrote.
    """
    table = build_table(study, name)
    number = "I" * int(name.removeprefix("table"))
    files.write_text(paths.table(study.scale, name, "csv"), csv_text(table.data))
    files.write_text(paths.table(study.scale, name, "md"), markdown(table, number))
    files.write_text(paths.table(study.scale, name, "tex"), latex(table, number))


def build_table(study: Study, name: str) -> Table:
    """A table of the study by name.

    Raises:
        UserError: as write_table.
    """
    builders = {"table1": _radius_table, "table2": _adaptivity_table, "table3": _sensing_table}
    if name not in builders:
        raise unknown("table", name, builders, "sharpness table")
    return builders[name](study)


def aggregate(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Final test results over the completed seeds of each group of runs (as `summarize` gives them).

    Returns:
        One row a group, in the order of its first run: the columns of `by`, n (completed seeds), diverged (the others),
        and mean and sample standard deviation (missing for n < 2) of the final test accuracy and loss.
    """
    groups = runs.assign(diverged=runs["status"] == records.DIVERGED).groupby(by, sort=False, dropna=False)
    return groups.agg(
        n=("final_test_accuracy", "count"),
        diverged=("diverged", "sum"),
        accuracy_mean=("final_test_accuracy", "mean"),
        accuracy_std=("final_test_accuracy", "std"),
        loss_mean=("final_test_loss", "mean"),
        loss_std=("final_test_loss", "std"),
    ).reset_index()


def _radius_table(study: Study) -> Table:
    artifact = study.artifact("table1")
    spec = labels.only_network(study, artifact)
    methods = {study.runs[run_id]["method"] for run_id in artifact.run_ids}
    if len(methods) > 1:
        raise UserError(
            f"config/study.yaml: artifacts.table1 shows the radii of one method, but its experiment trains "
            f"{', '.join(sorted(methods))}; give it an experiment with one of them"
        )
    data = aggregate(summarize(study, list(artifact.run_ids)), ["rho"])
    printed = pd.DataFrame(published()["table1"]).set_index("rho").add_prefix("published_")
    data = data.join(printed, on="rho")
    for quantity in ("accuracy", "loss"):
        data[f"{quantity}_difference"] = data[f"{quantity}_mean"] - data[f"published_{quantity}_mean"]

    rows = []
    for row in data.itertuples():
        lost = _lost(row)
        rows.append(
            [
                f"{row.rho:g}",
                _spread(row.accuracy_mean, row.accuracy_std) if row.n else DIVERGED,
                _spread(row.published_accuracy_mean, row.published_accuracy_std),
                _difference(row.accuracy_difference),
                _spread(row.loss_mean, row.loss_std) if row.n else DIVERGED,
                _spread(row.published_loss_mean, row.published_loss_std),
                _difference(row.loss_difference),
                f"{row.n} ({lost})" if lost else f"{row.n}",
            ]
        )
    return Table(
        title=f"{study.methods[spec['method']]['title']} on {labels.sized_network(spec)} by radius ρ: accuracy and "
        "smoothed loss on the test set after the last epoch, mean ± sample standard deviation over n seeds; beside "
        f"each the published value ({PUBLISHED_TRAINING}) and the difference, ours less the published one.",
        note=labels.training(study),
        header=["ρ", "Accuracy", "published", "difference", "Loss", "published", "difference", "n"],
        rows=rows,
        best=set(),
        data=data,
    )


def _adaptivity_table(study: Study) -> Table:
    artifact = study.artifact("table2")
    data = aggregate(summarize(study, list(artifact.run_ids)), ["network", "method", "rho"])
    # A mean over the seeds that survived is not marked: those that diverged would have lowered it.
    highest = data.groupby("network")["accuracy_mean"].transform("max")
    data["best"] = (data["accuracy_mean"] == highest) & (data["diverged"] == 0)

    networks = list(dict.fromkeys(data["network"]))
    methods = list(dict.fromkeys(labels.method(study, row.method, row.rho) for row in data.itertuples()))
    rows = [[labels.network(network), *[NOTHING] * len(methods)] for network in networks]
    best = set()
    for row in data.itertuples():
        place = networks.index(row.network), methods.index(labels.method(study, row.method, row.rho)) + 1
        rows[place[0]][place[1]] = _accuracy_cell(row)
        if row.best:
            best.add(place)
    return Table(
        title="Test accuracy after the last epoch by network and method, mean ± sample standard deviation over n "
        "seeds; the highest mean of each network is bold, unless seeds of it diverged.",
        note=labels.training(study),
        header=["Network", *methods],
        rows=rows,
        best=best,
        data=data,
    )


def _sensing_table(study: Study) -> Table:
    data = summarize_sensing(study, study.artifact("table3"))
    printed = {(row["step"], method): row[method] for row in published()["table3"] for method in ("sam", "usam")}
    data["published"] = [
        printed.get((row.step, row.method), math.nan) if row.rho == PUBLISHED_RADIUS else math.nan
        for row in data.itertuples()
    ]

    methods = list(dict.fromkeys(data["method"]))
    rows = []
    for (rho, step), group in data.groupby(["rho", "step"]):
        by_method = group.set_index("method")
        cells = [f"{rho:g}", f"{step}"]
        for method in methods:
            row = by_method.loc[method]
            cells += [_range(row), NOTHING if math.isnan(row["published"]) else _scientific(f"{row['published']:.8g}")]
        rows.append(cells)
    return Table(
        title="Matrix sensing: the loss before each step, median (and range) over "
        f"{study.sensing['draws']} draws, beside it the published value, which is one draw.",
        note=labels.sensing(study),
        header=["ρ", "Step", *[text for method in methods for text in (labels.SENSING_TITLES[method], "published")]],
        rows=rows,
        best=set(),
        data=data,
    )


def markdown(table: Table, number: str) -> str:
    """A table as Markdown (a pipe table), its caption above it."""
    rows = [
        [f"**{cell}**" if (i, j) in table.best else cell for j, cell in enumerate(row)]
        for i, row in enumerate(table.rows)
    ]
    alignment = [":--", *["--:"] * (len(table.header) - 1)]
    lines = [
        "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in [table.header, alignment, *rows]
    ]
    return f"**Table {number}.** {table.title} Setting: {table.note}.\n\n" + "\n".join(lines) + "\n"


def latex(table: Table, number: str) -> str:
    """A table as a LaTeX tabular for a document that loads booktabs, its caption as a comment above it."""
    rows = [
        [
            rf"\textbf{{{_latex_text(cell)}}}" if (i, j) in table.best else _latex_text(cell)
            for j, cell in enumerate(row)
        ]
        for i, row in enumerate(table.rows)
    ]
    columns = len(table.header)
    return "\n".join(
        [
            f"% Table {number}. {table.title}",
            rf"\begin{{tabular}}{{@{{}}l{'r' * (columns - 1)}@{{}}}}",
            r"\toprule",
            " & ".join(map(_latex_text, table.header)) + r" \\",
            r"\midrule",
            *[" & ".join(row) + r" \\" for row in rows],
            r"\bottomrule",
            rf"\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{\footnotesize {_latex_text(table.note)}}} \\",
            r"\end{tabular}",
            "",
        ]
    )


def _spread(mean: float, std: float) -> str:
    """Mean ± standard deviation; the mean alone where there is no deviation, a dash where there is no mean."""
    if math.isnan(mean):
        return NOTHING
    return f"{mean:.4f}" if math.isnan(std) else f"{mean:.4f} ± {std:.4f}"


def _difference(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:+.4f}".replace("-", "−")


def _lost(row) -> str:
    return f"{row.diverged} of {row.n + row.diverged} {DIVERGED}" if row.diverged else ""


def _accuracy_cell(row) -> str:
    if row.n == 0:
        return DIVERGED
    lost = _lost(row)
    return f"{_spread(row.accuracy_mean, row.accuracy_std)} (n = {row.n}{'; ' + lost if lost else ''})"


def _range(row) -> str:
    if row["diverged"] == row["draws"]:
        return DIVERGED
    return f"{_loss(row['loss_median'])} ({_loss(row['loss_min'])} to {_loss(row['loss_max'])})"


def _loss(value: float) -> str:
    """Three significant digits; from a hundred thousand on with a power of ten."""
    if not value <= LARGEST_LOSS:
        return DIVERGED
    return _scientific(f"{value:#.3g}".rstrip("."))


def _scientific(number: str) -> str:
    """Python's 1.5e+65 as 1.5 × 10⁶⁵."""
    mantissa, _, exponent = number.partition("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}" if exponent else number


def _latex_text(cell: str) -> str:
    text = cell.translate(LATEX)
    return re.sub(r"10([⁻⁰-⁹¹²³]+)", lambda power: f"$10^{{{power[1].translate(PLAIN_DIGITS)}}}$", text)

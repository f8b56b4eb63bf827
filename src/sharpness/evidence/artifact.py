"""What every table and every figure of the study is: a name, what it shows, and the files that it consists of.

A kind of table or figure is a module of sharpness.evidence.artifacts whose KIND is a class derived from Table or
Figure. Its fields are the keys of its entries in config/study.yaml. The modules are imported by all that loads the
study, so they import matplotlib and seaborn where they draw.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from sharpness import files, records
from sharpness.evidence import style, titles
from sharpness.evidence.formatting import LATEX, MARKDOWN, Markdown, roman
from sharpness.evidence.runs import csv_text, final_results, summarize
from sharpness.evidence.style import Drawing
from sharpness.jobs import Job
from sharpness.settings import require, require_known
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class Artifact(ABC):
    """A table or a figure of the study.

    Attributes:
        name: "table1", "figure12": what it is, and its number.
        section: the report's section in which it stands.
        title: what it shows, in a few words.
        published: its rows of config/published.yaml, instances of the class Published where the kind has one.
    """

    name: str
    section: str
    title: str
    published: tuple = ()

    prefix: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    judges: ClassVar[bool] = False  # whether it depends on the claims and their quantities too
    Published: ClassVar[type | None] = None

    def check(self, study: Study) -> None:  # noqa: B027 - a kind that refers to nothing has nothing to check
        """Check that what it refers to is computed and can be shown.

        Raises:
            SettingError: it is not.
        """

    def jobs(self, study: Study) -> list[Job]:
        """The jobs that it shows, in the study's order."""
        return []

    @abstractmethod
    def data(self, study: Study) -> pd.DataFrame:
        """The numbers that it shows, tidy and at full precision.

        Raises:
            UserError: a job's files are missing or not what the job wrote.
        """

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """What the report's text may quote of it, as JSON."""
        return {}

    @property
    def number(self) -> int:
        return int(self.name.removeprefix(self.prefix))

    @property
    @abstractmethod
    def label(self) -> str:
        """What the report calls it: "Table I", "Figure 1"."""

    @abstractmethod
    def folder(self, scale: str) -> Path:
        """Where its files are."""

    @abstractmethod
    def _write(self, study: Study, data: pd.DataFrame) -> dict:
        """Write its files but for the CSV and the record, and return what the record says of them."""

    def file(self, scale: str, suffix: str) -> Path:
        return self.folder(scale) / f"{self.name}.{suffix}"

    def files(self, scale: str) -> list[Path]:
        """All files that it consists of, its record included."""
        return [*self.described(scale), self.record(scale)]

    def described(self, scale: str) -> list[Path]:
        """The files whose hashes its record has."""
        return [self.file(scale, suffix) for suffix in (*self.suffixes, "csv")]

    def record(self, scale: str) -> Path:
        """What the report quotes of it, and what its other files were made from, with their hashes."""
        return self.file(scale, "json")

    def write(self, study: Study) -> None:
        """Write all its files, the record last.

        Raises:
            UserError: a job's files are missing or not what the job wrote.
        """
        made_from = {job.id: job.read()["sha256"] for job in self.jobs(study)}
        data = self.data(study)
        files.write_text(self.file(study.scale, "csv"), csv_text(data))
        shown = self._write(study, data)
        records.write(
            self.record(study.scale),
            {
                "label": self.label,
                **shown,
                "facts": _as_json(self.facts(study, data)),
                "jobs": made_from,
                "files": {path.name: files.sha256(path) for path in self.described(study.scale)},
            },
        )


@dataclass(frozen=True)
class Content:
    """A table as people read it; all text is in the format that it was asked for.

    Attributes:
        caption: what it shows and how, in a sentence or two.
        note: the data set and scale that its numbers are of.
        header: the columns' names.
        rows: the cells.
    """

    caption: str
    note: str
    header: list[str]
    rows: list[list[str]]


@dataclass(frozen=True, kw_only=True)
class Table(Artifact):
    """A table: CSV for programs, Markdown and LaTeX (booktabs) for people."""

    prefix = "table"
    suffixes = ("md", "tex")

    @abstractmethod
    def content(self, study: Study, data: pd.DataFrame, form: Markdown) -> Content:
        """The table in a format."""

    @property
    def label(self) -> str:
        return f"Table {roman(self.number)}"

    def folder(self, scale: str) -> Path:
        return Path("results") / scale / "tables"

    def _write(self, study: Study, data: pd.DataFrame) -> dict:
        content = self.content(study, data, MARKDOWN)
        caption, body = f"{content.caption} Setting: {content.note}.", _pipe_table(content)
        files.write_text(self.file(study.scale, "md"), f"**{self.label}.** {caption}\n\n{body}")
        files.write_text(self.file(study.scale, "tex"), _tabular(self.label, self.content(study, data, LATEX)))
        return {"caption": caption, "body": body}


@dataclass(frozen=True, kw_only=True)
class Figure(Artifact):
    """A figure as PDF, PNG and SVG, and the CSV of what it draws."""

    prefix = "figure"
    suffixes = ("pdf", "png", "svg")

    @abstractmethod
    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """Draw it."""

    def caption(self, study: Study) -> str:
        """What it shows, in plain text."""
        return f"{self.title}."

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        """The values that the page shows under a pointer: panels as sharpness.evidence.hover makes them."""
        return []

    @property
    def label(self) -> str:
        return f"Figure {self.number}"

    def folder(self, scale: str) -> Path:
        return Path("figures") / scale

    def _write(self, study: Study, data: pd.DataFrame) -> dict:
        with style.paper():
            drawing = self.draw(study, data)
            style.settle(drawing)
            hover = self.hover(study, drawing, data)
            style.name_curves(drawing, {series["label"]: series["colour"] for one in hover for series in one["series"]})
            for suffix in self.suffixes:
                style.save(drawing, self.file(study.scale, suffix))
            return {"caption": MARKDOWN.text(self.caption(study)), "hover": hover}


@dataclass(frozen=True, kw_only=True)
class ShowsExperiment(Artifact):
    """A table or figure of the training runs of an experiment.

    Attributes:
        experiment: which one of config/study.yaml.
        network: show this network's runs alone.
    """

    experiment: str
    network: str | None = None

    def check(self, study: Study) -> None:
        require_known("experiment", self.experiment, study.experiments)
        if self.network is not None:
            require_known("network", self.network, {job.spec["network"] for job in study.experiments[self.experiment]})

    def jobs(self, study: Study) -> list[Job]:
        runs = study.experiments[self.experiment]
        return [job for job in runs if self.network in (None, job.spec["network"])]

    def require_one(self, study: Study, key: str) -> None:
        """Refuse runs of several networks or methods where the kind can show one.

        Raises:
            SettingError: there are several.
        """
        found = dict.fromkeys(str(job.spec[key]) for job in self.jobs(study))
        remedy = "choose one with its key network" if key == "network" else f"give it an experiment with one {key}"
        require(len(found) == 1, f"shows one {key}, but its experiment trains {', '.join(found)}; {remedy}")

    def network_title(self, study: Study) -> str:
        """The title of the one network that its runs train."""
        return titles.sized_network(self.jobs(study)[0].spec)

    def results(self, study: Study) -> pd.DataFrame:
        """As final_results by method and rho, and a label for each method at its radius."""
        results = final_results(summarize(self.jobs(study)), ["method", "rho"])
        return results.assign(label=[titles.method(study, row.method, row.rho) for row in results.itertuples()])

    def caption(self, study: Study) -> str:
        return f"{self.title}, {titles.training(study)}."


def _pipe_table(content: Content) -> str:
    alignment = [":--", *["--:"] * (len(content.header) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in [content.header, alignment, *content.rows])


def _tabular(label: str, content: Content) -> str:
    columns = len(content.header)
    return "\n".join(
        [
            f"% {label}. {content.caption}",
            rf"\begin{{tabular}}{{@{{}}l{'r' * (columns - 1)}@{{}}}}",
            r"\toprule",
            " & ".join(content.header) + r" \\",
            r"\midrule",
            *[" & ".join(row) + r" \\" for row in content.rows],
            r"\bottomrule",
            rf"\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{\footnotesize {content.note}}} \\",
            r"\end{tabular}",
            "",
        ]
    )


def _as_json(value: object) -> object:
    """Frames become lists of rows, and numbers that do not exist None."""
    if isinstance(value, pd.DataFrame):
        value = value.to_dict("records")
    if isinstance(value, dict):
        return {str(key): _as_json(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(child) for child in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value

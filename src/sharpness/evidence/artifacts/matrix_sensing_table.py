"""Matrix sensing: the loss of each method by step, beside published values (the original's Table III)."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import titles
from sharpness.evidence.artifact import Content, Table
from sharpness.evidence.formatting import LARGEST_LOSS, Markdown, counted
from sharpness.evidence.sensing import ShowsSweep
from sharpness.settings import require, require_above_zero
from sharpness.study import Study

LOSSES = ["loss_median", "loss_min", "loss_max"]


@dataclass(frozen=True)
class Published:
    """A published loss: read before a step of a method at a radius, in one draw."""

    method: str
    rho: float
    step: int
    loss: float

    def __post_init__(self) -> None:
        require_above_zero(self, "loss")


@dataclass(frozen=True, kw_only=True)
class MatrixSensingTable(ShowsSweep, Table):
    """Median and range of the loss over the draws, by radius and step (rows) and method (columns)."""

    Published = Published

    def check(self, study: Study) -> None:
        super().check(study)
        methods = self.spec(study)["methods"]
        printed = [(row.method, row.rho, row.step) for row in self.published]
        for method, rho, step in printed:
            what = f"config/published.yaml has {method} at ρ = {rho!r}, step {step},"
            require(
                method in methods and rho in self.rho and 1 <= step <= self.steps,
                f"{what} which is not shown; remove it, or show it",
            )
            require(printed.count((method, rho, step)) == 1, f"{what} twice; keep one of the two")

    def data(self, study: Study) -> pd.DataFrame:
        """The columns of ShowsSweep.spread, and published."""
        data = self.spread(study)
        printed = {(row.method, row.rho, row.step): row.loss for row in self.published}
        data["published"] = [printed.get((row.method, row.rho, row.step), math.nan) for row in data.itertuples()]
        return data

    def content(self, study: Study, data: pd.DataFrame, form: Markdown) -> Content:
        methods = list(dict.fromkeys(data["method"]))
        rows = []
        for (rho, step), group in data.groupby(["rho", "step"]):
            by_method = group.set_index("method")
            cells = [form.short(rho), f"{step}"]
            for method in methods:
                row = by_method.loc[method]
                cells += [_range(row, form), form.measured(row["published"], digits=8)]
            rows.append(cells)
        draws = self.spec(study)["draws"]
        return Content(
            caption=f"Matrix sensing: the loss before each step, median (and range) over {counted(draws, 'draw')}, "
            "beside it the published value, which is one draw.",
            note=form.text(self.setting(study)),
            header=[
                form.text("ρ"),
                "Step",
                *[name for method in methods for name in (titles.STEPS[method], "published")],
            ],
            rows=rows,
        )

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The rows by method, in the order of the steps, losses that diverged None; published beside ours."""
        rows = data.sort_values("step", kind="stable")
        rows["orders"] = np.log10(rows["loss_max"] / rows["loss_min"])
        return {
            "methods": {name: group for name, group in rows.groupby("method", sort=False)},
            "compared": [_compared(row) for row in data[data["published"].notna()].to_dict("records")],
        }


def _compared(row: dict) -> dict:
    """A published loss beside ours: log10 of ours over it, and whether it is within the range of our draws."""
    printed, median = row["published"], row["loss_median"]
    return {
        "what": f"{titles.STEPS[row['method']]}, step {row['step']}",
        "published": printed,
        "ours": median,
        "orders": math.log10(median / printed) if 0 < median <= LARGEST_LOSS else None,
        "low": row["loss_min"],
        "high": row["loss_max"],
        "n": row["draws"],
        "within": bool(row["loss_min"] <= printed <= row["loss_max"]) if row["draws"] > 1 else None,
    }


def _range(row: pd.Series, form: Markdown) -> str:
    median, low, high = (form.loss(row[name]) for name in LOSSES)
    return median if row["diverged"] == row["draws"] else f"{median} ({low} to {high})"


KIND = MatrixSensingTable

"""What each radial law does on the quadratic, the single neuron and matrix sensing, beside what its ends predict."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.dynamics.laws import AT_INFINITY, LAWS
from sharpness.evidence import theory
from sharpness.evidence.artifact import Content, Table
from sharpness.evidence.formatting import Markdown, yes_no
from sharpness.jobs import Job
from sharpness.study import Study

SOLVED = 1e-3  # gradient descent has solved matrix sensing if its median loss is below this
NEAR, REST = 1e-9, 1e-3  # a law keeps a length near a minimum if h(NEAR)·NEAR is above REST

KINDS = {"cycle": "quadratic_floor", "border": "stability_border", "phases": "neuron_phase", "map": "sensing_map"}


@dataclass(frozen=True, kw_only=True)
class LawTable(Table):
    """A row for each law.

    Attributes:
        cycle, border, phases, map: the problems, of config/study.yaml.
    """

    cycle: str
    border: str
    phases: str
    map: str

    def check(self, study: Study) -> None:
        self.jobs(study)

    def jobs(self, study: Study) -> list[Job]:
        return [job for name, kind in KINDS.items() for job in study.jobs_of(getattr(self, name), kind)]

    def data(self, study: Study) -> pd.DataFrame:
        """One row for each law.

        Returns:
            The columns law, rests (its step vanishes with the gradient), bounded (its step is bounded), error (the
            largest of the quadratic's floors, where the predicted cycle attracts), overshoots (the cells where it does
            not), border (the lowest border over gradient descent's), converged (the share of the quadratic's starts
            that end at a loss below 1e-9, of those that do not diverge), share (the median of ηy² of the neuron at the
            smallest step size and the largest radius), lost_from (the smallest radius at which more than half of matrix
            sensing's draws diverge at a step size with which gradient descent solves it; missing if there is none),
            diverged (the share of these draws).
        """
        frames = {name: theory.read(study.jobs_of(getattr(self, name), kind)) for name, kind in KINDS.items()}
        sensing = frames["map"].assign(diverged=np.isinf(frames["map"]["loss"]))
        medians = sensing[sensing["law"] == "gd"].groupby("learning_rate")["loss"].median()
        calm = medians.index[medians < SOLVED]
        rows = []
        for law in dict.fromkeys(frames["cycle"]["law"]):
            of = {name: frame[frame["law"] == law] for name, frame in frames.items()}
            finite = of["cycle"][np.isfinite(of["cycle"]["loss"])]
            small = of["phases"][of["phases"]["learning_rate"] == of["phases"]["learning_rate"].min()]
            widest = small[small["ratio"] == small["ratio"].max()]
            cells = sensing[(sensing["law"] == law) & sensing["learning_rate"].isin(calm)]
            lost = cells.groupby(["rho", "learning_rate"])["diverged"].mean().groupby("rho").max()
            sound, missed = (of["cycle"][of["cycle"]["assumed"] == held] for held in (1, 0))
            rows.append(
                {
                    "law": law,
                    "rests": LAWS[law](NEAR) * NEAR < REST,
                    "bounded": AT_INFINITY[law] == 0,
                    "error": sound["error"].max(),
                    "overshoots": len(missed.drop_duplicates(["learning_rate", "rho"])),
                    "border": (of["border"]["eigenvalue"] * of["border"]["learning_rate"] / 2).min(),
                    "converged": (finite["loss"] < 1e-9).mean(),
                    "share": (widest["sharpness"] * widest["learning_rate"]).median(),
                    "lost_from": lost.index[lost > 0.5].min() if (lost > 0.5).any() else np.nan,
                    "diverged": cells["diverged"].mean(),
                }
            )
        return pd.DataFrame(rows)

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The rows by law; the smallest radius at which a bounded law loses matrix sensing, and the largest at which an
        unbounded one begins to; how many descents come to rest on the quadratic with laws that rest and that do not.
        """
        bounded, rests = data["bounded"] & (data["law"] != "gd"), data["rests"]
        lost = data.set_index("law")["lost_from"].fillna(np.inf)
        return {
            "laws": {row["law"]: row for row in data.to_dict("records")},
            "bounded_from": lost[bounded.to_numpy()].min(),
            "unbounded_from": lost[~data["bounded"].to_numpy()].max(),
            "rest_converge": data["converged"][rests].min(),
            "restless_converge": data["converged"][~rests].max(),
        }

    def content(self, study: Study, data: pd.DataFrame, form: Markdown) -> Content:
        rows = [
            [
                form.text(theory.LAWS[row["law"]]),
                yes_no(row["rests"]),
                yes_no(row["bounded"]),
                form.fixed(row["converged"], 2),
                form.fixed(row["border"], 2),
                form.measured(row["share"], 2),
                form.measured(row["lost_from"], 2),
            ]
            for row in data.to_dict("records")
        ]
        return Content(
            caption="Each radial law by what its step does at a small and at a large gradient, and what descents do "
            "with it: the share of starts on the quadratic that come to rest, of those that stay finite; the "
            "lowest border of stability, as a share of 2/η; ηy² on the single neuron at the smallest step size "
            "and the largest ρ/η; the smallest radius at which more than half of the draws of matrix sensing "
            "diverge at a step size with which gradient descent solves it.",
            note=form.text(study.settings["title"]),
            header=["Law", "Rests", "Bounded", "Quadratic", "Border", "Neuron", "Sensing"],
            rows=rows,
        )


KIND = LawTable

"""One method on one network at each radius, beside published values (the original's Table I)."""

from dataclasses import dataclass

import pandas as pd

from sharpness.evidence import titles
from sharpness.evidence.artifact import Content, ShowsExperiment, Table
from sharpness.evidence.formatting import DIVERGED, Markdown
from sharpness.evidence.runs import final_results, summarize
from sharpness.jobs import COMPLETED
from sharpness.settings import require, require_above_zero, require_not_negative
from sharpness.study import Study

QUANTITIES = ("accuracy", "loss")
HEADER = ("ρ", "Accuracy", "published", "difference", "Loss", "published", "difference", "n")


@dataclass(frozen=True)
class Published:
    """A published radius: mean and standard deviation over seeds of the final test accuracy and smoothed loss."""

    rho: float
    accuracy_mean: float
    accuracy_std: float
    loss_mean: float
    loss_std: float
    source: str

    def __post_init__(self) -> None:
        require(0 < self.accuracy_mean <= 1, f"accuracy_mean is {self.accuracy_mean:g}; it is a share, above 0 up to 1")
        require(self.accuracy_std <= 1, f"accuracy_std is {self.accuracy_std:g}; accuracies are shares, up to 1")
        require_above_zero(self, "loss_mean")
        require_not_negative(self, "rho", "accuracy_std", "loss_std")


@dataclass(frozen=True, kw_only=True)
class RadiusTable(ShowsExperiment, Table):
    """Final accuracy and loss by radius: ours, the published ones, and the difference."""

    Published = Published

    def check(self, study: Study) -> None:
        super().check(study)
        self.require_one(study, "network")
        self.require_one(study, "method")
        radii = {job.spec.get("rho") for job in self.jobs(study)}
        require(None not in radii, "shows radii, but its experiment trains a method that has none; choose another")
        printed = [row.rho for row in self.published]
        for rho in printed:
            trained = ", ".join(f"{radius!r}" for radius in sorted(radii))
            require(rho in radii, f"config/published.yaml has ρ = {rho!r}, which is not trained ({trained}); remove it")
            require(printed.count(rho) == 1, f"config/published.yaml has ρ = {rho!r} twice; keep one of the two")

    def data(self, study: Study) -> pd.DataFrame:
        """The columns of final_results by rho; published_* and the differences, ours less the published one."""
        data = final_results(summarize(self.jobs(study)), ["rho"])
        columns = ["rho", *(f"{quantity}_{part}" for quantity in QUANTITIES for part in ("mean", "std"))]
        printed = pd.DataFrame([vars(row) for row in self.published], columns=columns)
        data = data.join(printed.astype(float).set_index("rho").add_prefix("published_"), on="rho")
        for quantity in QUANTITIES:
            data[f"{quantity}_difference"] = data[f"{quantity}_mean"] - data[f"published_{quantity}_mean"]
        return data

    def content(self, study: Study, data: pd.DataFrame, form: Markdown) -> Content:
        method = study.methods[self.jobs(study)[0].spec["method"]]["title"]
        sources = dict.fromkeys(row.source for row in self.published)
        rows = [
            [
                form.short(row.rho),
                form.spread(row.accuracy_mean, row.accuracy_std) if row.n else DIVERGED,
                form.spread(row.published_accuracy_mean, row.published_accuracy_std),
                form.signed(row.accuracy_difference),
                form.spread(row.loss_mean, row.loss_std) if row.n else DIVERGED,
                form.spread(row.published_loss_mean, row.published_loss_std),
                form.signed(row.loss_difference),
                f"{row.n} ({row.diverged} of {row.n + row.diverged} {DIVERGED})" if row.diverged else f"{row.n}",
            ]
            for row in data.itertuples()
        ]
        printed = f"the published value ({', '.join(sources)}) and the difference, ours less the published one"
        return Content(
            caption=form.text(
                f"{method} on {self.network_title(study)} by radius ρ: accuracy and "
                "smoothed loss on the test set after the last epoch, mean ± sample standard deviation over n seeds"
                f"{'; beside each ' + printed if sources else ''}."
            ),
            note=form.text(titles.training(study)),
            header=[form.text(name) for name in HEADER],
            rows=rows,
        )

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The radii by mean accuracy, the best first; how close all but the last are; published beside ours."""
        ranked = data[data["n"] > 0].sort_values("accuracy_mean", ascending=False, kind="stable")
        close = ranked.iloc[:-1]
        return {
            "ranked": ranked,
            "lost": data[data["n"] == 0],
            "close": {
                "rho": sorted(close["rho"]),
                "range": close["accuracy_mean"].max() - close["accuracy_mean"].min(),
                "std": close["accuracy_std"].max(),
            },
            "compared": self._compared(study, data),
        }

    def _compared(self, study: Study, data: pd.DataFrame) -> list[dict]:
        """Each published mean beside ours: whether it is between our lowest and our highest seed (None for one)."""
        runs = summarize(self.jobs(study))
        completed = runs[runs["status"] == COMPLETED]
        rows = []
        for row in data[data["published_accuracy_mean"].notna()].to_dict("records"):
            seeds = completed[completed["rho"] == row["rho"]]
            for quantity in QUANTITIES:
                values, printed = seeds[f"final_test_{quantity}"], row[f"published_{quantity}_mean"]
                within = bool(values.min() <= printed <= values.max()) if len(values) > 1 else None
                rows.append(
                    {
                        "what": f"ρ = {row['rho']:g}, {quantity}",
                        "published": printed,
                        "ours": row[f"{quantity}_mean"],
                        "difference": row[f"{quantity}_difference"],
                        "low": values.min(),
                        "high": values.max(),
                        "n": len(values),
                        "within": within,
                    }
                )
        return rows


KIND = RadiusTable

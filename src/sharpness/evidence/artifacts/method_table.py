"""Methods against networks: final test accuracy (the original's Table II)."""

from dataclasses import dataclass

import pandas as pd

from sharpness.errors import not_known
from sharpness.evidence import titles
from sharpness.evidence.artifact import Content, ShowsExperiment, Table
from sharpness.evidence.formatting import DIVERGED, Markdown
from sharpness.evidence.runs import final_results, summarize
from sharpness.settings import printed_alike, require
from sharpness.study import Study


@dataclass(frozen=True)
class Published:
    """A published accuracy of a method on a network, and in what its training differs from the study's.

    Attributes:
        variant: how the published method differs from the study's of that name; it is then compared with none of ours.
        nll, ece: negative log-likelihood (nats) and expected calibration error on the test set, where printed.
    """

    network: str
    method: str
    accuracy: float
    source: str
    differs: str
    rho: float | None = None
    variant: str | None = None
    nll: float | None = None
    ece: float | None = None

    def __post_init__(self) -> None:
        require(0 < self.accuracy <= 1, f"accuracy is {self.accuracy:g}; it is a share, above 0 up to 1")
        require(self.nll is None or self.nll > 0, f"nll is {self.nll}; it must be more than 0")
        require(0 <= (self.ece or 0) <= 1, f"ece is {self.ece}; it is a share, from 0 to 1")
        require((self.nll is None) == (self.ece is None), "nll or ece stands alone; give both, or neither")


@dataclass(frozen=True, kw_only=True)
class MethodTable(ShowsExperiment, Table):
    """Final test accuracy by network (rows) and method with its radius (columns), the best of each network bold."""

    Published = Published

    def check(self, study: Study) -> None:
        super().check(study)
        networks = {job.spec["network"] for job in self.jobs(study)}
        for row in self.published:
            require(row.network in networks, f"config/published.yaml: {not_known('network', row.network, networks)}")
            require(
                row.method in study.methods, f"config/published.yaml: {not_known('method', row.method, study.methods)}"
            )
            what = f"config/published.yaml has {row.method} on {row.network}"
            has_radius = study.methods[row.method]["optimizer"] == "sam"
            remedy = "give its rho, 0 or more" if has_radius else "which has no radius; remove its rho"
            require((row.rho is not None and row.rho >= 0) == has_radius, f"{what}, {remedy}")
            require(self.published.count(row) == 1, f"{what} twice with the same numbers; keep one of the two")
            trained = [job.spec.get("rho") for job in self.jobs(study) if job.spec["method"] == row.method]
            alike = printed_alike([*trained, row.rho])
            require(not alike, f"{what} at ρ = {row.rho!r}, which prints as a radius that is trained; write that one")

    def data(self, study: Study) -> pd.DataFrame:
        """The columns of final_results by network, method and rho; and best."""
        data = final_results(summarize(self.jobs(study)), ["network", "method", "rho"])
        # A mean over the seeds that survived is not marked: those that diverged would have lowered it.
        highest = data.groupby("network")["accuracy_mean"].transform("max")
        data["best"] = (data["accuracy_mean"] == highest) & (data["diverged"] == 0)
        return data

    def content(self, study: Study, data: pd.DataFrame, form: Markdown) -> Content:
        networks = list(dict.fromkeys(data["network"]))
        methods = data[["method", "rho"]].drop_duplicates()
        columns = [(row.method, row.rho if row.rho == row.rho else None) for row in methods.itertuples()]
        cells = {
            (row.network, row.method, row.rho if row.rho == row.rho else None): _cell(row, form)
            for row in data.itertuples()
        }
        return Content(
            caption="Test accuracy after the last epoch by network and method, mean ± sample standard deviation over n "
            "seeds; the highest mean of each network is bold, unless seeds of it diverged.".replace(
                "±", form.plus_minus
            ),
            note=form.text(titles.training(study)),
            header=["Network", *(form.text(titles.method(study, name, rho)) for name, rho in columns)],
            rows=[
                [form.text(titles.network(network)), *(cells.get((network, *key), form.nothing) for key in columns)]
                for network in networks
            ],
        )

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """By network: its methods, the best first; those lost to divergence; the lead and a spread to judge it by.

        Each method has also `highest`, the highest test accuracy of any epoch of any of its seeds; and `nll` and `ece`,
        the means of the final ones, missing where the histories lack them.
        """
        keys = ["network", "method", "rho"]
        further = (
            summarize(self.jobs(study))
            .groupby(keys, dropna=False)
            .agg(
                highest=("best_test_accuracy", "max"),
                nll=("final_test_nll", "mean"),
                ece=("final_test_ece", "mean"),
            )
        )
        data = data.merge(further.reset_index(), on=keys)
        data["label"] = [titles.method(study, row.method, row.rho) for row in data.itertuples()]
        networks = {}
        for name, rows in data.groupby("network", sort=False):
            ranked = rows[rows["n"] > 0].sort_values("accuracy_mean", ascending=False, kind="stable")
            best = ranked.head(2)
            networks[name] = {
                "title": titles.network(name),
                "ranked": ranked,
                "lost": rows[rows["n"] == 0],
                "lead": -best["accuracy_mean"].diff().iloc[1] if len(best) > 1 else None,
                "spread": best["accuracy_std"].max(skipna=False),
                "by_method": {row["method"]: row for row in rows.to_dict("records")},
            }
        compared = [
            {
                **vars(row),
                "what": _published_title(study, row),
                "ours": None if row.variant else _ours(data, row),
            }
            for row in self.published
        ]
        return {"networks": networks, "compared": compared}


def _published_title(study: Study, row: Published) -> str:
    variant = f", {row.variant}," if row.variant else ""
    return f"{titles.method(study, row.method, row.rho)}{variant} on {titles.network(row.network)}"


def _ours(data: pd.DataFrame, row: Published) -> dict | None:
    """Our results of a published row's network, method and radius, if they were trained."""
    same = (data["network"] == row.network) & (data["method"] == row.method)
    same &= data["rho"].isna() if row.rho is None else data["rho"] == row.rho
    return next(iter(data[same].to_dict("records")), None)


def _cell(row, form: Markdown) -> str:
    if row.n == 0:
        return DIVERGED
    lost = f"; {row.diverged} of {row.n + row.diverged} {DIVERGED}" if row.diverged else ""
    cell = f"{form.spread(row.accuracy_mean, row.accuracy_std)} (n = {row.n}{lost})"
    return form.bold(cell) if row.best else cell


KIND = MethodTable

"""Final test accuracy against the backward passes that a training takes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style, titles
from sharpness.evidence.artifact import Figure, ShowsExperiment
from sharpness.evidence.hover import Series, panel
from sharpness.evidence.runs import summarize
from sharpness.evidence.style import Drawing
from sharpness.jobs import Job
from sharpness.study import Study

# Passes of each step, for runs that were trained before run.json counted them.
PASSES_OF_A_STEP = {"sgd": 1, "sam": 2}


@dataclass(frozen=True, kw_only=True)
class AccuracyByCost(ShowsExperiment, Figure):
    """A point for each method and radius: mean and range over the seeds that completed; a line joins those of SGD."""

    def check(self, study: Study) -> None:
        super().check(study)
        self.require_one(study, "network")

    def data(self, study: Study) -> pd.DataFrame:
        """One row a run.

        Returns:
            The columns label, method, rho, optimizer, seed, status, passes (backward passes, in units of one over the
            training set), final_test_accuracy (missing for a diverged run).
        """
        jobs = self.jobs(study)
        runs = summarize(jobs)
        runs["rho"] = runs.get("rho", np.nan)
        runs["label"] = [titles.method(study, row.method, row.rho) for row in runs.itertuples()]
        runs["passes"] = [_passes(job) for job in jobs]
        return runs[["label", "method", "rho", "optimizer", "seed", "status", "passes", "final_test_accuracy"]]

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The final results by method, with the passes of a whole training, cheapest first."""
        results = self.results(study)
        results["passes"] = results["label"].map(data.groupby("label")["passes"].max())
        return {"network": self.network_title(study), "results": results.sort_values("passes", kind="stable")}

    def caption(self, study: Study) -> str:
        return (
            f"{self.title}, on {self.network_title(study)}: mean and range over the seeds that completed, "
            f"{titles.training(study)} but where a method trains longer. "
            "One backward pass over the training set is one epoch of SGD."
        )

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        colours = style.method_colours(list(study.methods))
        series = []
        groups = data.dropna(subset="final_test_accuracy").groupby(["label", "method"], sort=False)
        for (label, method), group in groups:
            mean = group["final_test_accuracy"].mean()
            text = f"{mean:.4f} (" + ", ".join(f"{row.final_test_accuracy:.4f}" for row in group.itertuples()) + ")"
            points = pd.Series({round(group["passes"].mean(), 2): mean})
            series.append(Series(label, colours[method], points, [text]))
        return [panel(drawing, drawing.axes[0], "test accuracy, backward passes ", series)] if series else []

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        drawing = style.figure(2.4, f"{self.network_title(study)}\n{titles.training(study)}")
        axes = drawing.subplots()
        colours = style.method_colours(list(study.methods))
        methods = dict(zip(data["label"], data["method"], strict=True))
        keys = []
        points = data.dropna(subset="final_test_accuracy")
        means = points.groupby(["optimizer", "label"], sort=False)[["passes", "final_test_accuracy"]].mean()
        if "sgd" in means.index.get_level_values("optimizer"):
            axes.plot(*means.loc["sgd"].to_numpy().T, color=style.INK, zorder=1, **style.MEAN)
            keys.append(style.key(label="more epochs of SGD", **style.MEAN))
        drawn = []
        for label, marker in style.markers(methods).items():
            look = {"color": colours[methods[label]], "marker": marker, "markersize": 5, "linestyle": "none"}
            own = points[points["label"] == label]["final_test_accuracy"]
            if len(own):
                passes, mean = means.xs(label, level="label").iloc[0]
                reach = [[mean - own.min()], [own.max() - mean]]
                axes.errorbar(passes, mean, yerr=reach, elinewidth=0.8, capsize=1.5, **look)
            drawn.append(style.key(label=label if len(own) else f"{label} (diverged)", **look))
        axes.set(xlabel="Backward passes over the training set", ylabel="Test accuracy", xlim=(0, None))
        style.legend(drawing, drawn, keys)
        return drawing


def _passes(job: Job) -> float:
    run = job.read()
    each = run["backward_passes"] / run["steps"] if "steps" in run else PASSES_OF_A_STEP[job.spec["optimizer"]]
    return run["epochs"] * each


KIND = AccuracyByCost

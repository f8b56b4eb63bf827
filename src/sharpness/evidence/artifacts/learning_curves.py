"""Test loss and test accuracy by epoch of an experiment's runs (the original's Figures 1, 3 and 4)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style, titles
from sharpness.evidence.artifact import Figure, ShowsExperiment
from sharpness.evidence.hover import Series, panel
from sharpness.evidence.runs import read_histories
from sharpness.evidence.style import Artist, Axes, Drawing
from sharpness.jobs import COMPLETED, DIVERGED
from sharpness.study import Study

SUMMARIES = {"mean": "mean", "minimum": "min", "maximum": "max"}
Run = tuple[str, float | None]  # a method and its radius
QUANTITIES = {"test_loss": "test loss", "test_accuracy": "test accuracy"}
ACCURACY_TICKS = np.array([0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999])
SMALLEST_ERROR = 5e-4  # where an accuracy of 1 is drawn


@dataclass(frozen=True, kw_only=True)
class LearningCurves(ShowsExperiment, Figure):
    """A curve for each method and radius: one seed, the mean and the range over the seeds, and the diverged seeds.

    Attributes:
        seed: the one whose curve is drawn, or of a scale that lacks it the first one.
    """

    seed: int

    def check(self, study: Study) -> None:
        super().check(study)
        self.require_one(study, "network")

    def shown(self, study: Study) -> str:
        """The name of the curve of the seed that is shown."""
        seeds = list(dict.fromkeys(job.spec["seed"] for job in self.jobs(study)))
        return f"seed {self.seed if self.seed in seeds else seeds[0]}"

    def data(self, study: Study) -> pd.DataFrame:
        """For each method and radius the curve of the seed shown, that of every seed that diverged or is not
        finished, and, where two seeds or more have completed, their mean, minimum and maximum by epoch.

        Returns:
            The columns label, method, rho, curve ("seed 42", "mean", "minimum", "maximum"), seeds (how many are behind
            it), status, epoch, learning_rate, test_loss, test_accuracy. A diverged seed's last row holds what was not
            finite.
        """
        jobs, shown = self.jobs(study), self.shown(study)
        histories = read_histories(jobs)
        for key in ("method", "rho", "seed"):
            histories[key] = histories["run_id"].map({job.id: job.spec.get(key) for job in jobs})
        curves = []
        for (method, rho), group in histories.groupby(["method", "rho"], sort=False, dropna=False):
            completed = group[group["status"] == COMPLETED]
            seeds, survivors = group["seed"].nunique(), completed["seed"].nunique()
            lost = group.loc[group["status"] == DIVERGED, "seed"].nunique()
            label = titles.method(study, method, rho) + _diverged(lost, seeds)
            for seed, run in group.groupby("seed"):
                if f"seed {seed}" == shown or (run["status"] != COMPLETED).all():
                    curves.append(run.assign(label=label, curve=f"seed {seed}", seeds=1))
            if survivors > 1:
                epochs = completed.groupby(["method", "rho", "status", "epoch", "learning_rate"], dropna=False)
                for curve, statistic in SUMMARIES.items():
                    by_epoch = epochs[list(QUANTITIES)].agg(statistic).reset_index()
                    curves.append(by_epoch.assign(label=label, curve=curve, seeds=survivors))
        columns = ["label", "method", "rho", "curve", "seeds", "status", "epoch", "learning_rate", *QUANTITIES]
        return pd.concat(curves, ignore_index=True)[columns]

    def caption(self, study: Study) -> str:
        network, training = self.network_title(study), titles.training(study)
        return f"{self.title}, on {network}: test loss and test accuracy by epoch, {training}."

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """The test loss around each drop of the learning rate, in the seed shown; the final results by method."""
        drops = _drops(data, self.shown(study))
        return {"network": self.network_title(study), "drops": drops, "results": self.results(study)}

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        shown, colours = self.shown(study), _colours(study, data)
        data = data[np.isfinite(data["test_loss"])]
        panels = []
        for axes, (quantity, title) in zip(drawing.axes, QUANTITIES.items(), strict=True):
            series = []
            for run, group in _by_run(data):
                values = group.pivot(index="epoch", columns="curve", values=quantity)
                if shown in values and len(points := values[shown].dropna()):
                    means = values["mean"] if "mean" in values else pd.Series(dtype=float)
                    text = [_value(value, means.get(epoch)) for epoch, value in points.items()]
                    series.append(Series(group["label"].iloc[0], colours[run], points, text))
            if series:
                panels.append(panel(drawing, axes, f"{title}, {shown}, epoch ", series))
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        from matplotlib.ticker import MaxNLocator

        epochs, shown = study.settings["epochs"], self.shown(study)
        drawing = style.figure(3.5, f"{self.network_title(study)}\n{titles.training(study)}")
        top, bottom = drawing.subplots(2, 1, sharex=True)
        top.set(yscale="log", ylabel="Test loss (nats)")
        # Equal steps divide the error by equal factors: so 0.97 and 0.98 differ even beside a method at chance.
        error_scale = (lambda a: -np.log10(np.maximum(1 - a, 1e-9)), lambda s: 1 - 10.0 ** -np.asarray(s))
        bottom.set_yscale("function", functions=error_scale)
        bottom.set(ylabel="Test accuracy (log error)", xlabel="Epoch", xlim=(1 - 0.02 * epochs, 1.02 * epochs))
        bottom.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

        points = data[np.isfinite(data["test_loss"])]
        points = points.assign(test_accuracy=points["test_accuracy"].clip(upper=1 - SMALLEST_ERROR))
        colours = _colours(study, data)
        for axes, quantity in ((top, "test_loss"), (bottom, "test_accuracy")):
            _draw_panel(axes, points, quantity, shown, colours)
        style.frame(top, points["test_loss"].clip(style.LOSS_TICKS[0], style.LOSS_CEILING), style.LOSS_TICKS)
        if points["test_loss"].max() > style.LOSS_CEILING:
            top.set(ylim=(None, style.LOSS_CEILING), ylabel=f"Test loss (nats), cut at {style.LOSS_CEILING:g}")
        style.frame(bottom, points["test_accuracy"], ACCURACY_TICKS)
        drawing.align_ylabels()

        drops = _drop_epochs(data)
        for axes in (top, bottom):
            for epoch in drops:
                axes.axvline(epoch, **style.DROP)
        style.legend(drawing, _methods(data, colours), _keys(data, shown, bool(drops)))
        return drawing


def _draw_panel(axes: Axes, points: pd.DataFrame, quantity: str, shown: str, colours: dict[Run, str]) -> None:
    """For each method the range over the seeds, the mean, the seed shown, and the diverged seeds up to a cross."""
    import seaborn

    runs = dict(_by_run(points))
    points = pd.concat([group.assign(run=index) for index, group in enumerate(runs.values())] or [points])
    palette = {index: colours[run] for index, run in enumerate(runs)}
    look = {"x": "epoch", "y": quantity, "hue": "run", "palette": palette, "legend": False, "ax": axes}
    of = {name: curve for name, curve in points.groupby("curve")}
    if "mean" in of:
        band = pd.concat([of["minimum"], of["maximum"]])
        seaborn.lineplot(band, **look, errorbar=("pi", 100), linewidth=0, err_kws=style.BAND)
        seaborn.lineplot(of["mean"], **look, errorbar=None, **style.MEAN)
    longest = int(points["epoch"].max()) if len(points) else 1
    every = max(longest // 8, 1)
    for index, (run, marker) in enumerate(style.markers(colours).items()):
        for name, curve in runs[run].groupby("curve", sort=False) if run in runs else ():
            if name in SUMMARIES:
                continue
            line = {"marker": marker, "markevery": (index * every // 4, every)} if name == shown else style.THIN
            axes.plot(curve["epoch"], curve[quantity], color=colours[run], **line)
            if (curve["status"] == DIVERGED).any():
                end = curve.iloc[-1]
                axes.plot(end["epoch"], min(end[quantity], style.LOSS_CEILING), color=colours[run], **style.CROSS)


def _by_run(data: pd.DataFrame) -> Iterator[tuple[Run, pd.DataFrame]]:
    """The rows of each method and radius, in their order; labels are for readers."""
    for (method, rho), group in data.groupby(["method", "rho"], sort=False, dropna=False):
        yield (method, None if np.isnan(rho) else rho), group


def _colours(study: Study, data: pd.DataFrame) -> dict[Run, str]:
    """Each curve's colour: its method's, in a shade of its own where the figure shows the method at several radii."""
    runs, colours = [run for run, _ in _by_run(data)], {}
    for method, rho in runs:
        colour = style.method_colours(list(study.methods))[method]
        radii = [radius for other, radius in runs if other == method]
        colours[method, rho] = style.shades(colour, radii)[rho] if len(radii) > 1 else colour
    return colours


def _methods(data: pd.DataFrame, colours: dict[Run, str]) -> list[Artist]:
    markers = style.markers(colours)
    return [
        style.key(color=colours[run], marker=markers[run], label=group["label"].iloc[0]) for run, group in _by_run(data)
    ]


def _keys(data: pd.DataFrame, shown: str, drops: bool) -> list[Artist]:
    """What the line styles stand for, of those that the figure has."""
    keys, drawn = [], set(data["curve"])
    if shown in drawn:
        keys.append(style.key(label=shown))
    if "mean" in drawn:
        keys.append(style.key(**style.MEAN, label="mean over seeds"))
        keys.append(style.band_key("range over seeds"))
    if drops:
        keys.append(style.key(**style.DROP, label="learning rate drops"))
    if (data["status"] == DIVERGED).any():
        keys.append(style.key(**style.CROSS, label="diverged here"))
    return keys


def _drop_epochs(data: pd.DataFrame) -> list[int]:
    """The epochs after which the learning rate drops."""
    rates = data.groupby("epoch")["learning_rate"].first()
    return [int(epoch) - 1 for epoch in rates.index[rates.diff() < 0]]


def _drops(data: pd.DataFrame, shown: str) -> dict:
    """A seed's test loss in the last epoch before each drop of the learning rate and in the first one after it."""
    curves = data[data["curve"] == shown]
    runs = [group.set_index("epoch") for _, group in _by_run(curves)]
    longest = pd.concat([run.reset_index() for run in runs if run.index.max() == curves["epoch"].max()])
    epochs = _drop_epochs(longest)
    rows = []
    for run in runs:
        losses = run["test_loss"].reindex(range(1, curves["epoch"].max() + 1))
        changes = [(losses[epoch], losses[epoch + 1]) for epoch in epochs]
        rows.append({"label": run["label"].iloc[0], "changes": changes})
    return {"epochs": epochs, "curve": shown, "rows": rows}


def _value(value: float, mean: float | None) -> str:
    return f"{value:.4f}" if mean is None else f"{value:.4f} (mean {mean:.4f})"


def _diverged(lost: int, seeds: int) -> str:
    if not lost:
        return ""
    return " (diverged)" if lost == seeds else f" ({lost} of {seeds} diverged)"


KIND = LearningCurves

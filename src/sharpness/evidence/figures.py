"""Figures 1 to 5, each as PDF, SVG and PNG, with the CSV of what it draws."""

import math

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator

from sharpness import files, paths, records
from sharpness.errors import unknown
from sharpness.evidence import labels, style
from sharpness.evidence.runs import csv_text, read_histories, summarize_sensing
from sharpness.study import Artifact, Study

LOSS_CEILING = 100.0
LOSS_TICKS = np.array([digit * 10.0**power for power in range(-4, 2) for digit in (1, 2, 5)] + [LOSS_CEILING])
ACCURACY_TICKS = np.array([0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998, 0.999])
SMALLEST_ERROR = 5e-4  # where an accuracy of 1 is drawn
GRADIENT = np.array([2.0, 1.0])
BALL_COLOURS = {
    "p = 1": style.SKY,
    "p = 2 (SAM)": style.METHOD_COLOURS["sam"],
    "p = ∞, as described": style.METHOD_COLOURS["sam-linf-as-described"],
    "p = ∞, as run": style.METHOD_COLOURS["sam-linf-as-run"],
}


def write_figure(study: Study, name: str) -> None:
    """Write a figure's PDF, PNG, SVG and CSV under figures/<scale>/.

    Raises:
        UserError: there is no such figure, or a file that it rests on is missing or not what its run wrote.
    """
    with style.paper():
        figure, data = draw(study, name)
        style.settle(figure)
        for path in paths.figure_files(study.scale, name):
            if path.suffix == ".csv":
                files.write_text(path, csv_text(data))
            else:
                style.save(figure, path)


def draw(study: Study, name: str) -> tuple[Figure, pd.DataFrame]:
    """A figure of the study by name, and the numbers that it draws.

    Raises:
        UserError: as write_figure.
    """
    match name:
        case "figure1" | "figure3" | "figure4":
            artifact = study.artifact(name)
            data = curve_data(study, artifact)
            return _draw_curves(study, artifact, data), data
        case "figure2":
            data = ball_data()
            return _draw_balls(data), data
        case "figure5":
            data = sensing_data(study)
            return _draw_sensing(study, data), data
    raise unknown("figure", name, [f"figure{number}" for number in range(1, 6)], "sharpness figure")


# Figures 1, 3 and 4: loss and accuracy by epoch


def curve_data(study: Study, artifact: Artifact) -> pd.DataFrame:
    """What Figures 1, 3 and 4 draw for each method and radius.

    The curve of the seed shown, that of every seed that diverged, and, where two seeds or more have completed, their
    mean, minimum and maximum by epoch.

    Returns:
        The columns label, method, rho, curve ("seed 42", "mean", "minimum", "maximum"), seeds (how many are behind it),
        status, epoch, learning_rate, test_loss, test_accuracy. A diverged seed's last row holds what was not finite.
    """
    histories = read_histories(study, list(artifact.run_ids))
    for key in ("method", "rho", "seed"):
        histories[key] = histories["run_id"].map({run_id: study.runs[run_id].get(key) for run_id in artifact.run_ids})
    curves = []
    for (method, rho), group in histories.groupby(["method", "rho"], sort=False, dropna=False):
        completed = group[group["status"] == records.COMPLETED]
        seeds, survivors = group["seed"].nunique(), completed["seed"].nunique()
        label = labels.method(study, method, rho) + _diverged(seeds - survivors, seeds)
        for seed, run in group.groupby("seed"):
            if seed == artifact.settings["seed"] or (run["status"] == records.DIVERGED).all():
                curves.append(run.assign(label=label, curve=f"seed {seed}", seeds=1))
        if survivors > 1:
            epochs = completed.groupby(["method", "rho", "status", "epoch", "learning_rate"], dropna=False)
            for curve, statistic in {"mean": "mean", "minimum": "min", "maximum": "max"}.items():
                by_epoch = epochs[["test_loss", "test_accuracy"]].agg(statistic).reset_index()
                curves.append(by_epoch.assign(label=label, curve=curve, seeds=survivors))
    columns = ["label", "method", "rho", "curve", "seeds", "status", "epoch", "learning_rate"]
    return pd.concat(curves, ignore_index=True)[[*columns, "test_loss", "test_accuracy"]]


def _draw_curves(study: Study, artifact: Artifact, data: pd.DataFrame) -> Figure:
    network, epochs = labels.sized_network(labels.only_network(study, artifact)), study.settings["epochs"]
    shown = f"seed {artifact.settings['seed']}"
    figure = Figure(figsize=(style.COLUMN, 3.5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    style.title(figure, f"{network}\n{labels.training(study)}")
    top.set(yscale="log", ylabel="Test loss (nats)")
    # Equal steps divide the error by equal factors: so 0.97 and 0.98 differ even beside a method at chance.
    error_scale = (lambda a: -np.log10(np.maximum(1 - a, 1e-9)), lambda s: 1 - 10.0 ** -np.asarray(s))
    bottom.set_yscale("function", functions=error_scale)
    bottom.set(ylabel="Test accuracy (log error)", xlabel="Epoch", xlim=(1 - 0.02 * epochs, 1.02 * epochs))
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))

    points = data[np.isfinite(data["test_loss"])]
    points = points.assign(test_accuracy=points["test_accuracy"].clip(upper=1 - SMALLEST_ERROR))
    methods = []
    for index, (label, method, rho) in enumerate(data[["label", "method", "rho"]].drop_duplicates().to_numpy()):
        colour, marker = _colour(study, data, method, rho), style.MARKERS[index % len(style.MARKERS)]
        methods.append(Line2D([], [], color=colour, marker=marker, label=label))
        every = max(epochs // 8, 1)
        line = {"color": colour, "marker": marker, "markevery": (index * every // 4, every)}
        curves = dict(tuple(points[points["label"] == label].groupby("curve", sort=False)))
        _draw_method(top, curves, "test_loss", shown, line)
        _draw_method(bottom, curves, "test_accuracy", shown, line)
    _frame(top, points["test_loss"].clip(LOSS_TICKS[0], LOSS_CEILING), LOSS_TICKS)
    if points["test_loss"].max() > LOSS_CEILING:
        top.set(ylim=(None, LOSS_CEILING), ylabel=f"Test loss (nats), cut at {LOSS_CEILING:g}")
    _frame(bottom, points["test_accuracy"], ACCURACY_TICKS)
    figure.align_ylabels()

    rates = data.groupby("epoch")["learning_rate"].first()
    drops = rates.index[rates.diff() < 0] - 1  # epochs that have finished when the rate drops
    for axes in (top, bottom):
        for epoch in drops:
            axes.axvline(epoch, **style.DROP)

    style.legend(figure, methods, _keys(data, shown, len(drops) > 0))
    return figure


def _colour(study: Study, data: pd.DataFrame, method: str, rho: float) -> str:
    """A method's colour, in a shade of its own where the figure shows the method at several radii."""
    colour = style.method_colours(list(study.methods))[method]
    radii = data.loc[data["method"] == method, "rho"].unique()
    return style.shades(colour, radii)[rho] if len(radii) > 1 else colour


def _draw_method(axes: Axes, curves: dict[str, pd.DataFrame], quantity: str, shown: str, line: dict) -> None:
    """The band, the mean, the seed shown, and the seeds that diverged up to a cross where they did."""
    colour = line["color"]
    if "mean" in curves:
        epochs = curves["mean"]["epoch"]
        axes.fill_between(epochs, curves["minimum"][quantity], curves["maximum"][quantity], color=colour, **style.BAND)
        axes.plot(epochs, curves["mean"][quantity], color=colour, **style.MEAN)
    for name, seed in curves.items():
        if name in ("mean", "minimum", "maximum"):
            continue
        axes.plot(seed["epoch"], seed[quantity], **(line if name == shown else {"color": colour, **style.THIN}))
        if (seed["status"] == records.DIVERGED).any():
            end = seed.iloc[-1]
            axes.plot(end["epoch"], min(end[quantity], LOSS_CEILING), color=colour, **style.CROSS)


def _keys(data: pd.DataFrame, shown: str, drops: bool) -> list[Artist]:
    """What the line styles stand for, of those that the figure has."""
    keys, drawn = [], set(data["curve"])
    if shown in drawn:
        keys.append(Line2D([], [], color=style.INK, label=shown))
    if "mean" in drawn:
        keys.append(Line2D([], [], color=style.INK, **style.MEAN, label="mean over seeds"))
        keys.append(Patch(color=style.INK, **style.BAND, label="range over seeds"))
    if drops:
        keys.append(Line2D([], [], **style.DROP, label="learning rate drops"))
    if (data["status"] == records.DIVERGED).any():
        keys.append(Line2D([], [], color=style.INK, **style.CROSS, label="diverged here"))
    return keys


def _frame(axes: Axes, values: pd.Series, ticks: np.ndarray) -> None:
    """Fit the view to the values, and show those of the ticks that lie in it: every third if they crowd.

    Where fewer than two do, matplotlib's own take their place. The view is widened to the next tick on a side where
    that is near, and spans 0.04 decades at least: what rounding does to equal values is nothing to look at.
    """
    scale = axes.yaxis.get_transform()
    lowest, highest = scale.transform([values.min(), values.max()] if len(values) else ticks[[0, -1]])
    pad = max(0.05 * (highest - lowest), 0.02)
    low, high = scale.inverted().transform([lowest - pad, highest + pad])
    if np.count_nonzero((ticks >= low) & (ticks <= high)) < 2:
        ticks = MaxNLocator(4).tick_values(low, high)
        ticks = ticks[ticks > 0]
    for tick in ticks[ticks < low][-1:]:
        low = tick if lowest - scale.transform(tick) < 3 * pad else low
    for tick in ticks[ticks > high][:1]:
        high = tick if scale.transform(tick) - highest < 3 * pad else high
    inside = ticks[(ticks >= low) & (ticks <= high)]
    if len(inside) > 9:
        inside = np.intersect1d(inside, ticks[::3])
    axes.set_ylim(low, high)
    axes.set_yticks(inside, [f"{tick:g}" for tick in inside])
    axes.yaxis.set_minor_locator(NullLocator())


# Figure 2: the balls and the ascent step


def ascent_step(gradient: np.ndarray, p: float, rho: float = 1.0) -> np.ndarray:
    """The ε of ‖ε‖_p ≤ rho that maximises ⟨gradient, ε⟩: rho sign(g) |g|^(q−1) / ‖g‖_q^(q−1) with 1/p + 1/q = 1.

    For p = 1 it is the limit, the largest coordinate alone.
    """
    size = np.abs(gradient)
    if p == 1:
        return rho * np.sign(gradient) * (np.arange(len(size)) == size.argmax())
    q = 1.0 if math.isinf(p) else p / (p - 1)
    return rho * np.sign(gradient) * size ** (q - 1) / np.linalg.norm(size, q) ** (q - 1)


def ball_data() -> pd.DataFrame:
    """What Figure 2 draws, in units of ρ: the boundary of each ball, and where the ascent step of GRADIENT lands.

    Returns:
        The columns label, p, curve ("ball" or "step"), x, y, for p = 1, 2 and ∞; and for p = ∞ also the step as the
        report's code takes it, ρ g/‖g‖_∞.
    """
    angles = np.radians(np.arange(361))
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    curves = [("p = ∞, as run", math.inf, "step", GRADIENT / np.abs(GRADIENT).max())]
    for label, p in (("p = ∞, as described", math.inf), ("p = 2 (SAM)", 2.0), ("p = 1", 1.0)):
        curves.append((label, p, "ball", circle / np.linalg.norm(circle, p, axis=1, keepdims=True)))
        curves.append((label, p, "step", ascent_step(GRADIENT, p)))
    return pd.concat(
        [
            pd.DataFrame(np.atleast_2d(points), columns=["x", "y"]).assign(label=label, p=p, curve=curve)
            for label, p, curve, points in curves
        ],
        ignore_index=True,
    )[["label", "p", "curve", "x", "y"]]


def _draw_balls(data: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(style.COLUMN, 3.0), layout="constrained")
    axes = figure.subplots()
    style.title(figure, f"One gradient, ({GRADIENT[0]:g}, {GRADIENT[1]:g}): its ascent step on each ball of radius ρ")
    handles = []
    for index, (label, curves) in enumerate(data.groupby("label", sort=False)):
        colour, marker = BALL_COLOURS[label], style.MARKERS[index]
        ball, step = curves[curves["curve"] == "ball"], curves[curves["curve"] == "step"]
        axes.plot(ball["x"], ball["y"], color=colour)
        # The step as run comes first and is wider, since SAM's, of the same direction, lies on it.
        axes.plot([0, *step["x"]], [0, *step["y"]], color=colour, linewidth=1.1 if len(ball) else 3)
        axes.plot(step["x"], step["y"], color=colour, marker=marker, markersize=6, zorder=3)
        handles.append(Line2D([], [], color=colour, marker=marker, label=label))
    axes.set_aspect("equal")
    ticks, texts = [-1, 0, 1], ["−ρ", "0", "ρ"]
    axes.set(xticks=ticks, yticks=ticks, xticklabels=texts, yticklabels=texts, xlabel="ε₁", ylabel="ε₂")
    style.legend(figure, handles[2:], handles[:2])
    return figure


# Figure 5: matrix sensing


def sensing_data(study: Study) -> pd.DataFrame:
    """What Figure 5 draws.

    Returns:
        The columns label, method, rho, step, draws, diverged (draws whose loss is inf), and the loss's median, minimum
        and maximum over the draws.
    """
    data = summarize_sensing(study, study.artifact("figure5"))
    data.insert(0, "label", data["method"].map(labels.SENSING_TITLES))
    return data.rename(columns={"loss_median": "median", "loss_min": "minimum", "loss_max": "maximum"})


def _draw_sensing(study: Study, data: pd.DataFrame) -> Figure:
    radii = list(dict.fromkeys(data["rho"]))
    figure = Figure(figsize=(style.COLUMN, 2.0), layout="constrained")
    panels = figure.subplots(1, len(radii), sharex=True, sharey=True, squeeze=False)[0]
    style.title(figure, f"Matrix sensing: {labels.sensing(study)}")
    colours = style.method_colours(list(data["method"].unique()))
    handles, diverged = {}, False
    for axes, rho in zip(panels, radii, strict=True):
        for index, (label, curve) in enumerate(data[data["rho"] == rho].groupby("label", sort=False)):
            points = curve[np.isfinite(curve["median"])]
            line = {"color": colours[curve["method"].iloc[0]], "marker": style.MARKERS[index]}
            axes.fill_between(points["step"], points["minimum"], points["maximum"], color=line["color"], **style.BAND)
            axes.plot(points["step"], points["median"], **line)
            if len(points) < len(curve):
                diverged = True
                axes.plot(points["step"].tail(1), points["median"].tail(1), color=line["color"], **style.CROSS)
            handles[label] = Line2D([], [], **line, label=label)
        axes.set(title=f"ρ = {rho:g}", xlabel="Step", yscale="log")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    panels[0].set_ylabel("Loss")
    losses = pd.concat([data["minimum"], data["maximum"]])
    if losses.between(LOSS_TICKS[0], LOSS_CEILING).all():
        _frame(panels[0], losses, LOSS_TICKS)
    draws = study.sensing["draws"]
    keys = [
        Line2D([], [], color=style.INK, label=f"median of {draws} draws"),
        Patch(color=style.INK, **style.BAND, label="range over draws"),
    ]
    if diverged:
        keys.append(Line2D([], [], color=style.INK, **style.CROSS, label="diverged here"))
    style.legend(figure, list(handles.values()), keys)
    return figure


def _diverged(lost: int, seeds: int) -> str:
    if not lost:
        return ""
    return " (diverged)" if lost == seeds else f" ({lost} of {seeds} diverged)"

"""Figures 1 to 5, each as PDF, SVG and PNG, with the CSV of what it draws."""

import math
from collections.abc import Sequence

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
from sharpness.evidence.runs import csv_text, finite, read_histories, read_sensing
from sharpness.study import Artifact, Study

LOSS_CEILING = 100.0
ACCURACY_TICKS = (0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1)
SMALLEST_ERROR = 5e-4  # where a perfect test accuracy is drawn
INK = "#555555"  # of a key that stands for every colour


def write_figure(study: Study, name: str) -> None:
    """Write a figure's PDF, PNG, SVG and CSV under figures/<scale>/.

    Raises:
        UserError: there is no such figure, or a file that it rests on is missing or not what its run wrote.
    """
    with style.paper():
        figure, data = draw(study, name)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # the layout is found once, not again for each format
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


def curve_data(study: Study, artifact: Artifact) -> pd.DataFrame:
    """What Figures 1, 3 and 4 draw for each method and radius.

    The curve of the seed shown, that of every seed that diverged, and, where two seeds or more have completed, their
    mean, minimum and maximum by epoch.

    Returns:
        The columns label, method, rho, curve ("seed 42", "mean", "minimum", "maximum"), seeds (how many are behind it),
        status, epoch, learning_rate, test_loss, test_accuracy; a diverged seed's last row holds what was not finite.
    """
    histories = read_histories(study, list(artifact.run_ids))
    for key in ("method", "rho", "seed"):
        histories[key] = histories["run_id"].map({run_id: study.runs[run_id].get(key) for run_id in artifact.run_ids})
    curves = []
    for (method, rho), group in histories.groupby(["method", "rho"], sort=False, dropna=False):
        seeds = group["seed"].nunique()
        lost = group.loc[group["status"] == records.DIVERGED, "seed"].nunique()
        identity = {
            "label": labels.method(study, method, rho) + _diverged(lost, seeds), "method": method, "rho": rho,
        }  # fmt: skip
        for seed, run in group.groupby("seed", sort=False):
            if seed == artifact.settings["seed"] or run["status"].iloc[0] == records.DIVERGED:
                curves.append(run.assign(**identity, curve=f"seed {seed}", seeds=1))
        if seeds - lost > 1:
            by_epoch = group[group["status"] == records.COMPLETED].groupby("epoch", as_index=False)
            columns = ["learning_rate", "test_loss", "test_accuracy"]
            for curve, statistic in {"mean": "mean", "minimum": "min", "maximum": "max"}.items():
                summary = by_epoch[columns].agg(statistic)
                curves.append(
                    summary.assign(**identity, curve=curve, seeds=seeds - lost, status=records.COMPLETED)
                )
    columns = [
        "label", "method", "rho", "curve", "seeds", "status", "epoch", "learning_rate", "test_loss", "test_accuracy",
    ]  # fmt: skip
    return pd.concat(curves, ignore_index=True)[columns]


def sensing_data(study: Study) -> pd.DataFrame:
    """What Figure 5 draws.

    Returns:
        The columns label, method, rho, step, draws, diverged (draws that have by this step), and the losses' median,
        minimum and maximum over the draws.
    """
    settings = study.artifact("figure5").settings
    losses = read_sensing(study)
    losses = losses[losses["rho"].isin(settings["sensing"]) & (losses["step"] <= settings["steps"])]
    data = (
        losses.assign(diverged=np.isinf(losses["loss"]))
        .groupby(["method", "rho", "step"], sort=False)
        .agg(
            draws=("draw", "count"),
            diverged=("diverged", "sum"),
            median=("loss", "median"),
            minimum=("loss", "min"),
            maximum=("loss", "max"),
        )
        .reset_index()
    )
    data.insert(0, "label", data["method"].map(labels.SENSING_TITLES))
    return data


def ascent_step(gradient: np.ndarray, p: float, rho: float = 1.0) -> np.ndarray:
    """The ε of ‖ε‖_p ≤ rho that maximises ⟨gradient, ε⟩: rho sign(g) |g|^(q−1) / ‖g‖_q^(q−1) with 1/p + 1/q = 1."""
    size = np.abs(gradient)
    if p == 1:  # q = ∞: the largest coordinate alone
        powers = (size == size.max()).astype(float)
        return rho * np.sign(gradient) * powers / powers.sum()
    q = 1.0 if math.isinf(p) else p / (p - 1)
    return rho * np.sign(gradient) * size ** (q - 1) / np.linalg.norm(size, q) ** (q - 1)


def ball_data() -> pd.DataFrame:
    """What Figure 2 draws: the boundary of each unit ball, and where the ascent step of one gradient lands.

    Returns:
        The columns label, p, curve ("ball" or "step"), x, y, for p = 1, 2, ∞ and for the report's step "as run" for
        p = ∞, g/‖g‖_∞, which has no ball of its own.
    """
    gradient = np.array([2.0, 1.0])
    angles = np.radians(np.arange(361))
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    parts = []
    for p, label in {1: "p = 1", 2: "p = 2 (SAM)", math.inf: "p = ∞ (as described)"}.items():
        ball = circle / np.linalg.norm(circle, p, axis=1, keepdims=True)
        for curve, points in {"ball": ball, "step": ascent_step(gradient, p)[None]}.items():
            parts.append(pd.DataFrame(points, columns=["x", "y"]).assign(label=label, p=float(p), curve=curve))
    as_run = gradient / np.abs(gradient).max()
    parts.append(pd.DataFrame([as_run], columns=["x", "y"]).assign(label="p = ∞ (as run)", p=math.inf, curve="step"))
    return pd.concat(parts, ignore_index=True)[["label", "p", "curve", "x", "y"]]


def _draw_curves(study: Study, artifact: Artifact, data: pd.DataFrame) -> Figure:
    spec = labels.only_network(study, artifact)
    figure = Figure(figsize=(style.COLUMN, 4.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True)
    figure.suptitle(f"{labels.sized_network(spec)}\n{labels.training(study)}", x=0.02, ha="left", fontsize=7)
    handles = []
    for index, (label, curves) in enumerate(data.groupby("label", sort=False)):
        colour = _curve_colour(study, data, curves)
        marker = style.MARKERS[index % len(style.MARKERS)]
        handles.append(Line2D([], [], color=colour, marker=marker, label=label))
        for axes, quantity in ((top, "test_loss"), (bottom, "test_accuracy")):
            _draw_curve(axes, curves, quantity, f"seed {artifact.settings['seed']}", colour, marker)

    rates = data.groupby("epoch")["learning_rate"].first()
    drops = rates.index[rates.diff() < 0] - 1  # the rate drops once this many epochs have finished
    for axes in (top, bottom):
        for epoch in drops:
            axes.axvline(epoch, color=INK, linewidth=0.6, linestyle=":", zorder=1)
    numbers = data[np.isfinite(data["test_loss"])]
    _frame_loss(top, numbers["test_loss"])
    _frame_accuracy(bottom, numbers["test_accuracy"])
    bottom.set(xlabel="Epoch", xlim=(0, study.settings["epochs"]))
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, handles + _curve_keys(data, artifact, len(drops)))
    return figure


def _curve_colour(study: Study, data: pd.DataFrame, curves: pd.DataFrame) -> str:
    """A method's colour, in a shade of its own where the figure shows the method at several radii."""
    method, rho = curves[["method", "rho"]].iloc[0]
    colour = style.method_colours(list(study.methods))[method]
    radii = data.loc[data["method"] == method, "rho"].unique()
    return style.shades(colour, radii)[rho] if len(radii) > 1 else colour


def _draw_curve(axes: Axes, curves: pd.DataFrame, quantity: str, shown: str, colour: str, marker: str) -> None:
    """One method's band, mean, shown seed and diverged seeds."""
    by_name = dict(tuple(curves.groupby("curve", sort=False)))
    if "mean" in by_name:
        mean, low, high = (by_name[name] for name in ("mean", "minimum", "maximum"))
        axes.fill_between(mean["epoch"], low[quantity], high[quantity], color=colour, alpha=0.18, linewidth=0)
        axes.plot(mean["epoch"], mean[quantity], color=colour, linewidth=0.8, linestyle=(0, (4, 1.5)))
    for name, run in by_name.items():
        if not name.startswith("seed"):
            continue
        points = run[np.isfinite(run["test_loss"])]
        axes.plot(points["epoch"], points[quantity], color=colour, linewidth=1.1 if name == shown else 0.6)
        if run["status"].iloc[0] == records.DIVERGED:
            last = points.tail(1)
            axes.plot(last["epoch"], last[quantity].clip(upper=LOSS_CEILING), "X", color=colour, markersize=5, clip_on=False)

"""Where the points of the curves lie on the drawn figures, so that the page can show the values under a pointer."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sharpness.errors import UserError
from sharpness.evidence import figures, style
from sharpness.study import Study

CURVES = {"test_loss": "test loss", "test_accuracy": "test accuracy"}


def hover_points(study: Study) -> dict[str, list[dict]]:
    """The panels of each figure with curves, by the figure's name.

    A figure that can't be drawn from the runs as they are now is left out: `verify` says what is wrong with them.

    Returns:
        For each panel: box (left, top, right, bottom), x (of each stop), titles (of each stop), and series, each with
        label, colour, y and text by stop; all positions are fractions of the figure's width and height from its top
        left corner, None where there is no point.
    """
    panels = {}
    for name in ("figure1", "figure3", "figure4", "figure5"):
        try:
            with style.paper():
                figure, data = figures.draw(study, name)
                figure.draw_without_rendering()
        except UserError:
            continue
        if name == "figure5":
            panels[name] = _sensing_panels(figure, data)
        else:
            panels[name] = _curve_panels(figure, data, f"seed {study.artifact(name).settings['seed']}")
    return panels


def _curve_panels(figure: Figure, data: pd.DataFrame, shown: str) -> list[dict]:
    """The panels of the loss and of the accuracy: the seed shown, and the mean over the seeds where there is one."""
    panels = []
    for axes, (quantity, title) in zip(figure.axes, CURVES.items(), strict=True):
        series = {}
        for label, group in data.groupby("label", sort=False):
            values = group.pivot(index="epoch", columns="curve", values=quantity)
            if shown not in values:
                continue
            points = values[shown].dropna()
            if points.empty:
                continue
            text = points.map("{:.4f}".format)
            if "mean" in values:
                text = text + values["mean"].reindex(points.index).map(
                    " (mean {:.4f})".format, na_action="ignore"
                ).fillna("")
            series[label] = pd.DataFrame({"y": points, "text": text})
        if series:
            panels.append(_panel(figure, axes, f"{title}, {shown}, epoch ", series))
    return panels


def _sensing_panels(figure: Figure, data: pd.DataFrame) -> list[dict]:
    """A panel for each radius: the median over the draws, and their range."""
    panels = []
    for axes, (rho, group) in zip(figure.axes, data.groupby("rho", sort=False), strict=True):
        series = {}
        for label, curve in group.groupby("label", sort=False):
            curve = curve.set_index("step")
            text = [f"{row.median:.3g} ({row.minimum:.3g} to {row.maximum:.3g})" for row in curve.itertuples()]
            series[label] = pd.DataFrame({"y": curve["median"], "text": text})
        panels.append(_panel(figure, axes, f"median loss, ρ = {rho:g}, step ", series))
    return panels


def _panel(figure: Figure, axes: Axes, title: str, series: dict[str, pd.DataFrame]) -> dict:
    width, height = figure.bbox.size
    box = axes.get_window_extent()
    colours = _legend_colours(figure)
    stops = sorted(set().union(*(points.index for points in series.values())))

    def across(x: np.ndarray) -> list[float]:
        return [round(value, 4) for value in axes.transData.transform([(stop, 1) for stop in x])[:, 0] / width]

    def down(points: pd.DataFrame) -> list[float | None]:
        pixels = axes.transData.transform(np.column_stack([points.index, points["y"]]))[:, 1]
        inside = dict(zip(points.index, np.clip(pixels, box.y0, box.y1), strict=True))
        positions = [inside.get(stop, np.nan) for stop in stops]
        return [round(1 - y / height, 4) if np.isfinite(y) else None for y in positions]

    return {
        "box": [
            round(float(edge), 4) for edge in (box.x0 / width, 1 - box.y1 / height, box.x1 / width, 1 - box.y0 / height)
        ],
        "x": across(np.array(stops)),
        "titles": [f"{title}{stop}" for stop in stops],
        "series": [
            {
                "label": label,
                "colour": colours.get(label, style.GREY),
                "y": down(points),
                "text": [points["text"].get(stop) for stop in stops],
            }
            for label, points in series.items()
        ],
    }


def _legend_colours(figure: Figure) -> dict[str, str]:
    return {
        handle.get_label(): handle.get_color()
        for legend in figure.legends
        for handle in legend.legend_handles
        if hasattr(handle, "get_color")
    }

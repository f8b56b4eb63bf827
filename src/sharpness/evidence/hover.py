"""Where the points of a drawn figure are, so that the page can show their values under a pointer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing


@dataclass(frozen=True)
class Series:
    """A curve of a panel: its name and colour, its points' heights by their positions, what the page says of each."""

    label: str
    colour: str
    points: pd.Series
    text: list[str]


def panel(drawing: "Drawing", axes: "Axes", title: str, series: list[Series]) -> dict:
    """A panel of a figure whose layout is settled, with its curves.

    Args:
        title: what the page says before a position, such as "test loss, epoch ".

    Returns:
        box (left, top, right, bottom), x (of each stop), titles (of each stop), and series, each with label, colour, y
        and text by stop; all positions are fractions of the figure's width and height from its top left corner, None
        where there is no point.
    """
    width, height = drawing.bbox.size
    box = axes.get_window_extent()
    stops = sorted(set().union(*(curve.points.index for curve in series)))
    across = axes.transData.transform([(stop, 1) for stop in stops])[:, 0] / width

    def down(points: pd.Series) -> list[float | None]:
        pixels = axes.transData.transform(np.column_stack([points.index, points]))[:, 1]
        inside = dict(zip(points.index, np.clip(pixels, box.y0, box.y1), strict=True))
        positions = [inside.get(stop, np.nan) for stop in stops]
        return [round(1 - y / height, 4) if np.isfinite(y) else None for y in positions]

    edges = (box.x0 / width, 1 - box.y1 / height, box.x1 / width, 1 - box.y0 / height)
    return {
        "box": [round(float(edge), 4) for edge in edges],
        "x": [round(float(x), 4) for x in across],
        "titles": [f"{title}{stop:g}" for stop in stops],
        "series": [
            {
                "label": curve.label,
                "colour": curve.colour,
                "y": down(curve.points),
                "text": [dict(zip(curve.points.index, curve.text, strict=True)).get(stop) for stop in stops],
            }
            for curve in series
        ],
    }

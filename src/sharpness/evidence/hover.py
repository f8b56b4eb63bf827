"""Where the points of a drawn figure are, so that the page can show their values under a pointer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sharpness.evidence.style import Axes, Drawing


@dataclass(frozen=True)
class Series:
    """A curve of a panel: its name and colour, its points' heights by their positions, what the page says of each."""

    label: str
    colour: str
    points: pd.Series
    text: list[str]


@dataclass(frozen=True)
class Spots:
    """Points of a panel: their name and colour, where they are (n × 2), and what the page says above and of each."""

    label: str
    colour: str
    points: np.ndarray
    titles: list[str]
    text: list[str]


def panel(drawing: Drawing, axes: Axes, title: str, series: list[Series]) -> dict:
    """A panel of a figure whose layout is settled, with its curves.

    Args:
        title: what the page says before a position, such as "test loss, epoch ".

    Returns:
        box (left, top, right, bottom), x (of each stop), titles (of each stop), and series, each with label, colour, y
        and text by stop; all positions are fractions of the figure's width and height from its top left corner, None
        where there is no point.
    """
    box = _box(drawing, axes)
    stops = sorted(set().union(*(curve.points.index for curve in series)))

    def down(points: pd.Series) -> list[float | None]:
        heights = _positions(drawing, axes, np.column_stack([points.index, points]))[:, 1]
        inside = dict(zip(points.index, np.clip(heights, box[1], box[3]), strict=True))
        return [_rounded(inside.get(stop, np.nan)) for stop in stops]

    return {
        "box": box,
        "x": [_rounded(x) for x, _ in _positions(drawing, axes, [(stop, 1) for stop in stops])],
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


def scatter(drawing: Drawing, axes: Axes, groups: list[Spots]) -> dict:
    """A panel of points anywhere, of which the page shows the one nearest to the pointer.

    Returns:
        As `panel`, with a stop for each point that is in view, and scatter, which is true.
    """
    box = _box(drawing, axes)
    stops: list[tuple[int, float, float, str, str]] = []
    for number, group in enumerate(groups):
        positions = _positions(drawing, axes, group.points)
        inside = ((positions >= box[:2]) & (positions <= box[2:])).all(axis=1)
        stops += [
            (number, x, y, title, text)
            for (x, y), title, text, kept in zip(positions, group.titles, group.text, inside, strict=True)
            if kept
        ]
    return {
        "box": box,
        "scatter": True,
        "x": [_rounded(x) for _, x, *_ in stops],
        "titles": [title for *_, title, _ in stops],
        "series": [
            {
                "label": group.label,
                "colour": group.colour,
                "y": [_rounded(y) if own == number else None for own, _, y, *_ in stops],
                "text": [text if own == number else None for own, *_, text in stops],
            }
            for number, group in enumerate(groups)
        ],
    }


def _box(drawing: Drawing, axes: Axes) -> list[float]:
    """Left, top, right and bottom of a panel, as fractions of the figure."""
    (left, bottom), (right, top) = axes.get_window_extent().get_points() / drawing.bbox.size
    return [round(float(edge), 4) for edge in (left, 1 - top, right, 1 - bottom)]


def _positions(drawing: Drawing, axes: Axes, points: ArrayLike) -> np.ndarray:
    """Points of the data (n × 2), as fractions of the figure from its top left corner."""
    return np.array([0, 1]) + np.array([1, -1]) * axes.transData.transform(points) / drawing.bbox.size


def _rounded(position: float) -> float | None:
    return round(float(position), 4) if np.isfinite(position) else None

"""How every figure looks: sizes for a two-column paper, colours, and files without a clock in them.

Whatever loads the study imports this, so matplotlib and seaborn are imported where something is drawn.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from sharpness import files

if TYPE_CHECKING:
    import matplotlib.artist
    import matplotlib.axes
    import matplotlib.figure

Artist: TypeAlias = "matplotlib.artist.Artist"
Axes: TypeAlias = "matplotlib.axes.Axes"
Drawing: TypeAlias = "matplotlib.figure.Figure"

COLUMN = 3.5  # inches, the width of a column and of every figure

# seaborn's palette "colorblind".
BLUE, ORANGE, GREEN, VERMILION, PINK = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"
BROWN, ROSE, GREY, YELLOW, SKY = "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"
# Those that meet in one figure differ under each of the common colour blindnesses, by lightness if not by hue.
METHOD_COLOURS = {
    "sgd": "#333333",
    "sam": BLUE,
    "asam": GREEN,
    "sam-linf-as-run": VERMILION,
    "sam-linf-as-described": BROWN,
    "usam": ORANGE,
}
SPARE_COLOURS = (PINK, SKY, GREY, ROSE, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LOSS_CEILING = 100.0
LOSS_TICKS = np.array([digit * 10.0**power for power in range(-4, 2) for digit in (1, 2, 5)] + [LOSS_CEILING])
# The radius at which the report compares SAM with other methods: there it has its method's own colour.
MAIN_RADIUS = 0.05

# The parts of a plot of many runs, each in its method's colour; a key that stands for every colour has INK.
INK = "#555555"
MEAN = {"linewidth": 0.8, "linestyle": (0, (4, 1.5))}
BAND = {"alpha": 0.18, "linewidth": 0}
THIN = {"linewidth": 0.6}
CROSS = {"marker": "X", "markersize": 6, "markeredgecolor": "white", "linestyle": "none", "clip_on": False, "zorder": 4}
DROP = {"color": INK, "linewidth": 0.6, "linestyle": ":", "zorder": 1}

RC = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7.5,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that every machine draws the same
    "text.color": "black",
    "axes.labelcolor": "black",
    "xtick.color": "black",
    "ytick.color": "black",
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.bottom": True,
    "ytick.left": True,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "black",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "legend.labelspacing": 0.3,
    "pdf.fonttype": 42,
    "svg.hashsalt": "sharpness",
}
# Without these a file says when and by what it was made, and would differ from one drawing to the next.
METADATA = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}


@contextmanager
def paper() -> Iterator[None]:
    """Draw in the house style, whatever the reader's own matplotlibrc says."""
    import matplotlib
    import seaborn

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(seaborn.axes_style("whitegrid") | seaborn.plotting_context("paper") | RC)
        yield


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """The colour of each method: its own, or for a method without one the next of the spare colours."""
    import seaborn

    others = [method for method in methods if method not in METHOD_COLOURS]
    spare = SPARE_COLOURS if len(others) <= len(SPARE_COLOURS) else seaborn.husl_palette(len(others)).as_hex()
    return METHOD_COLOURS | dict(zip(others, spare, strict=False))


def markers(names: Iterable[object]) -> dict:
    """A marker for each of some names, which may repeat; more names than markers share them."""
    return dict(zip(dict.fromkeys(names), cycle(MARKERS), strict=False))


def shades(colour: str, radii: Sequence[float]) -> dict[float, str]:
    """A ramp around a method's colour: larger radii darker, smaller ones lighter.

    The main radius, or else the middle one, has the colour itself.
    """
    ordered = sorted(radii)
    main = ordered.index(MAIN_RADIUS) if MAIN_RADIUS in ordered else len(ordered) // 2
    above, below = len(ordered) - 1 - main, main
    return {
        radius: _blend(colour, "black", 0.75 * (i - main) / above)
        if i > main
        else _blend(colour, "white", 0.4 * (main - i) / max(below, 1))
        for i, radius in enumerate(ordered)
    }


def plain(text: str) -> str:
    """Text that matplotlib draws as it is: a dollar begins no formula, and a leading underscore hides no label."""
    return (" " if text.startswith("_") else "") + text.replace("$", r"\$")


def figure(height: float, text: str) -> Drawing:
    """An empty figure of a column's width and a height (inches), with a title."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(COLUMN, height), layout="constrained")
    title(drawing, text)
    return drawing


def title(drawing: Drawing, text: str) -> None:
    """Say above a figure, in small type, what its numbers are of."""
    drawing.suptitle(plain(text), x=0.02, horizontalalignment="left", fontsize=7, wrap=True)


def key(**look: object) -> Artist:
    """A legend's entry for a line or a marker, with its label."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **{"color": INK} | look)


def band_key(label: str) -> Artist:
    """A legend's entry for bands."""
    from matplotlib.patches import Patch

    return Patch(label=label, color=INK, **BAND)


def legend(drawing: Drawing, left: list[Artist], right: list[Artist]) -> None:
    """Add one legend below the axes, for which the figure grows: in two columns, or in one if two are too wide."""
    blank = [key(label=" ", linestyle="none")] * (len(right) - len(left))
    drawn = _legend(drawing, [*left, *blank, *right], ncols=2)
    if drawn.get_window_extent().width > drawing.bbox.width:
        drawn.remove()
        drawn = _legend(drawing, [*left, *right])
    drawing.set_figheight(drawing.get_figheight() + drawn.get_window_extent().height / drawing.dpi)


def _legend(drawing: Drawing, handles: list[Artist], **look: int) -> Artist:
    labels = [plain(str(handle.get_label())) for handle in handles]
    return drawing.legend(handles, labels, loc="outside lower center", **look)


def settle(drawing: Drawing) -> None:
    """Find the layout, once for all formats."""
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")


def name_curves(drawing: Drawing, colours: dict[str, str]) -> None:
    """Give all that has a curve's label or colour an id in the SVG, "curve0-…", by which the page switches it off."""
    from matplotlib.colors import to_hex
    from matplotlib.lines import Line2D

    by_label = {label: index for index, label in enumerate(colours)}
    by_colour = {to_hex(colour): index for index, colour in enumerate(colours.values())}
    for number, artist in enumerate(artist for axes in drawing.axes for artist in (*axes.lines, *axes.collections)):
        own = [artist.get_color()] if isinstance(artist, Line2D) else artist.get_facecolor()
        index = by_label.get(artist.get_label(), by_colour.get(to_hex(own[0])) if len(own) else None)
        if index is not None:
            artist.set_gid(f"curve{index}-{number}")


def save(drawing: Drawing, path: Path) -> None:
    """Write a figure in the format of the path's suffix (pdf, png, svg), the same bytes each time."""
    kind = path.suffix.removeprefix(".")
    with files.replacing(path) as temporary:
        drawing.savefig(temporary, format=kind, metadata=METADATA[kind])


def frame(axes: Axes, values: pd.Series, ticks: np.ndarray) -> None:
    """Fit the view to the values, and show those of the ticks that are in it: every third if they crowd.

    Where fewer than two are, matplotlib's own take their place. The view is widened to the next tick on a side where
    that is near, and spans 0.04 decades at least: what rounding does to equal values is nothing to look at.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

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


def _blend(colour: str, other: str, share: float) -> str:
    from matplotlib.colors import to_hex, to_rgb

    pairs = zip(to_rgb(colour), to_rgb(other), strict=True)
    return to_hex([(1 - share) * own + share * foreign for own, foreign in pairs])

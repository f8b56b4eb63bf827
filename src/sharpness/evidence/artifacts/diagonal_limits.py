"""The diagonal linear network: on which coordinate each start ends, and the predicted borders between them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sharpness.evidence import theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.hover import Spots, scatter
from sharpness.settings import require
from sharpness.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

ENDS = {0: ("x", "collapse to 0"), 1: ("o", "end on the minor coordinate"), 2: ("s", "end on the major coordinate")}

FASTER = {"linestyle": (0, (4, 2))}  # the border below which the minor coordinate is faster at first


@dataclass(frozen=True, kw_only=True)
class DiagonalLimits(theory.ShowsProblem, Figure):
    """A panel for each method in the plane of starts: a marker for where each ends, lines for the predicted borders."""

    kind = "diagonal_network"

    def check(self, study: Study) -> None:
        super().check(study)
        mu = self.spec(study)["mu"]
        require(len(mu) == 2 and mu[0] < mu[1], f"shows two coordinates, the minor one first; mu is {mu}")

    def data(self, study: Study) -> pd.DataFrame:
        """The columns of the problem."""
        return self.frame(study)

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """By method: the starts, those with a predicted end, how many ends and first coordinates are as predicted."""
        methods = {}
        for method, starts in data.groupby("method", sort=False):
            decided = starts[starts["assumed"] == 1]
            methods[method] = {
                "starts": len(starts),
                "decided": len(decided),
                "as_predicted": int((decided["error"] == 0).sum()),
                "first_as_predicted": int((starts["first_error"] == 0).sum()),
                "ends": {name: int((starts["end"] == end).sum()) for end, (_, name) in ENDS.items()},
                "minor_first": int(((starts["first"] == 1) & (starts["end"] == 2)).sum()),
            }
        return {"methods": methods, "mu": self.spec(study)["mu"], "rho": self.spec(study)["rho"]}

    def caption(self, study: Study) -> str:
        spec = self.spec(study)
        mu = " and ".join(f"{value:g}" for value in spec["mu"])
        return (
            f"{self.title} on the diagonal network, by its first weights; the example's coordinates are {mu}, "
            f"ρ = {spec['rho']:g}. Lines: the predicted borders. L2-SAM must collapse below the lower one and ends on "
            "the major coordinate above the upper one; below the dashed one its minor coordinate grows faster at "
            "first (hollow)."
        )

    def hover(self, study: Study, drawing: "Drawing", data: pd.DataFrame) -> list[dict]:
        """Where each start is, where it ends, and whether that was predicted."""
        panels = []
        for axes, method in zip(drawing.axes, dict.fromkeys(data["method"]), strict=True):
            groups = []
            for end, (_, name) in ENDS.items():
                starts = data[(data["method"] == method) & (data["end"] == end)]
                stops = [
                    f"start ({minor:.4g}, {major:.4g})" for minor, major in zip(starts["w1"], starts["w2"], strict=True)
                ]
                right = np.where(starts["error"] == 0, "as predicted", "not as predicted")
                text = np.where(starts["assumed"] == 1, right, "no prediction")
                groups.append(Spots(name, _colours()[end], starts[["w1", "w2"]].to_numpy(), stops, list(text)))
            panels.append(scatter(drawing, axes, groups))
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> "Drawing":
        from matplotlib.figure import Figure as Drawing
        from matplotlib.lines import Line2D

        from sharpness.evidence import style

        methods = list(dict.fromkeys(data["method"]))
        drawing = Drawing(figsize=(style.COLUMN, 1.75), layout="constrained")
        panels = drawing.subplots(1, len(methods), sharex=True, sharey=True, squeeze=False)[0]
        spec = self.spec(study)
        style.title(drawing, "Where each start of the diagonal network ends")
        colours = _colours()
        for axes, method in zip(panels, methods, strict=True):
            starts = data[data["method"] == method]
            for end, (marker, _) in ENDS.items():
                for first in (False, True):
                    points = starts[(starts["end"] == end) & ((starts["first"] == 1) == first)]
                    hollow = first and method == "sam-l2" and end == 2
                    look = {"color": colours[end], "markerfacecolor": "white" if hollow else colours[end]}
                    look |= {"marker": marker, "linestyle": "none", "markersize": 2.6, "markeredgewidth": 0.7}
                    axes.plot(points["w1"], points["w2"], **look)
            _draw_borders(axes, method, *spec["mu"], spec["rho"])
            low, high = spec["start"]
            axes.set(xscale="log", yscale="log", xlim=(low / 1.3, high * 1.3), ylim=(low / 1.3, high * 1.3))
            axes.set(title=theory.LAWS[method], xlabel="minor weight")
        panels[0].set_ylabel("major weight")
        shown = [
            Line2D([], [], color=colours[end], marker=marker, linestyle="none", label=name)
            for end, (marker, name) in ENDS.items()
        ]
        hollow = {"color": colours[2], "marker": ENDS[2][0], "markerfacecolor": "white", "linestyle": "none"}
        shown.append(Line2D([], [], **hollow, label="so too, the minor one faster at first"))
        borders = [
            Line2D([], [], **theory.PREDICTED, label="predicted border"),
            Line2D([], [], **theory.PREDICTED | FASTER, label="below it the minor one is faster at first"),
        ]
        style.legend(drawing, shown, borders)
        return drawing


def _colours() -> dict[int, str]:
    from sharpness.evidence import style

    return {0: "#333333", 1: style.ORANGE, 2: style.BLUE}


def _draw_borders(axes: "Axes", method: str, minor: float, major: float, rho: float) -> None:
    if method == "sam-linf":
        theory.draw_border(axes, [1e-3, 1e3], [rho, rho])
        theory.draw_border(axes, [rho, rho], [1e-3, rho])
    if method == "sam-l2":  # κ = √2 ‖μ ∘ w‖/ρ is an ellipse
        angles = np.radians(np.linspace(0.01, 89.99, 200))
        for kappa, look in ((minor, {}), (major, {}), (minor + major, FASTER)):
            radius = kappa * rho / 2**0.5
            theory.draw_border(axes, radius * np.cos(angles) / minor, radius * np.sin(angles) / major, **look)


KIND = DiagonalLimits

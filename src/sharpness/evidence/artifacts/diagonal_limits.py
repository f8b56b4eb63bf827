"""The diagonal linear network: on which coordinate each start ends, and the predicted borders between them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.hover import Spots, scatter
from sharpness.evidence.style import Axes, Drawing
from sharpness.settings import require
from sharpness.study import Study

# What the starts do that reach each end, and how they are drawn.
ENDS = {
    0: ("collapse to 0", {"marker": "x", "color": "#333333"}),
    1: ("end on the minor coordinate", {"marker": "o", "color": style.ORANGE}),
    2: ("end on the major coordinate", {"marker": "s", "color": style.BLUE}),
}
SMALL, HOLLOW = {"markersize": 2.6, "markeredgewidth": 0.7}, {"markerfacecolor": "white"}
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
                "ends": {name: int((starts["end"] == end).sum()) for end, (name, _) in ENDS.items()},
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

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        """Where each start is, where it ends, and whether that was predicted."""
        panels = []
        for axes, method in zip(drawing.axes, dict.fromkeys(data["method"]), strict=True):
            groups = []
            for end, (name, look) in ENDS.items():
                starts = data[(data["method"] == method) & (data["end"] == end)]
                stops = [
                    f"start ({minor:.4g}, {major:.4g})" for minor, major in zip(starts["w1"], starts["w2"], strict=True)
                ]
                right = np.where(starts["error"] == 0, "as predicted", "not as predicted")
                text = np.where(starts["assumed"] == 1, right, "no prediction")
                groups.append(Spots(name, look["color"], starts[["w1", "w2"]].to_numpy(), stops, list(text)))
            panels.append(scatter(drawing, axes, groups))
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        methods = list(dict.fromkeys(data["method"]))
        drawing = style.figure(1.75, "Where each start of the diagonal network ends")
        panels = drawing.subplots(1, len(methods), sharex=True, sharey=True, squeeze=False)[0]
        spec = self.spec(study)
        for axes, method in zip(panels, methods, strict=True):
            starts = data[data["method"] == method]
            for end, (_, look) in ENDS.items():
                for first in (False, True):
                    points = starts[(starts["end"] == end) & ((starts["first"] == 1) == first)]
                    fill = HOLLOW if first and method == "sam-l2" and end == 2 else {}
                    axes.plot(points["w1"], points["w2"], linestyle="none", **SMALL, **look, **fill)
            _draw_borders(axes, method, *spec["mu"], spec["rho"])
            low, high = spec["start"]
            axes.set(xscale="log", yscale="log", xlim=(low / 1.3, high * 1.3), ylim=(low / 1.3, high * 1.3))
            axes.set(title=theory.LAWS[method], xlabel="minor weight")
        panels[0].set_ylabel("major weight")
        shown = [style.key(label=name, linestyle="none", **look) for name, look in ENDS.values()]
        hollow = "so too, the minor one faster at first"
        shown.append(style.key(label=hollow, linestyle="none", **ENDS[2][1], **HOLLOW))
        borders = [
            style.key(**theory.PREDICTED, label="predicted border"),
            style.key(**theory.PREDICTED | FASTER, label="below it the minor one is faster at first"),
        ]
        style.legend(drawing, shown, borders)
        return drawing


def _draw_borders(axes: Axes, method: str, minor: float, major: float, rho: float) -> None:
    if method == "sam-linf":
        theory.draw_border(axes, [1e-3, 1e3], [rho, rho])
        theory.draw_border(axes, [rho, rho], [1e-3, rho])
    if method == "sam-l2":  # κ = √2 ‖μ ∘ w‖/ρ is an ellipse
        angles = np.radians(np.linspace(0.01, 89.99, 200))
        for kappa, look in ((minor, {}), (major, {}), (minor + major, FASTER)):
            radius = kappa * rho / 2**0.5
            theory.draw_border(axes, radius * np.cos(angles) / minor, radius * np.sin(angles) / major, **look)


KIND = DiagonalLimits

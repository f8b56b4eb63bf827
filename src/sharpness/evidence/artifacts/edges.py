"""The largest Hessian eigenvalue by step, and the edge at which theory says that it settles."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sharpness.evidence import theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.hover import panel
from sharpness.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

TICKS = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100])


@dataclass(frozen=True, kw_only=True)
class Edges(theory.ShowsProblem, Figure):
    """A panel for each step size (columns) and law with its radius (rows): points are measured, lines edges."""

    kind = "edge_of_stability"

    def data(self, study: Study) -> pd.DataFrame:
        """The columns of the problem."""
        return self.frame(study)

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """A row for each descent: eigenvalue, edge and their ratio less 1, means over the second half of the steps."""
        late = data[data["step"] >= data["step"].max() / 2].assign(off=data["eigenvalue"] / data["edge"] - 1)
        rows = (
            late.groupby(["law", "learning_rate", "rho"], sort=False)[["eigenvalue", "edge", "off"]]
            .mean()
            .reset_index()
        )
        by_law = {
            law: {"lowest": group["off"].min(), "highest": group["off"].max(), "n": len(group)}
            for law, group in rows.groupby("law", sort=False)
        }
        kept = ("images", "width", "layers", "steps")
        return {"rows": rows, "laws": by_law, "network": {name: self.spec(study)[name] for name in kept}}

    def caption(self, study: Study) -> str:
        spec = self.spec(study)
        return (
            f"{self.title}: full-batch descents on {counted(spec['images'], 'digit')}, a tanh network with "
            f"{counted(spec['layers'], 'hidden layer')} of {counted(spec['width'], 'unit')}."
        )

    def hover(self, study: Study, drawing: "Drawing", data: pd.DataFrame) -> list[dict]:
        colours = theory.colours(list(dict.fromkeys(data["law"])))
        rows = list(dict.fromkeys(zip(data["law"], data["rho"], strict=True)))
        places = [(law, rho, rate) for law, rho in rows for rate in sorted(data["learning_rate"].unique())]
        panels = []
        for axes, (law, rho, rate) in zip(drawing.axes, places, strict=True):
            path = data[(data["law"] == law) & (data["rho"] == rho) & (data["learning_rate"] == rate)]
            series = [theory.hover_curve(theory.LAWS[law], colours[law], path, "step", "eigenvalue", "edge")]
            panels.append(panel(drawing, axes, "largest eigenvalue, step ", series))
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> "Drawing":
        from matplotlib.figure import Figure as Drawing
        from matplotlib.lines import Line2D

        from sharpness.evidence import style

        rows = list(dict.fromkeys(zip(data["law"], data["rho"], strict=True)))
        rates = sorted(data["learning_rate"].unique())
        drawing = Drawing(figsize=(style.COLUMN, 0.6 + 0.85 * len(rows)), layout="constrained")
        panels = drawing.subplots(len(rows), len(rates), sharex=True, sharey=True, squeeze=False)
        style.title(drawing, "Largest Hessian eigenvalue by step, and the edge of each method")
        colours = theory.colours(list(dict.fromkeys(data["law"])))
        markers = dict(zip(dict.fromkeys(data["law"]), style.MARKERS, strict=False))
        for row, (law, rho) in enumerate(rows):
            for column, rate in enumerate(rates):
                axes = panels[row, column]
                path = data[(data["law"] == law) & (data["rho"] == rho) & (data["learning_rate"] == rate)]
                axes.plot(path["step"], path["edge"], **theory.PREDICTED)
                look = theory.MEASURED | {"markeredgewidth": 0.3, "markevery": max(len(path) // 10, 1)}
                axes.plot(path["step"], path["eigenvalue"], color=colours[law], marker=markers[law], **look)
                if row == 0:
                    axes.set_title(f"η = {rate:g}")
                if row == len(rows) - 1:
                    axes.set_xlabel("Step")
            name = theory.LAWS[law] if rho else "GD"
            panels[row, 0].set_ylabel(f"{name}\nρ = {rho:g}" if rho else name)
        panels[0, 0].set_yscale("log")
        style.frame(panels[0, 0], pd.concat([data["eigenvalue"], data["edge"]]), TICKS)
        shown = [
            Line2D([], [], color=colours[law], marker=marker, **theory.MEASURED, label=f"{theory.LAWS[law]}, measured")
            for law, marker in markers.items()
        ]
        drawing.align_ylabels()
        style.legend(drawing, shown, theory.legend_keys(predicted="predicted edge")[:1])
        return drawing


KIND = Edges

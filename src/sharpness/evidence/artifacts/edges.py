"""The largest Hessian eigenvalue by step, and the edge at which theory says that it settles."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style, theory
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.hover import panel
from sharpness.evidence.style import Drawing
from sharpness.study import Study

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

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        colours = theory.colours(data["law"])
        panels = []
        for axes, (law, _, _, path) in zip(drawing.axes, _descents(data), strict=True):
            series = [theory.hover_curve(theory.LAWS[law], colours[law], path, "step", "eigenvalue", "edge")]
            panels.append(panel(drawing, axes, "largest eigenvalue, step ", series))
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        rates = data["learning_rate"].unique()
        rows = len(data[["law", "rho"]].drop_duplicates())
        drawing = style.figure(0.6 + 0.85 * rows, "Largest Hessian eigenvalue by step, and the edge of each method")
        panels = drawing.subplots(rows, len(rates), sharex=True, sharey=True, squeeze=False)
        colours, markers = theory.colours(data["law"]), style.markers(data["law"])
        for axes, (law, rho, rate, path) in zip(panels.flat, _descents(data), strict=True):
            axes.plot(path["step"], path["edge"], **theory.PREDICTED)
            look = theory.MEASURED | {"markeredgewidth": 0.3, "markevery": max(len(path) // 10, 1)}
            axes.plot(path["step"], path["eigenvalue"], color=colours[law], marker=markers[law], **look)
            place = axes.get_subplotspec()
            if place.is_first_row():
                axes.set_title(f"η = {rate:g}")
            if place.is_last_row():
                axes.set_xlabel("Step")
            if place.is_first_col():
                axes.set_ylabel(f"{theory.LAWS[law]}\nρ = {rho:g}" if rho else "GD")
        panels[0, 0].set_yscale("log")
        style.frame(panels[0, 0], pd.concat([data["eigenvalue"], data["edge"]]), TICKS)
        drawing.align_ylabels()
        style.legend(drawing, theory.law_keys(markers), [theory.predicted_key("predicted edge")])
        return drawing


def _descents(data: pd.DataFrame) -> Iterator[tuple[str, float, float, pd.DataFrame]]:
    """The law, the radius, the step size and the rows of each panel, one row of panels after the other."""
    for law, rho in dict.fromkeys(zip(data["law"], data["rho"], strict=True)):
        for rate in sorted(data["learning_rate"].unique()):
            yield law, rho, rate, data[(data["law"] == law) & (data["rho"] == rho) & (data["learning_rate"] == rate)]


KIND = Edges

"""Matrix sensing: the loss by step at several radii (the original's Figure 5)."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style, titles
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import counted
from sharpness.evidence.hover import Series, panel
from sharpness.evidence.sensing import ShowsSweep
from sharpness.evidence.style import Drawing
from sharpness.study import Study


@dataclass(frozen=True, kw_only=True)
class MatrixSensingCurves(ShowsSweep, Figure):
    """A panel for each radius, a curve for each method: median and range of the loss over the draws."""

    def data(self, study: Study) -> pd.DataFrame:
        """The columns label, method, rho, step, draws, diverged (draws whose loss is inf), and the loss's median,
        minimum and maximum over the draws.
        """
        data = self.spread(study)
        data.insert(0, "label", data["method"].map(titles.STEPS))
        return data.rename(columns={"loss_median": "median", "loss_min": "minimum", "loss_max": "maximum"})

    def caption(self, study: Study) -> str:
        draws = counted(self.spec(study)["draws"], "draw")
        return f"{self.title}: the loss before each step, median and range over {draws}."

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """Each curve's median loss before the last step, and its lowest one."""
        curves = []
        for (label, rho), curve in data.groupby(["label", "rho"], sort=False):
            last, lowest = curve.iloc[-1], curve.loc[curve["median"].idxmin()]
            ends = {"last": last["median"], "last_step": last["step"]}
            curves.append(
                {"label": label, "rho": rho, **ends, "lowest": lowest["median"], "lowest_step": lowest["step"]}
            )
        return {"curves": curves}

    def hover(self, study: Study, drawing: Drawing, data: pd.DataFrame) -> list[dict]:
        panels, colours = [], style.method_colours(list(data["method"].unique()))
        for axes, (rho, group) in zip(drawing.axes, data.groupby("rho", sort=False), strict=True):
            series = []
            for method, curve in group.groupby("method", sort=False):
                text = [f"{row.median:.3g} ({row.minimum:.3g} to {row.maximum:.3g})" for row in curve.itertuples()]
                medians = curve.set_index("step")["median"]
                series.append(Series(titles.STEPS[method], colours[method], medians, text))
            panels.append(panel(drawing, axes, f"median loss, ρ = {rho:g}, step ", series))
        return panels

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        from matplotlib.ticker import MaxNLocator

        radii = list(dict.fromkeys(data["rho"]))
        drawing = style.figure(2.0, f"Matrix sensing: {self.setting(study)}")
        panels = drawing.subplots(1, len(radii), sharex=True, sharey=True, squeeze=False)[0]
        colours = style.method_colours(list(data["method"].unique()))
        handles = {}
        for axes, rho in zip(panels, radii, strict=True):
            for index, (method, curve) in enumerate(data[data["rho"] == rho].groupby("method", sort=False)):
                points = curve[np.isfinite(curve["median"])]
                line = {"color": colours[method], "marker": style.MARKERS[index]}
                axes.fill_between(
                    points["step"], points["minimum"], points["maximum"], color=line["color"], **style.BAND
                )
                axes.plot(points["step"], points["median"], **line)
                if len(points) < len(curve):
                    axes.plot(points["step"].tail(1), points["median"].tail(1), color=line["color"], **style.CROSS)
                handles[method] = style.key(**line, label=titles.STEPS[method])
            axes.set(title=f"ρ = {rho:g}", xlabel="Step", yscale="log")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panels[0].set_ylabel("Loss")
        losses = pd.concat([data["minimum"], data["maximum"]])
        if losses.between(style.LOSS_TICKS[0], style.LOSS_CEILING).all():
            style.frame(panels[0], losses, style.LOSS_TICKS)
        keys = [
            style.key(label=f"median of {counted(data['draws'].iloc[0], 'draw')}"),
            style.band_key("range over draws"),
        ]
        if np.isinf(data["median"]).any():
            keys.append(style.key(**style.CROSS, label="diverged here"))
        style.legend(drawing, list(handles.values()), keys)
        return drawing


KIND = MatrixSensingCurves

"""The L^p balls, and where the ascent step of one gradient ends on each (the original's Figure 2)."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sharpness.evidence import style
from sharpness.evidence.artifact import Figure
from sharpness.evidence.style import Drawing
from sharpness.study import Study

GRADIENT = np.array([2.0, 1.0])


@dataclass(frozen=True, kw_only=True)
class Balls(Figure):
    """The balls for p = 1, 2 and ∞ in the plane, in units of ρ."""

    def data(self, study: Study) -> pd.DataFrame:
        """The boundary of each ball, and where the ascent step of GRADIENT ends.

        Returns:
            The columns label, p, curve ("ball" or "step"), x, y, for p = 1, 2 and ∞; and for p = ∞ also the step as the
            original's code takes it, ρ g/‖g‖_∞.
        """
        angles = np.radians(np.arange(361))
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        curves = [("p = ∞, as run", math.inf, "step", GRADIENT / np.abs(GRADIENT).max())]
        for label, p in (("p = ∞, as described", math.inf), ("p = 2 (SAM)", 2.0), ("p = 1", 1.0)):
            curves.append((label, p, "ball", circle / np.linalg.norm(circle, p, axis=1, keepdims=True)))
            curves.append((label, p, "step", ascent_step(GRADIENT, p)))
        return pd.concat(
            [
                pd.DataFrame(np.atleast_2d(points), columns=["x", "y"]).assign(label=label, p=p, curve=curve)
                for label, p, curve, points in curves
            ],
            ignore_index=True,
        )[["label", "p", "curve", "x", "y"]]

    def caption(self, study: Study) -> str:
        return (
            f"{self.title}. The step that the original ran as L∞ points along the gradient, to the surface of the cube "
            "and beyond the other two balls."
        )

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        methods = style.METHOD_COLOURS
        colours = [methods["sam-linf-as-run"], methods["sam-linf-as-described"], methods["sam"], style.SKY]
        drawing = style.figure(
            3.0, f"One gradient, ({GRADIENT[0]:g}, {GRADIENT[1]:g}): its ascent step on each ball of radius ρ"
        )
        axes = drawing.subplots()
        handles = []
        for (label, curves), colour, marker in zip(
            data.groupby("label", sort=False), colours, style.MARKERS, strict=False
        ):
            ball, step = curves[curves["curve"] == "ball"], curves[curves["curve"] == "step"]
            axes.plot(ball["x"], ball["y"], color=colour)
            # The step as run comes first and is wider, since SAM's, of the same direction, covers it.
            axes.plot([0, *step["x"]], [0, *step["y"]], color=colour, linewidth=1.1 if len(ball) else 3)
            axes.plot(step["x"], step["y"], color=colour, marker=marker, markersize=6, zorder=3)
            handles.append(style.key(color=colour, marker=marker, label=label))
        axes.set_aspect("equal")
        ticks, texts = [-1, 0, 1], ["−ρ", "0", "ρ"]
        axes.set(xticks=ticks, yticks=ticks, xticklabels=texts, yticklabels=texts, xlabel="ε₁", ylabel="ε₂")
        style.legend(drawing, handles[2:], handles[:2])
        return drawing


def ascent_step(gradient: np.ndarray, p: float, rho: float = 1.0) -> np.ndarray:
    """The ε of ‖ε‖_p ≤ rho that maximises ⟨gradient, ε⟩: rho sign(g) |g|^(q−1) / ‖g‖_q^(q−1) with 1/p + 1/q = 1.

    For p = 1 it is the limit, the largest coordinate alone.
    """
    size = np.abs(gradient)
    if p == 1:
        return rho * np.sign(gradient) * (np.arange(len(size)) == size.argmax())
    q = 1.0 if math.isinf(p) else p / (p - 1)
    return rho * np.sign(gradient) * size ** (q - 1) / np.linalg.norm(size, q) ** (q - 1)


KIND = Balls

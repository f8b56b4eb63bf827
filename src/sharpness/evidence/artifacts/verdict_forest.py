"""The verdicts as a forest plot: for each part of each finding its effect, its interval and what matters."""

import textwrap
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pandas as pd

from sharpness.evidence import style, titles
from sharpness.evidence.artifact import Figure
from sharpness.evidence.claims import judge_claims
from sharpness.evidence.formatting import MARKDOWN
from sharpness.evidence.style import Axes, Drawing
from sharpness.evidence.verdicts import CONTRADICTED, INCONCLUSIVE, SUPPORTED, of_share
from sharpness.jobs import Job
from sharpness.study import Part, Study

MEAN, SHARE = "mean", "share"
AXES = {
    MEAN: "Effect ÷ the smallest that matters (log beyond ±1)",
    SHARE: "Share of runs, draws or starts",
}
# Each verdict has a colour and a shape of its own, the same colours as in the report.
LOOKS = {
    SUPPORTED: {"color": "#14663a", "marker": "o", "markersize": 4.4},
    CONTRADICTED: {"color": "#a3261a", "marker": "X", "markersize": 5.4, "markeredgewidth": 0.4},
    INCONCLUSIVE: {"color": "#8a6a00", "marker": "D", "markersize": 4.0, "markerfacecolor": "white"},
}
RIGHT_SIDE = "#dedede"
# All in inches: the figure's parts from the top, a line of text and what is around it, and the columns from the left.
TITLE, AXIS, LEGEND = 0.22, 0.37, 0.3
LINE, ROW_GAP, CLAIM_GAP = 0.097, 0.034, 0.07
MARK, NAME, STATEMENT, LEFT, RIGHT, VALUE = 0.07, 0.14, 0.4, 1.83, 2.9, 3.46
CHARACTERS = 28  # of a statement's line
SMALL = 6.2


@dataclass(frozen=True, kw_only=True)
class VerdictForest(Figure):
    """The findings of the report's part in which its section is: those of Part I, or the predictions of Part II."""

    prefix = "forest"
    judges = True

    @property
    def label(self) -> str:
        return f"Forest plot {self.number}"

    def _judged(self, study: Study) -> Study:
        """The study with the claims of its own part alone."""
        theory = self.section in study.theory
        return replace(study, claims=[claim for claim in study.claims if (claim.section in study.theory) == theory])

    def _setting(self, study: Study) -> str:
        """What its jobs have in common: those of Part II train on no data set."""
        return study.settings["title"] if self.section in study.theory else titles.training(study)

    def jobs(self, study: Study) -> list[Job]:
        """All of its part of the report: what a claim measures need not be shown by a table or figure."""
        theory = self.section in study.theory
        problems = [name for section, names in study.sections.items() for name in names
                    if (section in study.theory) == theory]  # fmt: skip
        return [*(() if theory else study.runs.values()), *(study.problems[name] for name in problems)]

    def data(self, study: Study) -> pd.DataFrame:
        """The parts of its claims, one row each.

        Returns:
            The columns claim, finding, found (the claim's verdict), part, statement, measure ("mean" or "share"),
            test, margin (the effect, or share, that decides), effect, low, high, n, verdict, reason; right_from and
            right_to, between which the effect supports the part; and at, at_low, at_high, at which the effect and its
            interval are drawn: means in multiples of the margin, shares as they are.
        """
        judged = self._judged(study)
        rows = judge_claims(judged).set_index("claim")
        return pd.DataFrame(
            [
                {
                    "claim": claim.name,
                    "finding": claim.statement,
                    "found": rows.at[claim.name, "verdict"],
                    "part": part.name,
                    "statement": part.statement,
                    **_scaled(part.test, rows.loc[part.name]),
                }
                for claim in judged.claims
                for part in claim.parts
            ]
        ).astype({"n": "Int64"})

    def caption(self, study: Study) -> str:
        points = "" if self.section in study.theory else " (accuracies in points)"
        return (
            f"{self.title}, {self._setting(study)}: each part's effect with its {100 * study.level:g} % interval, "
            f"grey where it is as the finding says. Means are divided by the smallest effect that matters; at the "
            f"right they are as measured{points}."
        )

    def facts(self, study: Study, data: pd.DataFrame) -> dict:
        """What decides each finding, in a clause."""
        parts = {part.name: part for claim in self._judged(study).claims for part in claim.parts}
        because = {}
        for claim, rows in data.groupby("claim", sort=False):
            deciding = rows[rows["verdict"] == rows["found"]]
            # The part that is furthest on the wrong side, or nearest to it: it stands for the others.
            row = deciding.loc[_lead(deciding).idxmin()]
            because[claim] = _because(study, parts[row["part"]], row)
        return {"because": because}

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        import matplotlib.figure

        blocks = [(measure, list(rows)) for measure, rows in groupby(data.itertuples(), key=lambda row: row.measure)]
        height = TITLE + sum(_height(rows) + AXIS for _, rows in blocks) + LEGEND
        drawing = matplotlib.figure.Figure(figsize=(style.COLUMN, height))
        drawing.text(0.02, 1 - 0.04 / height, self._setting(study), va="top", fontsize=7, parse_math=False)
        parts = {part.name: part for claim in study.claims for part in claim.parts}
        bottom = height - TITLE
        for measure, rows in blocks:
            extent = _height(rows)
            bottom -= extent
            width = style.COLUMN
            axes = drawing.add_axes((LEFT / width, bottom / height, (RIGHT - LEFT) / width, extent / height))
            axes.set(ylim=(extent, 0), yticks=[])
            axes.grid(visible=False)
            axes.spines["left"].set_visible(False)
            _scale(axes, measure, rows)
            _draw_block(axes, rows, parts)
            bottom -= AXIS
        _add_legend(drawing)
        return drawing


def _scaled(test: dict, judged: pd.Series) -> dict:
    """A part's judgement, with its places on the axis and the range in which its effect supports it."""
    if of_share(test):
        measure, margin, unit = SHARE, test["share"], 1.0
        one = 1 / judged["n"] if judged["n"] else 0.0  # one value is enough for a claim that there is such a value
        right = (margin, 1.0) if test["kind"] == "proportion" else (one, 1.0)
    elif test["kind"] == "difference":
        measure, margin, unit = MEAN, test["smallest_effect"], test["smallest_effect"]
        right = (1.0, np.inf)
    else:
        measure, margin, unit = MEAN, test["margin"], test["margin"]
        right = (-1.0, 1.0)
    own = {key: judged[key] for key in ("effect", "low", "high")}
    places = {f"at{key.removeprefix('effect') and '_' + key}": value / unit for key, value in own.items()}
    return {
        "measure": measure,
        "test": test["kind"],
        "margin": margin,
        **own,
        "n": judged["n"],
        "verdict": judged["verdict"],
        "reason": judged["reason"],
        "right_from": right[0],
        "right_to": right[1],
        **places,
    }


def _lead(rows: pd.DataFrame) -> pd.Series:
    """How far each effect is inside the range that supports its part; what was not measured is last of all."""
    inside = np.minimum(rows["at"] - rows["right_from"], rows["right_to"] - rows["at"])
    share = (rows["measure"] == SHARE).to_numpy()
    return pd.Series(np.where(share, rows["at"] - rows["right_from"], inside), rows.index).fillna(-np.inf)


def _because(study: Study, part: Part, row: pd.Series) -> str:
    """What was found of a part, in a clause."""
    statement, quantity = row["statement"].rstrip("."), part.quantity
    if row["measure"] == SHARE or not np.isfinite(row["effect"]):
        return f"{statement}: {row['reason']}"
    found = quantity.in_words(study, row["effect"]) or f"{statement}: {quantity.written(row['effect'])}"
    if not np.isfinite(row["low"]):
        return f"{found}; {row['reason']}"
    low, high, margin = (quantity.written(row[key]) for key in ("low", "high", "margin"))
    return f"{found} (interval {low} to {high}; {margin.removeprefix('+')} matters)"


def _lines(row) -> list[str]:
    return textwrap.wrap(row.statement.replace(" = ", "\u00a0=\u00a0"), CHARACTERS)


def _row_height(row) -> float:
    return LINE * len(_lines(row)) + ROW_GAP


def _height(rows: list) -> float:
    """What some rows take, with the gaps between findings."""
    return sum(map(_row_height, rows)) + CLAIM_GAP * (len({row.claim for row in rows}) - 1)


def _scale(axes: Axes, measure: str, rows: list) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xlabel(AXES[measure], fontsize=SMALL, labelpad=1.5, loc="right")
    axes.tick_params(axis="x", labelsize=SMALL, pad=1.5)
    if measure == SHARE:
        axes.set(xlim=(-0.03, 1.03), xticks=[0, 0.25, 0.5, 0.75, 1], xticklabels=["0", "¼", "½", "¾", "1"])
        return
    values = np.array([(row.at, row.at_low, row.at_high) for row in rows], dtype=float)
    values = values[np.isfinite(values)]
    low, high = min(values.min(initial=0), -3) * 1.4, max(values.max(initial=0), 3) * 1.4
    axes.set_xscale("symlog", linthresh=1, linscale=0.7)
    powers = 10.0 ** np.arange(0, 7)
    ticks = np.array([*-powers[::-1], 0, *powers])
    ticks = ticks[(ticks > low) & (ticks < high)]
    axes.set_xlim(low, high)
    crowded = len(ticks) > 5  # then the outermost alone of those beyond ±1 are named
    named = [tick for tick in ticks if abs(tick) <= 1 or not crowded or tick in (ticks[0], ticks[-1])]
    axes.set_xticks(ticks, [f"{tick:g}".replace("-", MARKDOWN.minus) if tick in named else "" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def _draw_block(axes: Axes, rows: list, parts: dict[str, Part]) -> None:
    """The rows of one axis from the top; beside the first of each finding its name, and the mark of its verdict."""
    left, right = axes.get_xlim()
    if rows[0].measure == MEAN:
        axes.axvline(0, color="black", linewidth=0.6, zorder=1)
    claim, top = None, 0.0
    for row in rows:
        height = _row_height(row)
        if row.claim != claim:
            if claim is not None:
                rule = top + CLAIM_GAP / 2
                ends = [_place(axes, x, rule) for x in (0.03, VALUE)]
                axes.plot(
                    *zip(*ends, strict=True), transform=axes.transAxes, clip_on=False, color="#bbbbbb", linewidth=0.4
                )
                top += CLAIM_GAP
            claim = row.claim
            first = top + (ROW_GAP + LINE) / 2
            _mark(axes, MARK, first, row.found)
            _write(axes, NAME, first, claim, fontweight="bold")
        middle = top + height / 2
        between = [top + 0.008, top + height - 0.008]
        start, stop = max(row.right_from, left), min(row.right_to, right)
        axes.fill_betweenx(between, start, stop, color=RIGHT_SIDE, linewidth=0, zorder=0)
        if row.measure == SHARE:
            axes.plot([row.margin] * 2, between, color="black", linewidth=0.6, zorder=1)
        _write(axes, STATEMENT, middle, "\n".join(_lines(row)))
        look = LOOKS[row.verdict]
        if np.isfinite(row.at_low):
            axes.plot([row.at_low, row.at_high], [middle] * 2, color=look["color"], linewidth=1.2, zorder=2)
        if np.isfinite(row.at):
            axes.plot([row.at], [middle], linestyle="none", zorder=3, clip_on=False, **look)
        _write(axes, VALUE, middle, _value(parts[row.part], row), ha="right")
        top += height


def _value(part: Part, row) -> str:
    if not np.isfinite(row.effect):
        return "unmeasured"
    if row.measure == SHARE:
        return f"{round(row.effect * row.n)} of {row.n}"
    return part.quantity.written(row.effect)


def _write(axes: Axes, x: float, y: float, text: str, ha: str = "left", **font) -> None:
    """Text in the middle of which a place is, in inches from the figure's left edge and the top of the axes."""
    look = {
        "fontsize": SMALL,
        "linespacing": 1.1,
        "parse_math": False,
        "va": "center_baseline" if "\n" not in text else "center",
    }
    axes.text(*_place(axes, x, y), text, transform=axes.transAxes, ha=ha, **look, **font)


def _mark(axes: Axes, x: float, y: float, verdict: str) -> None:
    axes.plot(*_place(axes, x, y), transform=axes.transAxes, linestyle="none", clip_on=False, **LOOKS[verdict])


def _place(axes: Axes, x: float, y: float) -> tuple[float, float]:
    return (x - LEFT) / (RIGHT - LEFT), 1 - y / axes.get_ylim()[0]


def _add_legend(drawing: Drawing) -> None:
    from matplotlib.patches import Patch

    marks = [style.key(linewidth=1.2, label=verdict, **look) for verdict, look in LOOKS.items()]
    grey = Patch(facecolor=RIGHT_SIDE, label="as the finding says")
    place = {"loc": "lower left", "bbox_to_anchor": (0.0, 0.0), "borderaxespad": 0.2, "ncols": 2}
    drawing.legend(handles=[*marks, grey], **place)


KIND = VerdictForest

"""The study's figures: what they draw, how they look, where their values are, their files."""

import contextlib
import json
import math
import os
import re
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import projects
import pytest
import seaborn
import synthetic
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.text import Text
from PIL import Image
from synthetic import record

from sharpness.errors import UserError
from sharpness.evidence import style
from sharpness.evidence.artifacts.balls import ascent_step
from sharpness.evidence.runs import read_histories
from sharpness.study import load_study

FIGURES = ["figure1", "figure2", "figure3", "figure4", "figure5"]
CURVES = ["figure1", "figure3", "figure4"]


def laptop_study(folder):
    """Forty epochs and three seeds; one seed of each of Figures 1, 3 and 4 diverges, the shown one in Figure 3."""
    study = synthetic.project(folder, "laptop")
    diverging = {
        synthetic.find(study, rho=0.5, seed=10)[0]: 20,
        synthetic.find(study, method="sam-linf-as-described", seed=42)[0]: 12,
        synthetic.find(study, network="wide_resnet", method="asam", seed=0)[0]: 1,
    }
    with contextlib.chdir(folder):
        synthetic.write_all(study, diverging)
        synthetic.write_sensing(study)
    return study


@pytest.fixture(scope="module")
def laptop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laptop")
    return folder, laptop_study(folder)


@pytest.fixture
def study(laptop, monkeypatch):
    """The laptop study, shared by tests that only read it."""
    monkeypatch.chdir(laptop[0])
    return laptop[1]


@pytest.fixture
def own_study(tmp_path, monkeypatch):
    """A laptop study for one test to change."""
    monkeypatch.chdir(tmp_path)
    return laptop_study(tmp_path)


@pytest.fixture(scope="module")
def smoke_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("smoke")
    study = synthetic.project(folder, "smoke")
    with contextlib.chdir(folder):
        synthetic.write_all(study)
        synthetic.write_sensing(study)
    return folder, study


@pytest.fixture
def smoke(smoke_folder, monkeypatch):
    """Two epochs, and a single seed but for Figure 1; for tests that only read it."""
    monkeypatch.chdir(smoke_folder[0])
    return smoke_folder[1]


@pytest.fixture(params=["study", "smoke"])
def any_study(request):
    return request.getfixturevalue(request.param)


def drawn(study, name):
    artifact = study.artifact(name)
    data = artifact.data(study)
    with style.paper():
        figure = artifact.draw(study, data)
        style.settle(figure)
    return figure, data


def legend_of(figure):
    (legend,) = figure.legends
    return {text.get_text(): handle for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)}


def line(axes, label, data, curve, quantity):
    """The line of the axes that has the points of one of the CSV's curves, but for a logarithm's rounding."""
    points = data[(data["label"] == label) & (data["curve"] == curve)]
    points = points[np.isfinite(points["test_loss"])]
    return next(
        found
        for found in axes.lines
        if list(found.get_xdata()) == list(points["epoch"])
        and list(found.get_ydata()) == pytest.approx(list(points[quantity]), rel=1e-12)
    )


# What is drawn


@pytest.mark.parametrize("name", CURVES)
def test_curves_are_the_histories_and_their_mean_and_range(study, name):
    figure, data = drawn(study, name)
    artifact = study.artifact(name)
    shown_runs = {job.id for job in artifact.jobs(study)}
    histories = read_histories(artifact.jobs(study))
    for (label, method, rho), curves in data.groupby(["label", "method", "rho"], dropna=False):
        values = {"method": method} if method == "sgd" else {"method": method, "rho": rho}
        run_ids = set(synthetic.find(study, **values)) & shown_runs
        seeds = {study.runs[run_id].spec["seed"]: histories[histories["run_id"] == run_id] for run_id in run_ids}
        shown = curves[curves["curve"] == "seed 42"]
        assert list(shown["test_loss"]) == pytest.approx(list(seeds[42]["test_loss"]), nan_ok=True)
        completed = [run["test_accuracy"].to_numpy() for run in seeds.values() if len(run) == 40]
        stacked = np.stack(completed)
        for curve, expected in {"mean": stacked.mean(0), "minimum": stacked.min(0), "maximum": stacked.max(0)}.items():
            assert list(curves.loc[curves["curve"] == curve, "test_accuracy"]) == pytest.approx(list(expected))
            assert (curves.loc[curves["curve"] == curve, "seeds"] == len(completed)).all()
        for axes, quantity in zip(figure.axes, ("test_loss", "test_accuracy"), strict=True):
            for curve in ("seed 42", "mean"):
                assert line(axes, label, data, curve, quantity)


def test_a_diverged_seed_ends_in_a_cross_and_is_counted_in_the_legend(study):
    figure, data = drawn(study, "figure3")
    label = "SAM-L∞ (as described), ρ = 0.05 (1 of 3 diverged)"
    assert set(legend_of(figure)) >= {label, "SAM, ρ = 0.05", "diverged here"}
    shown = data[(data["label"] == label) & (data["curve"] == "seed 42")]
    assert len(shown) == 12
    last = shown.iloc[-2]
    for axes, quantity in zip(figure.axes, ("test_loss", "test_accuracy"), strict=True):
        (cross,) = [found for found in axes.lines if found.get_marker() == "X"]
        assert (cross.get_xdata(), cross.get_ydata()) == (last["epoch"], last[quantity])


def test_a_method_that_diverged_altogether_stays_in_the_legend(own_study):
    for run_id in synthetic.find(own_study, network="wide_resnet", method="asam"):
        synthetic.write(own_study, run_id, [record(own_study.runs[run_id].spec, 1, test_loss=math.nan)])
    figure, _ = drawn(own_study, "figure4")
    assert "ASAM, ρ = 2 (diverged)" in legend_of(figure)


def test_a_loss_beyond_the_ceiling_is_cut_and_said_to_be(own_study):
    (run_id,) = synthetic.find(own_study, network="wide_resnet", method="sgd", seed=42)
    spec = own_study.runs[run_id].spec
    synthetic.write(own_study, run_id, [record(spec, epoch, test_loss=10.0**epoch) for epoch in range(1, 41)])
    figure, data = drawn(own_study, "figure4")
    top = figure.axes[0]
    assert top.get_ylim()[1] == 100
    assert top.get_ylim()[0] > 0.01
    assert "cut at 100" in top.get_ylabel()
    assert data["test_loss"].max() == 1e40


@pytest.mark.parametrize("name", ["figure3", "figure4"])
def test_one_seed_has_neither_mean_nor_band(smoke, name):
    figure, data = drawn(smoke, name)
    assert set(data["curve"]) == {"seed 42"}
    assert not any(axes.collections for axes in figure.axes)
    assert "mean over seeds" not in legend_of(figure)
    assert "seed 42" in legend_of(figure)


def test_without_the_seed_asked_for_the_first_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = synthetic.project(tmp_path, "smoke", seeds=[7, 8], experiment_seeds={})
    synthetic.write_all(study)
    figure, data = drawn(study, "figure3")
    assert {curve for curve in data["curve"] if curve.startswith("seed")} == {"seed 7"}
    assert "seed 7" in legend_of(figure)


@pytest.mark.parametrize("name", CURVES)
def test_learning_rate_drops_are_marked_where_they_happen(study, name):
    figure, _ = drawn(study, name)
    for axes in figure.axes:
        drops = [found.get_xdata()[0] for found in axes.lines if found.get_linestyle() == ":"]
        assert drops == [12, 24, 32]


def test_figure_5_draws_medians_and_ranges(study):
    figure, data = drawn(study, "figure5")
    losses = synthetic.sensing_losses(study)
    assert [axes.get_title() for axes in figure.axes] == ["ρ = 0.001", "ρ = 0.005", "ρ = 0.01"]
    for axes, rho in zip(figure.axes, (0.001, 0.005, 0.01), strict=True):
        assert axes.get_yscale() == "log"
        for method, found in zip(("sam", "usam"), axes.lines, strict=True):
            swept = losses[(losses["method"] == method) & (losses["rho"] == rho)].groupby("step")["loss"]
            assert list(found.get_ydata()) == pytest.approx(list(swept.median()))
            rows = data[(data["method"] == method) & (data["rho"] == rho)]
            assert list(rows["minimum"]) == pytest.approx(list(swept.min()))
            assert list(rows["maximum"]) == pytest.approx(list(swept.max()))


def test_figure_5_survives_divergence(own_study):
    figure5 = {"rho": [0.01, 0.1]}
    projects.edit(Path("config/study.yaml"), lambda study: study["artifacts"]["figure5"].update(figure5))
    figure, data = drawn(load_study("laptop"), "figure5")
    assert np.isinf(data.loc[(data["method"] == "usam") & (data["rho"] == 0.1), "median"]).any()
    assert "diverged here" in legend_of(figure)


@given(
    gradient=st.lists(st.floats(0.1, 10) | st.floats(-10, -0.1), min_size=2, max_size=5, unique_by=abs),
    p=st.sampled_from([1.0, 1.5, 2.0, 3.0, math.inf]),
    rho=st.floats(0.01, 10),
)
def test_the_ascent_step_maximises_over_its_ball(gradient, p, rho):
    gradient = np.array(gradient)
    step = ascent_step(gradient, p, rho)
    q = 1.0 if math.isinf(p) else math.inf if p == 1 else p / (p - 1)
    assert np.linalg.norm(step, p) == pytest.approx(rho)
    assert gradient @ step == pytest.approx(rho * np.linalg.norm(gradient, q))


def test_figure_2_ends_on_vertex_circle_and_corner(study):
    data = study.artifact("figure2").data(study).set_index("label")
    steps = data.loc[data["curve"] == "step", ["x", "y"]]
    expected = {
        "p = 1": (1, 0),
        "p = 2 (SAM)": (2 / math.sqrt(5), 1 / math.sqrt(5)),
        "p = ∞, as described": (1, 1),
        "p = ∞, as run": (1, 0.5),
    }
    assert {label: tuple(step) for label, step in steps.iterrows()} == {
        label: pytest.approx(point) for label, point in expected.items()
    }
    for p, ball in data[data["curve"] == "ball"].groupby("p"):
        assert np.linalg.norm(ball[["x", "y"]].to_numpy(), p, axis=1) == pytest.approx(np.ones(361))


# How it looks


def test_the_palette_is_seaborn_s_colour_blind_one():
    palette = seaborn.color_palette("colorblind").as_hex()
    assert set(style.SPARE_COLOURS) < set(palette)
    assert {colour for method, colour in style.METHOD_COLOURS.items() if method != "sgd"} < set(palette)


def test_a_method_has_one_colour_in_every_figure(study):
    colours = {}
    for name in FIGURES:
        figure, _ = drawn(study, name)
        for label, handle in legend_of(figure).items():
            if match := re.match(r"(.*?)( \(\d of \d diverged\))?$", label):
                colours.setdefault(match[1], set()).add(
                    to_hex(handle.get_color() if hasattr(handle, "get_color") else handle.get_facecolor())
                )
    assert all(len(found) == 1 for found in colours.values()), colours
    assert colours["SAM, ρ = 0.05"] == colours["SAM"] == colours["p = 2 (SAM)"] == {style.BLUE}
    assert colours["SAM-L∞ (as run), ρ = 0.05"] == colours["p = ∞, as run"]
    assert colours["SAM-L∞ (as described), ρ = 0.05"] == colours["p = ∞, as described"]


@pytest.mark.parametrize("name", FIGURES)
def test_lines_have_the_colour_of_their_legend(study, name):
    figure, _ = drawn(study, name)
    named = {to_hex(handle.get_color()) for handle in legend_of(figure).values() if hasattr(handle, "get_color")}
    lines = {to_hex(found.get_color()) for axes in figure.axes for found in axes.lines}
    assert lines <= named


@pytest.mark.parametrize("name", FIGURES)
def test_curves_of_one_figure_differ_in_colour_and_marker(study, name):
    figure, _ = drawn(study, name)
    marked = [
        handle for handle in legend_of(figure).values() if getattr(handle, "get_marker", str)() in style.MARKERS[:6]
    ]
    assert (
        len({handle.get_color() for handle in marked}) == len({handle.get_marker() for handle in marked}) == len(marked)
    )


def test_radii_get_darker_as_they_grow():
    shades = style.shades(style.BLUE, [0.5, 0.1, 0.05, 0.01])
    lightness = [sum(int(shades[rho][i : i + 2], 16) for i in (1, 3, 5)) for rho in (0.01, 0.05, 0.1, 0.5)]
    assert lightness == sorted(lightness, reverse=True)
    assert shades[0.05] == style.BLUE
    assert style.shades(style.BLUE, [1.0, 2.0, 3.0])[2.0] == style.BLUE


def test_methods_without_a_colour_of_their_own_get_distinct_ones():
    colours = style.method_colours(["sam", "fisher-sam", "sgd", "another"])
    assert len({colours[method] for method in ("sam", "fisher-sam", "sgd", "another")}) == 4
    assert colours["sam"] == style.BLUE


def check_layout(figure):
    """All is on the page, nothing lies over anything else, and text can be read at the size of print."""
    assert figure.get_figwidth() == style.COLUMN
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7
    (legend,) = figure.legends
    boxes = [legend.get_window_extent(), figure._suptitle.get_window_extent()]
    boxes += [axes.get_tightbbox() for axes in figure.axes]
    for box in boxes:
        assert min(box.x0, box.y0, figure.bbox.x1 - box.x1, figure.bbox.y1 - box.y1) >= 0
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    for axes in figure.axes:
        assert axes.bbox.width > 0.2 * figure.bbox.width
        assert axes.bbox.height > 0.9 * figure.dpi
        for axis in (axes.xaxis, axes.yaxis):
            low, high = axis.get_view_interval()
            ticks = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            labels = [label.get_window_extent() for label in ticks if label.get_text() and label.get_visible()]
            assert not any(one.overlaps(other) for one, other in pairwise(labels))
    assert sum(bool(label.get_text()) for label in figure.axes[0].get_yticklabels()) >= 2


@pytest.mark.parametrize("name", FIGURES)
def test_the_layout_is_sound(any_study, name):
    figure, _ = drawn(any_study, name)
    check_layout(figure)


@pytest.mark.parametrize(
    "values",
    [
        {"test_loss": 0.1, "test_accuracy": 0.9},
        {"test_loss": 1.7578, "test_accuracy": 0.1},
        {"test_loss": 1e-3, "test_accuracy": 1.0},
        {"test_loss": 5e5, "test_accuracy": 0.0},
        {"test_loss": math.nan},
    ],
)
def test_the_layout_is_sound_for_equal_values(tmp_path, monkeypatch, values):
    monkeypatch.chdir(tmp_path)
    study = synthetic.project(tmp_path, "smoke", epochs=1)
    for run_id, job in study.runs.items():
        synthetic.write(study, run_id, [record(job.spec, 1, **values)])
    for name in CURVES:
        figure, _ = drawn(study, name)
        check_layout(figure)


@pytest.mark.parametrize("name", [*CURVES, "figure5"])
def test_a_figure_names_its_setting(study, name):
    figure, _ = drawn(study, name)
    assert "laptop scale" in figure._suptitle.get_text()
    assert name == "figure5" or "WideResNet (depth 10, width 1)\ndigits (8×8)" in figure._suptitle.get_text()
    for axes in figure.axes:
        assert axes.get_xlabel() or axes is figure.axes[0]


# What the page shows under a pointer


@pytest.mark.parametrize("name", CURVES)
def test_hover_points_are_the_drawn_points_of_the_seed_shown(study, name):
    figure, data = drawn(study, name)
    panels = study.artifact(name).hover(study, figure, data)
    for axes, panel, quantity in zip(figure.axes, panels, ("test_loss", "test_accuracy"), strict=True):
        assert panel["titles"][0] == f"{quantity.replace('_', ' ')}, seed 42, epoch 1"
        left, top, right, bottom = panel["box"]
        assert all(left <= x <= right for x in panel["x"])
        assert {series["label"] for series in panel["series"]} <= set(legend_of(figure))
        for series in panel["series"]:
            points = data[(data["label"] == series["label"]) & (data["curve"] == "seed 42")]
            points = points[np.isfinite(points["test_loss"])]
            assert sum(y is not None for y in series["y"]) == len(points)
            assert line(axes, series["label"], data, "seed 42", quantity).get_color() == series["colour"]
            expected = axes.transData.transform(points[["epoch", quantity]]) / figure.bbox.size
            assert panel["x"][: len(points)] == pytest.approx(list(expected[:, 0]), abs=1e-4)
            assert series["y"][: len(points)] == pytest.approx(list(1 - expected[:, 1]), abs=1e-4)
            assert all(top <= y <= bottom for y in series["y"][: len(points)])
            for text, value in zip(series["text"], points[quantity], strict=False):
                assert text.startswith(f"{value:.4f} (mean ")


def test_hover_points_are_where_the_picture_has_its_markers(own_study):
    figure5 = own_study.artifact("figure5")
    figure5.write(own_study)
    picture = figure5.file("laptop", "svg").read_text(encoding="utf-8")
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture).groups())
    marker = r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="fill: (#\w+)'
    markers = [(float(x) / width, float(y) / height, colour) for x, y, colour in re.findall(marker, picture)]
    panels = json.loads(figure5.record("laptop").read_text(encoding="utf-8"))["hover"]
    assert [panel["titles"][0] for panel in panels] == [
        f"median loss, ρ = {rho}, step 1" for rho in (0.001, 0.005, 0.01)
    ]
    for panel in panels:
        for series in panel["series"]:
            for point in zip(panel["x"], series["y"], strict=True):
                assert min(math.dist(point, (x, y)) for x, y, colour in markers if colour == series["colour"]) < 3e-4


def test_a_figure_of_nothing_but_diverged_runs_has_no_hover_points(own_study):
    for job in own_study.artifact("figure3").jobs(own_study):
        synthetic.write(own_study, job.id, [record(job.spec, 1, test_loss=math.nan)])
    figure, data = drawn(own_study, "figure3")
    assert own_study.artifact("figure3").hover(own_study, figure, data) == []


# Files


def figure_files(folder, **environment):
    """Draw every figure and write a table in a process of its own; the bytes of all files by name."""
    script = (
        "import sys; from sharpness.cli import main\n"
        f"codes = [main(['figure', name, '--scale', 'laptop']) for name in {FIGURES}]\n"
        "codes += [main(['table', 'table1', '--scale', 'laptop']), main(['runs', '--scale', 'laptop'])]\n"
        "print(codes, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    contents = {path.name: path.read_bytes() for path in Path(folder, "figures/laptop").iterdir()}
    return done.stdout.strip(), contents


def test_files_are_complete_reproducible_and_made_without_torch(own_study, tmp_path):
    matplotlibrc = tmp_path / "matplotlibrc"
    matplotlibrc.write_text("font.size: 20\nsavefig.bbox: tight\nsvg.fonttype: none\naxes.facecolor: yellow\n")
    said, first = figure_files(tmp_path, PYTHONHASHSEED="1")
    assert said == f"{[0] * 7} False"
    assert set(first) == {path.name for name in FIGURES for path in own_study.artifact(name).files("laptop")}
    assert all(first.values())
    for name in FIGURES:
        width = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", first[f"{name}.pdf"])
        assert float(width[1]) == 72 * style.COLUMN
        with Image.open(tmp_path / f"figures/laptop/{name}.png") as image:
            assert image.width == 300 * style.COLUMN
        assert rb'<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="252pt"' in first[f"{name}.svg"]
        assert len(pd.read_csv(tmp_path / f"figures/laptop/{name}.csv")) > 4
    reader = {"MATPLOTLIBRC": str(matplotlibrc), "MPLBACKEND": "tkagg", "DISPLAY": ""}
    said, second = figure_files(tmp_path, PYTHONHASHSEED="2", SOURCE_DATE_EPOCH="1", **reader)
    assert said == f"{[0] * 7} False"
    assert {name for name, content in second.items() if content != first[name]} == set()


def test_a_figure_is_the_same_from_one_drawing_to_the_next(own_study):
    for name in FIGURES:
        artifact = own_study.artifact(name)
        artifact.write(own_study)
        first = [path.read_bytes() for path in artifact.files("laptop")]
        artifact.write(own_study)
        assert [path.read_bytes() for path in artifact.files("laptop")] == first


def test_no_module_of_the_evidence_imports_torch():
    script = (
        "import importlib, pkgutil, sys, sharpness.evidence as package\n"
        "names = [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.')]\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(len(names) > 20, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"


def test_an_unknown_figure_is_a_user_s_error(study):
    with pytest.raises(UserError, match=r"unknown artifact 'figure99'; did you mean 'figure\d'\?"):
        study.artifact("figure99")


def test_a_figure_of_a_missing_run_is_a_user_s_error(own_study):
    job = own_study.artifact("figure3").jobs(own_study)[0]
    job.data.unlink()
    with pytest.raises(UserError, match=rf"{job.id}/history\.csv: no such file; run the job first"):
        own_study.artifact("figure3").write(own_study)


def test_a_title_wider_than_the_figure_goes_on_in_another_line():
    drawing = style.figure(2.0, "Matrix sensing: d = 100, r = 5, m = 2500, η = 0.5, a scale with rather a long title")
    drawing.subplots()
    drawing.canvas.draw()
    box = drawing.texts[0].get_window_extent()
    assert box.x1 <= drawing.bbox.x1

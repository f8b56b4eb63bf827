"""The figures of Part II: what the page shows under a pointer, at every point that is marked."""

import json
import math
import re

import pytest
import theory
from matplotlib.figure import Figure

from sharpness.evidence import style

HOVERS = {
    "figure7": ("loss at the end, ρ = ", "loss"),
    "figure8": ("largest eigenvalue, ρ = ", "eigenvalue"),
    "figure11": ("loss at the end, ρ = ", "loss"),
    "figure12": ("trace over the flattest, step ", "flatness"),
    "figure13": ("largest eigenvalue, step ", "eigenvalue"),
}
MORE = {"figure12": ["distance"]}  # of its second panel
MARKED_IN_PART = ("figure12", "figure13")  # these have a marker at every n-th of their points


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theory")
    with pytest.MonkeyPatch.context() as patch:
        study = theory.project(folder)
        patch.chdir(folder)
        yield study


@pytest.mark.parametrize(("name", "titled", "column"), [(name, *rest) for name, rest in HOVERS.items()])
def test_the_page_says_a_point_s_value_and_prediction_where_its_marker_is(study, name, titled, column):
    figure = study.artifact(name)
    figure.write(study)
    picture = figure.file("smoke", "svg").read_text(encoding="utf-8")
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture).groups())
    marker = r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="fill: (#\w+)'
    markers = [(float(x) / width, float(y) / height, colour) for x, y, colour in re.findall(marker, picture)]
    panels = json.loads(figure.record("smoke").read_text(encoding="utf-8"))["hover"]
    assert panels
    assert all(title.startswith(titled) for title in panels[0]["titles"])

    values = {f"{value:.4g}" for value in figure.data(study)[[column, *MORE.get(name, [])]].stack()}
    shown = [
        (point, series["colour"], text)
        for panel in panels
        for series in panel["series"]
        for point, text in zip(zip(panel["x"], series["y"], strict=True), series["text"], strict=True)
        if text is not None
    ]
    assert {text.partition(" ")[0] for *_, text in shown} <= values
    if name != "figure12":
        assert all(re.fullmatch(r"\S+ \(predicted \S+\)", text) for *_, text in shown)
    near = [min(math.dist(point, (x, y)) for x, y, its in markers if its == colour) for point, colour, _ in shown]
    marked = {colour for (_, colour, _), distance in zip(shown, near, strict=True) if distance < 3e-4}
    assert marked == {colour for _, colour, _ in shown}, "without a marker two curves are alike in grey"
    assert name in MARKED_IN_PART or max(near) < 3e-4


SCATTERED = {
    "figure6": lambda row: f"({row['x']:.4g}, {row['y']:.4g})".replace("-", "−"),
    "figure9": lambda row: f"{row['share']:.3g} (predicted ",
    "figure10": lambda row: f"{row['loss']:.2g}, {row['diverged']:.0%} of {row['draws']} draws diverge; ",
    "figure14": lambda row: "as predicted" if row["error"] == 0 else "n",  # none, or not the predicted one
}


@pytest.mark.parametrize("name", SCATTERED)
def test_the_page_says_what_is_at_the_point_nearest_to_the_pointer(study, name):
    figure = study.artifact(name)
    figure.write(study)
    panels = json.loads(figure.record("smoke").read_text(encoding="utf-8"))["hover"]
    known = tuple(SCATTERED[name](row) for _, row in figure.data(study).iterrows())
    assert panels
    for panel in panels:
        assert panel["scatter"]
        left, top, right, bottom = panel["box"]
        for stop, (x, title) in enumerate(zip(panel["x"], panel["titles"], strict=True)):
            [(y, text)] = [
                (series["y"][stop], series["text"][stop]) for series in panel["series"] if series["y"][stop] is not None
            ]
            assert left <= x <= right
            assert top <= y <= bottom
            assert text.startswith(known) or title.endswith("predicted end")


def test_of_a_scatter_the_points_are_where_they_are_drawn(study):
    figure = study.artifact("figure14")
    figure.write(study)
    picture = figure.file("smoke", "svg").read_text(encoding="utf-8")
    width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture).groups())
    drawn = re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="', picture)
    markers = [(float(x) / width, float(y) / height) for x, y in drawn]
    for panel in json.loads(figure.record("smoke").read_text(encoding="utf-8"))["hover"]:
        columns = zip(*(series["y"] for series in panel["series"]), strict=True)
        heights = [next(y for y in column if y is not None) for column in columns]
        for point in zip(panel["x"], heights, strict=True):
            assert min(math.dist(point, marker) for marker in markers) < 3e-4


def test_every_cell_of_the_neuron_is_in_view_as_a_point(study):
    figure = study.artifact("figure9")
    figure.write(study)
    cells = figure.data(study)
    panels = json.loads(figure.record("smoke").read_text(encoding="utf-8"))["hover"]
    assert [len(panel["x"]) for panel in panels[1::2]] == [len(cells[cells["law"] == law]) for law in ("usam", "sam")]


def test_two_curves_of_one_colour_are_switched_off_one_by_one():
    drawing = Figure()
    axes = drawing.subplots()
    names = ["USAM, η = 0.1", "USAM, η = 0.3"]
    for name in names:
        axes.plot([0, 1], [0, 1], color=style.ORANGE, label=name)
    style.name_curves(drawing, dict.fromkeys(names, style.ORANGE))
    assert [line.get_gid() for line in axes.lines] == ["curve0-0", "curve1-1"]

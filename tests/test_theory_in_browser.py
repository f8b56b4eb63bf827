"""The live plates of Part II in a real browser: their numbers are the project's, by keyboard, on a phone, at rest."""

import json
import re

import numpy as np
import pytest
import theory
from test_report_in_browser import DARK, DESKTOP, PHONE, WITHOUT_SCRIPT, browser  # noqa: F401 - a fixture

from sharpness import paths
from sharpness.dynamics import neuron, quadratic
from sharpness.dynamics.quadratic import edge, floor

STILL = {**DESKTOP, "reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theory")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield theory.report(folder)


@pytest.fixture
def open_report(browser, study):  # noqa: F811
    contexts, complaints = [], []

    def open_it(options):
        contexts.append(browser.new_context(**options, offline=True))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((paths.results(study.scale) / "report.html").resolve().as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


def plate(study, plane: str) -> dict:
    return json.loads(study.artifact("figure6").record(study.scale).read_text(encoding="utf-8"))["facts"]["plate"][
        plane
    ]


def shown(page, plane: str) -> dict:
    """What a plate shows: the radius and step size chosen, and by law the number here and the predicted one."""
    box = page.locator(f"[data-plane={plane}]")
    rho, rate = (float(box.get_by_label(name, exact=True).input_value()) for name in ("ρ", "η"))
    laws = {
        row.get_attribute("class"): [
            float(cell.get_attribute("data-value")) for cell in row.locator("td[data-value]").all()
        ]
        for row in box.locator("tbody tr").all()
    }
    return {"rho": rho, "rate": rate, "laws": laws}


def ours(plane: str, settings: dict, law: str, rho: float, rate: float) -> list[float]:
    """The same two numbers as the project computes them."""
    start = np.array([settings["start"]])
    rho = 0.0 if law == "gd" else rho
    if plane == "quadratic":
        values = np.array(settings["eigenvalues"])
        end = quadratic.descend(values, start, law, rho, rate, settings["steps"])[0]
        rest = 0.0 if values[0] < edge(rho, rate) else np.inf
        return [float((values * end**2).sum() / 2), floor(values[0], "sam", rho, rate) if law == "sam" else rest]
    end = neuron.descend(settings["loss"], law, start, rho, rate, settings["steps"])[0]
    level = start[:, 1] ** 2 - start[:, 0] ** 2
    drift = neuron.drifted(level, rho, rate, settings["steps"])
    return [float(rate * end[1] ** 2), float(rate * (drift if law == "sam" else neuron.settled(level, rho, rate))[0])]


@pytest.mark.parametrize("plane", ["quadratic", "neuron"])
def test_the_plate_s_numbers_are_the_project_s(open_report, study, plane):
    page, settings = open_report(DESKTOP), plate(study, plane)
    box, seen = page.locator(f"[data-plane={plane}]"), set()
    first = shown(page, plane)
    assert (first["rho"], first["rate"]) == pytest.approx((settings["rho"], settings["rate"]), rel=1e-9)

    for moves in ([], ["ρ", "ArrowRight"], ["ρ", "PageUp"], ["η", "ArrowLeft"], ["η", "PageDown"], ["ρ", "Home"]):
        if moves:
            box.get_by_label(moves[0], exact=True).focus()
            page.keyboard.press(moves[1])
        now = shown(page, plane)
        seen.add((now["rho"], now["rate"]))
        assert list(now["laws"]) == ["gd", "usam", "sam"]
        for law, numbers in now["laws"].items():
            expected = ours(plane, settings, law, now["rho"], now["rate"])
            assert numbers == pytest.approx(expected, rel=1e-9, abs=1e-12), (law, now)
    assert len(seen) == 6, "each key has moved a slider"


def test_the_nearest_trained_cell_is_one_of_the_study_s(open_report, study):
    page = open_report(DESKTOP)

    cell = page.locator("[data-plane=quadratic] tr.sam td").last.inner_text()

    rate, rho = re.search(r"η = ([\d.]+), ρ = ([\d.]+)", cell).groups()
    spec = study.problems["cycle"].spec
    assert float(rate) in spec["learning_rate"]
    assert float(rho) in spec["rho"]


@pytest.mark.parametrize("options", [PHONE, DESKTOP, DARK, STILL], ids=["phone", "desktop", "dark", "reduced motion"])
def test_the_plates_are_to_be_seen_and_nothing_moves_or_overflows(open_report, options):
    page = open_report(options)

    tools, plates = (page.locator(where).bounding_box() for where in (".tools[data-figure=figure6]", ".plates"))
    assert tools["y"] + tools["height"] <= plates["y"], "what the figure offers stays with it"
    for plane in ("quadratic", "neuron"):
        box = page.locator(f"[data-plane={plane}]")
        predicted = box.locator("tr.sam td").nth(2).bounding_box()
        assert predicted["x"] + predicted["width"] <= options["viewport"]["width"]
        picture = box.locator("svg[role=img]")
        assert picture.bounding_box()["height"] > 150
        assert "ρ = " in picture.get_attribute("aria-label")
        for law in ("gd", "usam", "sam"):
            assert len(box.locator(f"svg[role=img] polyline.{law}").get_attribute("points").split()) > 20
    assert page.evaluate("document.documentElement.scrollWidth") <= options["viewport"]["width"]
    assert page.evaluate("document.getAnimations().length") == 0


def test_the_pointer_shows_the_cell_that_it_is_on(open_report, study):
    page = open_report(DESKTOP)
    image = page.locator("#figure10 img")
    image.scroll_into_view_if_needed()
    frame, padding = image.bounding_box(), image.evaluate("image => parseFloat(getComputedStyle(image).paddingLeft)")
    [sam, usam] = json.loads(study.artifact("figure10").record(study.scale).read_text(encoding="utf-8"))["hover"]

    for panel in (sam, usam):
        [series] = panel["series"]
        for x, y, title, text in zip(panel["x"], series["y"], panel["titles"], series["text"], strict=True):
            across = frame["x"] + padding + x * (frame["width"] - 2 * padding)
            down = frame["y"] + padding + y * (frame["height"] - 2 * padding)
            page.mouse.move(across + 5, down - 5)
            assert page.locator("#figure10 [role=status]").inner_text().split("\n") == [title, f"median loss: {text}"]


@pytest.mark.parametrize(("name", "switches"), [("figure6", 3), ("figure9", 0), ("figure10", 0), ("figure14", 3)])
def test_what_can_be_switched_off_has_a_switch(open_report, name, switches):
    tools = open_report(DESKTOP).locator(f".tools[data-figure={name}]")
    assert tools.get_by_role("group", name="Curves shown").get_by_role("button").count() == switches


def test_without_javascript_the_figure_of_three_radii_stands_alone(open_report):
    page = open_report(WITHOUT_SCRIPT)

    assert page.locator(".plates").count() == 0
    assert page.locator("#figure6 img").bounding_box()["height"] > 200


def test_the_pdf_is_there_with_part_two(study):
    assert paths.report(study.scale)[1].stat().st_size > 100_000
    html = paths.report(study.scale)[0].read_text(encoding="utf-8")
    assert "Part II: theory beside experiment" in html
    assert html.count("<figure") > 14

"""report.html in a real browser: it works alone, on a phone, in the dark, and with and without JavaScript."""

import json
import re
import shutil

import finished
import pandas as pd
import projects
import pytest

from sharpness import paths
from sharpness.evidence.report import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"viewport": {"width": 1200, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}
DARK = {**DESKTOP, "color_scheme": "dark"}
WITHOUT_SCRIPT = {**DESKTOP, "java_script_enabled": False}

# Contrast by WCAG 2 of every element that has text of its own, against the nearest background behind it.
CONTRASTS = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const background = (element) => {
    for (let node = element; node; node = node.parentElement) {
      const colour = channels(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
  };
  return [...document.body.querySelectorAll("*")]
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter((element) => element.getClientRects().length)
    .map((element) => {
      const [a, b] = [channels(getComputedStyle(element).color), background(element)].map(luminance);
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 80)];
    });
}"""
# Where each in-page link's target comes to lie in the window after the link is followed.
LANDINGS = """() => [...new Set([...document.links].map((link) => link.hash).filter(Boolean))].map((hash) => {
  scrollTo(0, 0);
  location.hash = hash;
  const target = document.getElementById(decodeURIComponent(hash.slice(1)));
  const box = target?.getBoundingClientRect();
  return [hash, Boolean(box) && box.height > 0 && box.top < innerHeight && box.bottom > 0];
})"""


@pytest.fixture(scope="module")
def browser():
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser on PATH ({', '.join(BROWSERS)})")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        finished_study = finished.project(folder)
        shutil.copytree(projects.ROOT / "docs/results", "docs/results")  # with the table of scales on page one
        write_report(finished_study)
        yield finished_study


@pytest.fixture
def open_report(browser, study):
    """Open the report, and at the end check that it asked for nothing and complained of nothing."""
    contexts, complaints, requests = [], [], []

    def open_it(options):
        context = browser.new_context(**options, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(paths.report(study.scale)[0].resolve().as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in requests) == len(contexts)


def unfold(page):
    """Open the appendix, as a reader does."""
    page.locator("summary").click()


@pytest.mark.parametrize(
    "options", [DESKTOP, PHONE, DARK, WITHOUT_SCRIPT], ids=["desktop", "phone", "dark", "no script"]
)
def test_every_figure_and_table_is_to_be_seen(open_report, options):
    page = open_report(options)

    unfold(page)
    images = page.locator("figure img")
    assert images.count() == 6
    for image in images.all():
        # Without scripts nothing can be evaluated in the page; the box is measured from outside.
        box = image.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 100
    for table in page.locator("table").all():
        assert table.bounding_box()["height"] > 30


def test_the_images_are_decoded(open_report):
    sizes = open_report(DESKTOP).eval_on_selector_all("figure img", "images => images.map(i => i.naturalWidth)")

    assert len(sizes) == 6
    assert min(sizes) > 0


def test_every_link_lands(open_report):
    landings = open_report(DESKTOP).evaluate(LANDINGS)

    assert len(landings) > 25
    assert [hash for hash, landed in landings if not landed] == []


@pytest.mark.parametrize("width", [390, 768, 1200, 1920])
def test_the_page_never_scrolls_sideways(open_report, width):
    page = open_report({"viewport": {"width": width, "height": 844}})

    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_a_wide_table_scrolls_in_its_own_box(open_report):
    page = open_report(PHONE)

    hidden = page.eval_on_selector_all(".scroll", "boxes => boxes.map(b => b.scrollWidth - b.clientWidth)")

    assert max(hidden) > 100
    page.eval_on_selector_all(".scroll", "boxes => boxes.forEach(b => b.scrollTo(50, 0))")
    assert page.locator("#table1 .scroll").evaluate("box => box.scrollLeft") == 50


def test_on_a_phone_every_verdict_of_the_findings_is_in_view(open_report):
    verdicts = open_report(PHONE).locator("#table-findings td .verdict").all()

    assert len(verdicts) > 30
    assert all(box["x"] + box["width"] <= 390 for box in (verdict.bounding_box() for verdict in verdicts))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(open_report, scheme):
    page = open_report({**DESKTOP, "color_scheme": scheme})

    unfold(page)
    contrasts = page.evaluate(CONTRASTS)

    assert len(contrasts) > 300
    assert [(round(ratio, 2), where) for ratio, where in contrasts if ratio < 4.5] == []
    red = int(page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"))
    assert (red < 64) == (scheme == "dark")
    card = page.eval_on_selector("#figure1 img", "image => getComputedStyle(image).backgroundColor")
    assert card == "rgb(255, 255, 255)"


def column(page, table, index):
    return page.locator(f"#{table} tbody tr td:nth-child({index})").all_inner_texts()


def test_tables_sort_by_a_column_and_back(open_report, study):
    page = open_report(DESKTOP)
    before = column(page, "table1", 2)
    header = page.locator("#table1 th").nth(1)

    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert column(page, "table1", 2) == sorted(before, key=lambda cell: float(cell.split()[0]))
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert column(page, "table1", 2) == sorted(before, key=lambda cell: float(cell.split()[0]), reverse=True)

    page.locator("#table1 th").nth(0).get_by_role("button").click()
    assert header.get_attribute("aria-sort") is None
    assert column(page, "table1", 1) == ["0.01", "0.05", "0.1", "0.5"]


def test_powers_of_ten_sort_by_their_value_and_signs_count(open_report):
    page = open_report(DESKTOP)
    page.locator("#table-published3 th", has_text="Published").get_by_role("button").click()
    assert column(page, "table-published3", 1)[-2:] == ["USAM, step 3", "USAM, step 4"]

    page.locator("#table3 th", has_text="USAM").get_by_role("button").click()
    page.locator("#table3 th", has_text="USAM").get_by_role("button").click()
    assert column(page, "table3", 2) == ["4", "3", "2", "1"]

    page.locator("#table1 th", has_text="difference").first.get_by_role("button").click()
    differences = [float(cell.replace("−", "-")) for cell in column(page, "table1", 4)]
    assert differences == sorted(differences)
    assert differences[0] < 0


def test_what_is_no_number_sorts_last(open_report):
    page = open_report(DESKTOP)

    unfold(page)
    page.locator("#table-costs th", has_text="CPU time").get_by_role("button").click()

    assert column(page, "table-costs", 3)[-1] == "—"


def test_a_curve_shows_its_values_under_the_pointer(open_report, study):
    page = open_report(DESKTOP)
    data = pd.read_csv(study.artifact("figure1").file(study.scale, "csv"))
    image = page.locator("#figure1 img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()

    assert page.locator("#figure1 .values").count() == 0
    page.mouse.move(box["x"] + 0.99 * box["width"] - 8, box["y"] + 0.25 * box["height"])

    shown = page.locator("#figure1 .values").inner_text()
    assert f"test loss, seed 42, epoch {study.settings['epochs']}" in shown
    last = data[(data["curve"] == "seed 42") & (data["epoch"] == study.settings["epochs"])]
    for row in last.itertuples():
        assert f"{row.label}: {row.test_loss:.4f}" in shown
    assert page.locator("#figure1 .dot").count() == len(last)

    page.mouse.move(box["x"] - 50, box["y"])
    assert page.locator("#figure1 .values").count() == 0


def test_the_values_can_be_reached_by_the_keyboard(open_report):
    page = open_report(DESKTOP)
    page.locator("#figure5 .plot").focus()

    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "step 2" in page.locator("#figure5 [role=status]").inner_text()
    page.keyboard.press("ArrowDown")
    assert "ρ = 0.005, step 2" in page.locator("#figure5 [role=status]").inner_text()


def test_the_values_stay_within_a_phone_s_window(open_report):
    page = open_report(PHONE)
    image = page.locator("#figure3 img")
    image.scroll_into_view_if_needed()
    box = image.bounding_box()

    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.25 * box["height"])

    values = page.locator("#figure3 .values").bounding_box()
    assert values["x"] >= 0
    assert values["x"] + values["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_javascript_nothing_pretends_to_work(open_report):
    page = open_report(WITHOUT_SCRIPT)

    assert page.locator("button").count() == 0
    assert page.locator(".plot").count() == 0
    assert page.get_by_role("heading", name="The findings, judged").is_visible()


# Page one


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_verdicts_come_before_everything_else(open_report, study, options):
    page = open_report(options)

    verdicts, first = page.locator("#verdicts"), page.locator("main h2").first
    assert verdicts.locator("#forest1 img").is_visible()
    others = list((projects.ROOT / "docs/results").glob("*.csv"))  # complete scales; unfinished ones have no findings
    assert verdicts.locator("#table-scales tbody tr").count() == 1 + len(others)
    assert [item.split()[0] for item in verdicts.locator("li").all_inner_texts()] == [one.name for one in study.claims]
    assert verdicts.bounding_box()["y"] < first.bounding_box()["y"]
    if options is DESKTOP:
        assert verdicts.bounding_box()["y"] < 550, "in the window before anything is scrolled"


# What the page can do


@pytest.mark.parametrize("options", [DESKTOP, DARK, PHONE], ids=["desktop", "dark", "phone"])
def test_axe_finds_no_serious_violation(open_report, options):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = open_report(options)
    unfold(page)
    page.get_by_role("button", name="Enlarge Figure 1").click()
    opened = axe.run(page).response
    page.keyboard.press("Escape")
    read = axe.run(page).response

    found = [one for one in (*opened["violations"], *read["violations"]) if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found] == []
    assert len(read["passes"]) > 20


def test_nothing_that_is_not_the_page_s_own_runs_in_it(browser, study):
    page = browser.new_context(**DESKTOP, offline=True).new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(paths.report(study.scale)[0].resolve().as_uri())

    page.evaluate("""() => {
      const script = document.createElement("script");
      script.textContent = "document.title = 'taken over'";
      document.body.append(script);
      const image = document.createElement("img");
      image.src = "https://example.org/counter.png";
      document.body.append(image);
    }""")
    page.wait_for_timeout(200)

    assert page.title() != "taken over"
    assert sum("Content Security Policy" in text for text in refused) == 2
    page.context.close()


def test_a_curve_is_switched_off_and_on_again(open_report):
    page = open_report(DESKTOP)
    image = page.locator("#figure1 img")
    shown = page.screenshot(clip=image.bounding_box(), full_page=True)
    toggle = page.get_by_role("group", name="Curves shown").first.get_by_role("button", name="SAM, ρ = 0.5")

    toggle.focus()
    page.keyboard.press("Space")
    assert toggle.get_attribute("aria-pressed") == "false"
    page.wait_for_function("document.querySelector('#figure1 img').complete")
    assert page.screenshot(clip=image.bounding_box(), full_page=True) != shown
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.locator("#figure1 .plot").focus()
    page.keyboard.press("ArrowRight")
    values = page.locator("#figure1 [role=status]").inner_text()
    assert "ρ = 0.5:" not in values
    assert "ρ = 0.05:" in values

    toggle.click()
    assert toggle.get_attribute("aria-pressed") == "true"
    page.locator("#figure1 .plot").focus()
    page.keyboard.press("ArrowRight")
    assert "ρ = 0.5:" in page.locator("#figure1 [role=status]").inner_text()


def test_every_curve_that_can_be_switched_off_is_in_its_picture(study):
    for name in ("figure1", "figure3", "figure4", "figure5"):
        svg = study.artifact(name).file(study.scale, "svg").read_text(encoding="utf-8")
        record = json.loads(study.artifact(name).record(study.scale).read_text(encoding="utf-8"))
        labels = {series["label"] for panel in record["hover"] for series in panel["series"]}
        assert {int(index) for index in re.findall(r'<g id="curve(\d+)-', svg)} == set(range(len(labels)))


@pytest.mark.parametrize("name", ["Forest plot 1", "Figure 1", "Figure 2"])
@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_figure_enlarges_and_comes_back(open_report, name, options):
    page = open_report(options)
    image = page.locator(f"#{name.lower().replace(' plot ', '').replace(' ', '')} img")
    small, button = image.bounding_box()["width"], page.get_by_role("button", name=f"Enlarge {name}")

    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=name)
    assert dialog.locator("img").bounding_box()["width"] > 1.2 * small
    page.keyboard.press("Escape")

    assert page.locator("dialog[open]").count() == 0
    assert image.bounding_box()["width"] == small
    assert button.evaluate("button => button === document.activeElement")


def test_a_figure_s_csv_can_be_taken_along(open_report, study):
    page = open_report(DESKTOP)

    with page.expect_download() as started:
        page.get_by_role("link", name="Figure 3 as CSV").click()

    assert started.value.suggested_filename == "figure3.csv"
    assert started.value.path().read_bytes() == study.artifact("figure3").file(study.scale, "csv").read_bytes()


def test_on_a_wide_screen_the_contents_follow(open_report):
    page = open_report(DESKTOP)

    page.evaluate("document.getElementById('published').scrollIntoView()")
    current = page.locator("nav a[aria-current]")
    current.wait_for()

    page.wait_for_function("document.querySelector('nav a[aria-current]')?.hash === '#published'")
    box = page.locator("nav").bounding_box()
    assert 0 <= box["y"] < 100
    assert box["x"] + box["width"] < page.locator("main").bounding_box()["x"]


def test_the_appendix_is_folded_and_opens_for_a_link_and_for_print(open_report):
    page = open_report(DESKTOP)
    jobs = page.locator("#table-jobs")
    assert not jobs.is_visible()

    page.evaluate("location.hash = '#table-jobs'")
    page.wait_for_function("document.querySelector('details').open")
    assert jobs.is_visible()

    other = open_report(DESKTOP)
    other.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert other.locator("#table-jobs").is_visible()


def test_on_paper_there_is_nothing_to_press(open_report):
    page = open_report(DARK)
    page.emulate_media(media="print")

    assert not page.locator("nav").is_visible()
    assert page.locator(".tools:visible").count() == 0
    assert page.locator("#table-jobs").bounding_box()["height"] > 100
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(253, 253, 251)"
    assert page.pdf().startswith(b"%PDF-")

"""The report: its numbers are those of the files under results/, both outputs are whole, and what is wrong is said."""

import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import finished
import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import given
from hypothesis import strategies as st

from sharpness import paths
from sharpness.errors import UserError
from sharpness.evidence import facts, figures, hover, manifest, report, style, wording
from sharpness.evidence.verify import check
from sharpness.study import load_study


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return finished.project(tmp_path)


def text_of(study) -> str:
    """The report's Markdown."""
    return report.fill_in(study, manifest.build(study), check(study))


def edit_csv(path, **where_and_values):
    """Set columns of the first row of a CSV."""
    frame = pd.read_csv(path)
    for column, value in where_and_values.items():
        frame.loc[0, column] = value
    frame.to_csv(path, index=False)


class Page(HTMLParser):
    """What a page declares and refers to."""

    def __init__(self, text: str):
        super().__init__()
        self.identifiers, self.links, self.sources, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self.identifiers.append(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        self.sources += [attributes[key] for key in ("src", "srcset", "data", "poster") if key in attributes]
        if tag == "link":
            self.sources.append(attributes["href"])


@pytest.fixture
def page(study):
    return Page((paths.results("smoke") / "report.html").read_text(encoding="utf-8"))


def test_every_link_within_the_page_has_its_target_and_no_name_is_given_twice(page):
    assert len(page.identifiers) == len(set(page.identifiers))
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert len(inside) > 40
    assert set(inside) <= set(page.identifiers)


def test_the_page_needs_no_other_file(page):
    assert len(page.sources) >= 5
    assert all(source.startswith("data:") for source in page.sources)
    assert [link for link in page.links if not link.startswith("#")] == []


def test_the_page_has_every_table_and_figure_with_an_alternative_text(page):
    assert {f"figure{number}" for number in range(1, 6)} | {"table1", "table2", "table3"} <= set(page.identifiers)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 5
    assert all(len(image["alt"]) > 20 for image in images)


def test_formulas_are_mathml_and_none_is_left_as_tex(study):
    text = (paths.results("smoke") / "report.html").read_text(encoding="utf-8")

    assert text.count("<math ") > 20
    assert 'class="math' not in text


def test_captions_are_numbered_in_order(study):
    captions = re.findall(r"^(?:: |!\[)\*\*(Table|Figure) (\w+)\.\*\*", text_of(study), flags=re.MULTILINE)

    numbers = {kind: [number for found, number in captions if found == kind] for kind in ("Table", "Figure")}
    assert numbers["Figure"] == ["1", "2", "3", "4", "5"]
    assert [number for number in numbers["Table"] if number[0] == "I"] == ["I", "II", "III"]
    supplement = [number for number in numbers["Table"] if number[0] == "S"]
    assert supplement == [f"S{index + 1}" for index in range(len(supplement))]


def test_the_pdf_is_one_and_the_same_bytes_each_time(study):
    markdown = text_of(study)

    pdf = report.to_pdf(markdown)

    assert pdf.startswith(b"%PDF-")
    assert report.to_pdf(markdown) == pdf


def test_the_numbers_in_the_text_are_those_of_the_tables(study):
    assert "0.7777" not in text_of(study)

    edit_csv(paths.table("smoke", "table1", "csv"), accuracy_mean=0.7777)
    edit_csv(paths.table("smoke", "table2", "csv"), accuracy_mean=0.8888)
    edit_csv(paths.table("smoke", "table3", "csv"), loss_median=6.66)
    text = text_of(study)

    assert re.search(r"belongs to ρ = \S+ The lowest,\s+0\.7777", text)
    assert "(0.8888)" in text
    assert re.search(r"median loss of SAM goes from 6\.66", text)


def test_the_tables_are_those_of_the_files(study):
    file = paths.table("smoke", "table2", "md")
    file.write_text(file.read_text(encoding="utf-8").replace("ResNet |", "ResNet-like |"), encoding="utf-8")

    assert "ResNet-like |" in text_of(study)


def test_a_verdict_is_the_one_of_claims_csv(study):
    file = paths.results("smoke") / "claims.csv"
    claims = pd.read_csv(file).set_index("claim")
    claims.loc["F2", "verdict"] = "contradicted"
    claims.reset_index().to_csv(file, index=False)

    [row] = [line for line in text_of(study).splitlines() if line.startswith("| **F2**")]

    assert "{.verdict .contradicted}" in row


def test_what_is_wrong_with_the_results_is_said_in_a_badge(study):
    results = paths.results("smoke")
    assert 'id="stale"' not in (results / "report.html").read_text(encoding="utf-8")

    history = paths.run("smoke", study.artifact("figure1").run_ids[0]) / "history.csv"
    history.write_text(history.read_text(encoding="utf-8").replace("0.1", "0.2"), encoding="utf-8")
    report.write_report(study)

    page = (results / "report.html").read_text(encoding="utf-8")
    assert 'id="stale"' in page
    assert f"altered: {history}" in page


def test_a_short_schedule_is_warned_of(study):
    assert facts.badge(study)["tone"] == "note"

    for scale, words in {"smoke": "says nothing about the methods", "laptop": "holds for this scale alone"}.items():
        badge = facts.badge(load_study(scale, synthetic.ROOT))
        assert words in badge["text"]
        assert badge["tone"] == ("warning" if scale == "smoke" else "note")


def test_what_differs_from_the_original_is_listed(study):
    rows = {row["what"]: (row["here"], row["original"]) for row in facts.deviations(study)}

    assert rows["data set"] == ("digits (8×8)", "CIFAR-10")
    assert rows["epochs"] == ("12", "200")
    assert rows["WideResNet"][1] == "WideResNet (depth 22, width 8)"
    assert "seeds" not in rows
    assert facts.deviations(load_study("paper")) == []


def test_a_network_whose_every_run_diverged_is_told_as_such(study):
    lost = synthetic.find(study, network="vgg")
    for run_id in lost:
        synthetic.write(study, run_id, synthetic.history(study.runs[run_id], diverges_at=2))
    everywhere = synthetic.find(study, network="wide_resnet", method="sam", rho=0.5)
    for run_id in everywhere:
        synthetic.write(study, run_id, synthetic.history(study.runs[run_id], diverges_at=1))
    finished.write_artifacts(study)

    text = text_of(study)

    assert "At ρ = 0.5 every seed diverged." in text
    assert re.search(r"VGG:\s+SGD diverged with every seed\.\s+SAM, ρ = 0\.05 diverged with every seed", text)
    assert report.to_pdf(text).startswith(b"%PDF-")


def test_a_mean_over_some_of_its_seeds_says_how_many_diverged(study):
    for seed in (0, 10):
        for network in ("wide_resnet", "resnet"):
            [lost] = synthetic.find(study, network=network, method="sam", rho=0.05, seed=seed)
            synthetic.write(study, lost, synthetic.history(study.runs[lost], diverges_at=2))
    finished.write_artifacts(study)

    text = text_of(study)

    assert "The mean at ρ = 0.05 is over the seeds that completed: 2 of 3 diverged." in text
    assert re.search(r"- ResNet:\s+SAM, ρ = 0\.05 \(0\.\d+; 2 of 3 seeds diverged\)", text)
    assert "a mean over one seed has no spread to compare it with" in text


def test_runs_that_all_stop_at_once_still_make_a_report(study):
    for run_id in study.artifact("figure1").run_ids:
        synthetic.write(study, run_id, synthetic.history(study.runs[run_id], diverges_at=1))
    finished.write_artifacts(study)

    text = text_of(study)

    assert "The learning rate drops after" not in text
    assert "before a drop" not in text
    assert report.to_html(text)


def test_one_seed_has_no_spread_to_compare_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = synthetic.project(tmp_path, "smoke")
    table = pd.DataFrame(
        {"rho": [0.5], "n": [1], "accuracy_mean": 0.9, "loss_mean": 0.2, "accuracy_difference": -0.1,
         "loss_difference": 0.1, "published_accuracy_mean": [0.95], "published_loss_mean": 0.1}
    )  # fmt: skip
    run_id = study.artifact("table1").run_ids[0]
    runs = pd.DataFrame(
        {"run_id": [run_id], "status": "completed", "rho": 0.5, "final_test_accuracy": 0.9, "final_test_loss": 0.2}
    )

    assert [row["within"] for row in facts.compare_radii(table, runs, study)] == [None, None]


def test_a_published_value_is_within_if_it_lies_between_the_lowest_and_the_highest(study):
    table = pd.read_csv(paths.table("smoke", "table1", "csv"))
    runs = pd.read_csv(paths.results("smoke") / "runs.csv")
    seeds = runs[runs["run_id"].isin(study.artifact("table1").run_ids) & (runs["rho"] == table["rho"][0])]
    table.loc[0, "published_accuracy_mean"] = seeds["final_test_accuracy"].mean()
    table.loc[0, "published_loss_mean"] = seeds["final_test_loss"].max() + 1e-6

    accuracy, loss, *_ = facts.compare_radii(table, runs, study)

    assert (accuracy["within"], accuracy["n"]) == (True, 3)
    assert loss["within"] is False


def test_a_published_draw_is_compared_on_a_log_scale_and_divergence_has_no_ratio():
    rows = [
        (0.1, 4, "sam", 20, 0, 2.0, 1.0, 3.0, 1.199),
        (0.1, 4, "usam", 20, 0, 1e62, 1e60, 1e64, 1.545e65),
        (0.1, 5, "usam", 20, 20, math.inf, math.inf, math.inf, 1e99),
    ]
    columns = ["rho", "step", "method", "draws", "diverged", "loss_median", "loss_min", "loss_max", "published"]

    sam, usam, lost = facts.compare_sensing(pd.DataFrame(rows, columns=columns))

    assert sam["within"] is True
    assert usam["within"] is False
    assert usam["orders"] == pytest.approx(62 - math.log10(1.545e65))
    assert (lost["ours"], lost["orders"], lost["within"]) == (None, None, False)


def test_drops_of_the_learning_rate_are_read_from_the_history(study):
    data = pd.read_csv(paths.figure("smoke", "figure1", "csv"))

    drops = facts.learning_rate_drops(data, seed=42)

    assert drops["epochs"] == [4, 8, 10]  # 30, 60 and 80 % of 12, each the first whole epoch that reaches it
    first = drops["rows"][0]
    shown = data[(data["label"] == first["label"]) & (data["curve"] == "seed 42")].set_index("epoch")["test_loss"]
    assert first["changes"][0] == (shown[4], shown[5])


def test_drops_are_those_of_the_seed_shown_beside_one_that_diverged():
    rates = [0.1, 0.1, 0.02, 0.02]
    lost = pd.DataFrame({"curve": "seed 0", "epoch": [1, 2], "learning_rate": rates[:2], "test_loss": [9.0, math.nan]})
    shown = pd.DataFrame({"curve": "seed 42", "epoch": range(1, 5), "learning_rate": rates, "test_loss": [4, 3, 2, 1]})

    drops = facts.learning_rate_drops(pd.concat([lost, shown]).assign(label="SAM"), seed=42)

    assert drops == {"epochs": [2], "seed": 42, "rows": [{"label": "SAM", "changes": [(3.0, 2.0)]}]}


def test_findings_keep_their_own_parts():
    columns = ["claim", "statement", "quantity", "effect", "low", "high", "n", "criterion", "verdict", "reason"]
    rows = [
        ("F1", "one", "", None, None, None, None, "", "supported", ""),
        ("F1a", "part", "", 0.5, 0.4, 0.6, 3, "strict", "supported", ""),
        ("F10", "ten", "", None, None, None, None, "", "inconclusive", ""),
        ("F10a", "part", "", None, None, None, None, "lax", "inconclusive", ""),
        ("F10b", "part", "", 0.5, 0.4, 0.6, 20, "strict", "supported", ""),
    ]

    found = facts.claims(pd.DataFrame(rows, columns=columns))

    assert {row["claim"]: [part["claim"] for part in row["parts"]] for row in found["rows"]} == {
        "F1": ["F1a"],
        "F10": ["F10a", "F10b"],
    }
    assert found["counts"] == {"supported": 1, "inconclusive": 1}
    assert [found["criteria"][part["criterion"] - 1] for part in found["rows"][1]["parts"]] == ["lax", "strict"]
    assert found["rows"][1]["parts"][1]["n"] == 20


def test_a_uniform_predictor_s_loss_is_the_study_s():
    assert facts.uniform_loss(0.1, classes=10) == pytest.approx(1.7578, abs=5e-5)
    assert facts.uniform_loss(0.0, classes=10) == pytest.approx(math.log(10))


def test_hover_points_lie_on_the_drawn_curves(study):
    with style.paper():
        figure, data = figures.draw(study, "figure1")
        figure.draw_without_rendering()
    curve = data[(data["method"] == "sam") & (data["rho"] == 0.05) & (data["curve"] == "seed 42")]
    points = figure.axes[0].transData.transform(curve[["epoch", "test_loss"]]) / figure.bbox.size

    panel = hover.hover_points(study)["figure1"][0]
    [series] = [series for series in panel["series"] if series["label"] == "SAM, ρ = 0.05"]

    assert np.allclose(panel["x"], points[:, 0], atol=1e-4)
    assert np.allclose(series["y"], 1 - points[:, 1], atol=1e-4)
    assert series["text"][-1].startswith(f"{curve['test_loss'].iloc[-1]:.4f} (mean ")
    left, top, right, bottom = panel["box"]
    assert all(left <= x <= right for x in panel["x"])
    assert all(top <= y <= bottom for y in series["y"])


def test_figures_that_cannot_be_drawn_have_no_hover_points(study):
    history = paths.run("smoke", study.artifact("figure3").run_ids[-1]) / "history.csv"
    history.write_text("", encoding="utf-8")

    assert set(hover.hover_points(study)) == {"figure1", "figure4", "figure5"}


@given(st.sets(st.integers(1, 40), min_size=1))
def test_job_numbers_are_written_as_ranges(numbers):
    order = {f"job{number}": None for number in range(1, 41)}

    text = wording.numbered([f"job{number}" for number in numbers], order)

    read = set()
    for part in text.split(", "):
        first, _, last = part.partition("–")
        read |= set(range(int(first), int(last or first) + 1))
    assert read == numbers


@pytest.mark.parametrize(
    ("loss", "text"),
    [(4.714, "4.71"), (22.873, "22.9"), (0.05, "0.0500"), (70595465.0, r"$7.06 \times 10^{7}$"), (None, "diverged")],
)
def test_losses_are_written_with_three_digits(loss, text):
    assert wording.sensed(loss) == text


@pytest.mark.parametrize(
    ("method", "formula"),
    [
        ({"optimizer": "sgd"}, "$0$"),
        ({"p": 2, "geometry": "euclidean", "normalization": "dual"}, r"$\rho\, g/\lVert g\rVert_2$"),
        ({"p": 2, "geometry": "euclidean", "normalization": "none"}, r"$\rho\, g$"),
        ({"p": 2, "geometry": "euclidean", "normalization": "max"}, r"$\rho\, g/\lVert g\rVert_\infty$"),
        ({"p": "inf", "geometry": "euclidean", "normalization": "dual"}, r"$\rho\, \,\operatorname{sign}(g)$"),
        (
            {"p": 2, "geometry": "absolute", "normalization": "dual"},
            r"$\rho\, T^2g/\lVert Tg\rVert_2, \quad T = \left\lvert w\right\rvert$",
        ),
    ],
)
def test_ascent_steps_are_written_as_formulas(method, formula):
    assert wording.ascent({"optimizer": "sam", **method}) == formula


@given(st.text(alphabet="\\`*_{}[]<>#|$~^@ab 1", max_size=20))
def test_plain_text_is_left_unformatted(text):
    escaped = wording.plain(text)

    assert re.sub(r"\\(.)", r"\1", escaped) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_{}\[\]<>#|$~^@]", escaped)


def test_a_missing_artifact_is_named(study):
    paths.table("smoke", "table3", "md").unlink()

    with pytest.raises(UserError, match=r"table3\.md: no such file"):
        report.write_report(study)


def test_it_starts_without_torch():
    code = "import sys, sharpness.evidence.report; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_embedded_points_cannot_close_their_script():
    text = wording.embedded({"label": "</script><b>"})

    assert "</" not in text
    assert json.loads(text) == {"label": "</script><b>"}


def test_every_reference_is_cited_and_every_citation_is_known(study):
    bibliography = (Path("workflow/report") / "references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{(\w+),", bibliography, flags=re.MULTILINE))

    cited = set(re.findall(r"@([a-z]+\d{4})", Path("workflow/report/report.md").read_text(encoding="utf-8")))

    assert cited == known


def test_two_reports_of_the_same_results_are_the_same_page(study):
    page = paths.results("smoke") / "report.html"
    before = page.read_bytes()

    report.write_report(study)

    assert page.read_bytes() == before


def test_results_that_are_all_stale_still_make_a_report_that_says_so(study):
    file = Path("config/study.yaml")
    file.write_text(file.read_text(encoding="utf-8").replace("momentum: 0.9", "momentum: 0.8"), encoding="utf-8")
    changed = load_study("smoke")

    report.write_report(changed)

    page = (paths.results("smoke") / "report.html").read_text(encoding="utf-8")
    assert f"missing: {paths.run('smoke', next(iter(changed.runs)))}" in page
    assert f"and {len(check(changed)) - 10} more" in page


def test_titles_that_markdown_would_format_are_shown_as_they_are(study):
    title = "a*b* $c$ [d](e) | `f` <g> #h ~i~ {j}"
    study.settings["dataset"]["title"] = study.methods["sam"]["title"] = title
    finished.write_artifacts(study)

    text = text_of(study)

    shown = "".join(re.findall(r"<td[^>]*>(.*?)</td>", report.to_html(text)))
    assert "a*b* $c$ [d](e) | `f` &lt;g&gt; #h ~i~ {j}" in shown
    assert report.to_pdf(text).startswith(b"%PDF-")

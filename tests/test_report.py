"""The report: its numbers are those of the files under results/, both outputs are whole, and what is wrong is said."""

import base64
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import finished
import pandas as pd
import projects
import pytest
import synthetic

from sharpness import files, paths, records, registry
from sharpness.errors import UserError
from sharpness.evidence import claims, manifest, report
from sharpness.evidence.artifacts.method_table import Published as PublishedMethod
from sharpness.evidence.artifacts.radius_table import Published as PublishedRadius
from sharpness.evidence.report import context
from sharpness.evidence.report.sections import fill_in
from sharpness.evidence.report.writing import to_html, to_pdf
from sharpness.evidence.runs import write_table
from sharpness.evidence.verify import check
from sharpness.study import Claim, Part, load_study


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return finished.project(tmp_path)


def text_of(study) -> str:
    """The report's Markdown."""
    return fill_in(study, manifest.build(study), check(study))


def edit_record(study, name, change):
    """Change what a table's or figure's record says of it."""
    file = study.artifact(name).record(study.scale)
    record = json.loads(file.read_text(encoding="utf-8"))
    del record["seal"]
    change(record)
    records.write(file, record)


def edit_claims(claim, **values):
    """Change a row of claims.csv."""
    file = paths.claims("smoke")
    judged = pd.read_csv(file).set_index("claim")
    for column, value in values.items():
        judged.loc[claim, column] = value
    judged.reset_index().to_csv(file, index=False)


def recorded(study, name):
    return json.loads(study.artifact(name).record(study.scale).read_text(encoding="utf-8"))


def change_study(study, change):
    """The study after a change to config/study.yaml."""
    projects.edit(Path("config/study.yaml"), change)
    return load_study(study.scale)


def section_of(text, name):
    """A section of the report's Markdown, by its identifier."""
    [start] = re.finditer(rf"^# .*\{{#{name}\}}$", text, flags=re.MULTILINE)
    return re.split(r"^# ", text[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]


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
    return Page(paths.report("smoke")[0].read_text(encoding="utf-8"))


def test_every_link_within_the_page_has_its_target_and_no_name_is_given_twice(page):
    assert len(page.identifiers) == len(set(page.identifiers))
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert len(inside) > 40
    assert set(inside) <= set(page.identifiers)


def test_the_page_needs_no_other_file(page):
    assert len(page.sources) >= 5
    assert all(source.startswith("data:") for source in page.sources)
    beyond = [link for link in page.links if not link.startswith("#")]
    assert all(link.startswith("data:text/csv;base64,") for link in beyond)


def test_the_page_has_the_csv_of_every_figure(study, page):
    links = {attributes["download"]: attributes["href"] for _, attributes in page.tags if "download" in attributes}

    figures = [artifact for artifact in study.artifacts.values() if "svg" in artifact.suffixes]
    assert list(links) == ["forest1.csv", *(f"figure{number}.csv" for number in range(1, 6))]
    for artifact in figures:
        content = base64.b64decode(links[f"{artifact.name}.csv"].partition(",")[2])
        assert content == artifact.file(study.scale, "csv").read_bytes()


def test_the_page_s_policy_lets_nothing_in_but_what_is_in_it(page):
    [policy] = [attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes]
    allowed = dict(entry.split(" ", 1) for entry in policy.split("; "))

    assert allowed.pop("default-src") == allowed.pop("base-uri") == allowed.pop("form-action") == "'none'"
    assert allowed.pop("img-src") == "data:"
    assert all(source.startswith("'sha256-") for sources in allowed.values() for source in sources.split())
    names = {name for _, attributes in page.tags for name in attributes}
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]


def test_the_page_has_every_table_and_figure_with_an_alternative_text(page):
    assert {f"figure{number}" for number in range(1, 6)} | {"table1", "table2", "table3"} <= set(page.identifiers)
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 6, "five figures and the forest plot"
    assert all(len(image["alt"]) > 20 for image in images)


def test_formulas_are_mathml_and_none_is_left_as_tex(study):
    text = paths.report("smoke")[0].read_text(encoding="utf-8")

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

    pdf = to_pdf(markdown)

    assert pdf.startswith(b"%PDF-")
    assert to_pdf(markdown) == pdf


def test_the_numbers_in_the_text_are_those_of_the_tables(study):
    assert "0.7777" not in text_of(study)

    def lower_the_last(record):
        record["facts"]["ranked"][-1]["accuracy_mean"] = 0.7777

    def raise_the_first(record):
        record["facts"]["networks"]["resnet"]["ranked"][0]["accuracy_mean"] = 0.8888

    def change_the_loss(record):
        record["facts"]["methods"]["sam"][0]["loss_median"] = 6.66

    edit_record(study, "table1", lower_the_last)
    edit_record(study, "table2", raise_the_first)
    edit_record(study, "table3", change_the_loss)
    text = text_of(study)

    assert re.search(r"belongs to ρ = \S+ The lowest,\s+0\.7777", text)
    assert "(0.8888)" in text
    assert re.search(r"median loss of SAM goes from 6\.66", text)


def test_the_tables_are_those_of_the_files(study):
    edit_record(study, "table2", lambda record: record.update(body=record["body"].replace("ResNet |", "ResNet-like |")))

    assert "ResNet-like |" in text_of(study)


def test_a_verdict_is_the_one_of_claims_csv(study):
    edit_claims("F2", verdict="contradicted")

    text = text_of(study)

    [row] = [line for line in text.splitlines() if line.startswith("| **F2**")]
    assert "{.verdict .contradicted}" in row
    assert "F2 is [contradicted]{.verdict .contradicted}" in section_of(text, "radius")


def page_one_of(text):
    """What the report's Markdown puts before its sections."""
    return text.partition("\nsummary: |")[2].partition("\n---\n")[0]


def test_page_one_has_each_finding_with_its_verdict_and_what_decides_it(study):
    text = page_one_of(text_of(study))
    judged = pd.read_csv(paths.claims("smoke")).set_index("claim")["verdict"]

    assert "![**Forest plot 1.**" in text
    for claim in study.claims:
        assert f"[**{claim.name}**](#{claim.section}) [{judged[claim.name]}]{{.verdict" in text
    assert "A training run here sees 6,144 images (512 in 12 epochs), 1/1628 of the original's 10,000,000" in text
    assert "`snakemake --cores all forest1 --config scale=smoke`" in text


def test_page_one_says_whether_sam_is_better_than_sgd(study):
    edit_claims("F5b", effect=0.0123, low=0.0012, high=0.0234)
    edit_claims("F5d", effect=-0.0123, low=-0.0234, high=-0.0012)
    edit_claims("F6a", effect=0.0, low=-0.0234, high=0.0012)
    text = text_of(study).replace("\\", "")

    assert "**better** on ResNet (+1.23 points, interval +0.12 to +2.34)," in text
    assert "**worse** on WideResNet (−1.23 points, interval −2.34 to −0.12)," in text
    assert "**no clear difference** on PyramidNet (+0.00 points, interval −2.34 to +0.12)." in text

    edit_claims("F6a", low=None, high=None)
    assert "**too few runs to tell** on PyramidNet (+0.00 points)." in text_of(study).replace("\\", "")


def publish_another(study, change):
    """A record of another scale with this one's findings, but for what is changed in them."""
    claims = pd.read_csv(paths.claims("smoke")).set_index("claim")
    change(claims)
    Path("docs/results").mkdir(parents=True)
    table = Path("docs/results/paper.csv")
    claims.reset_index().to_csv(table, index=False)
    sums = {"jobs": {"a": "0" * 64}, "files": {table.name: files.sha256(table)}}
    about = {"scale": "paper", "title": "the other", "data": "other data", "epochs": 1, "seeds": [0], "level": 0.95}
    about |= {"runs": 1, "finished": 1, "commits": [], "cost": None, "pictures": [], **sums}
    records.write(table.with_suffix(".json"), about)


def marks_of(text):
    """The verdicts on page one, by the scale's title."""
    rows = re.findall(r"^  \| (\S.*?) \| (\[.*) \|$", page_one_of(text), re.MULTILINE)
    return {title: re.findall(r'aria-label="(\w+)"', cells) for title, cells in rows}


def test_page_one_has_the_verdicts_of_the_published_scales_beside_its_own(study):
    judged = pd.read_csv(paths.claims("smoke")).set_index("claim")["verdict"]
    own = [judged[claim.name] for claim in study.claims]

    def contradict(claims):
        claims.loc[["F1", "F1a"], "verdict"] = "contradicted"

    publish_another(study, contradict)

    text = text_of(study)
    assert own[0] != "contradicted"
    assert marks_of(text) == {"**smoke scale** (this report)": own, "the other": ["contradicted", *own[1:]]}
    assert "[●]{.verdict .supported" in text
    assert "those of other scales in [Table S1](#table-scales) from `docs/results/`" in text
    assert 'id="table-scales"' in to_html(text)
    assert to_pdf(text).startswith(b"%PDF-")


def test_a_scale_that_was_judged_by_other_criteria_is_not_compared(study):
    def loosen(claims):
        claims.loc["F1a", "criterion"] = "another"

    publish_another(study, loosen)

    assert "table-scales" not in text_of(study)


def test_without_published_scales_page_one_has_no_table_of_them(study):
    assert not Path("docs/results").exists()
    assert "table-scales" not in text_of(study)


def test_page_one_s_numbers_are_those_of_its_file(study):
    edit_record(
        study, "forest1", lambda record: record["facts"]["because"].update(F5="aSAM ends 7.77 points above SGD")
    )

    assert "ASAM ends 7.77 points above SGD." in page_one_of(text_of(study))


def test_how_many_images_a_run_sees_is_not_said_of_data_whose_number_is_not_known(study):
    assert context.images(study)["original"] == {"images": 50_000, "epochs": 200, "seen": 10_000_000}

    study.settings["dataset"] = {"name": "image_folder", "title": "own"}

    assert context.images(study) is None


def test_a_section_ends_with_the_command_that_makes_it_again(study):
    assert "`snakemake --cores all table1 figure1 --config scale=smoke`" in section_of(text_of(study), "radius")


def test_what_is_wrong_with_the_results_is_said_in_a_badge(study):
    html, _ = paths.report("smoke")
    assert 'id="stale"' not in html.read_text(encoding="utf-8")

    history = study.artifact("figure1").jobs(study)[0].data
    history.write_text(history.read_text(encoding="utf-8").replace("0.1", "0.2"), encoding="utf-8")
    report.write_report(study)

    page = html.read_text(encoding="utf-8")
    assert 'id="stale"' in page
    assert f"altered: {history}" in page


def test_a_short_schedule_is_warned_of(study):
    assert context.badge(study)["tone"] == "note"

    for scale, words in {"smoke": "says nothing about the methods", "laptop": "holds for this scale alone"}.items():
        badge = context.badge(load_study(scale, synthetic.ROOT))
        assert words in badge["text"]
        assert badge["tone"] == ("warning" if scale == "smoke" else "note")


def test_what_differs_from_the_original_is_listed(study):
    rows = {row["what"]: (row["here"], row["original"]) for row in context.deviations(study)}

    assert rows["data set"] == ("digits (8×8)", "CIFAR-10")
    assert rows["epochs"] == ("12", "200")
    assert rows["WideResNet"][1] == "WideResNet (depth 22, width 8)"
    assert "seeds" not in rows
    assert context.deviations(load_study("paper")) == []


def test_a_network_whose_every_run_diverged_is_told_as_such(study):
    lost = synthetic.find(study, network="vgg")
    for run_id in lost:
        synthetic.write(study, run_id, synthetic.history(study.runs[run_id].spec, diverges_at=2))
    everywhere = synthetic.find(study, network="wide_resnet", method="sam", rho=0.5)
    for run_id in everywhere:
        synthetic.write(study, run_id, synthetic.history(study.runs[run_id].spec, diverges_at=1))
    finished.write_artifacts(study)

    text = text_of(study)

    assert "At ρ = 0.5 every seed diverged." in text
    assert re.search(r"VGG:\s+SGD diverged with every seed\.\s+SAM, ρ = 0\.05 diverged with every seed", text)
    assert to_pdf(text).startswith(b"%PDF-")


def test_a_mean_over_some_of_its_seeds_says_how_many_diverged(study):
    for seed in (0, 10):
        for network in ("wide_resnet", "resnet"):
            [lost] = synthetic.find(study, network=network, method="sam", rho=0.05, seed=seed)
            synthetic.write(study, lost, synthetic.history(study.runs[lost].spec, diverges_at=2))
    finished.write_artifacts(study)

    text = text_of(study)

    assert "The mean at ρ = 0.05 is over the seeds that completed: 2 of 3 diverged." in text
    assert re.search(r"- ResNet:\s+SAM, ρ = 0\.05 \(0\.\d+; 2 of 3 seeds diverged\)", text)
    assert "a mean over one seed has no spread to compare it with" in text


def test_runs_that_all_stop_at_once_still_make_a_report(study):
    for job in study.artifact("figure1").jobs(study):
        synthetic.write(study, job.id, synthetic.history(job.spec, diverges_at=1))
    finished.write_artifacts(study)

    text = text_of(study)

    assert "The learning rate drops after" not in text
    assert "before a drop" not in text
    assert to_html(text)


def facts_of(study, artifact):
    """What a table or figure says of itself once it is written."""
    study.artifacts[artifact.name] = artifact
    artifact.write(study)
    return recorded(study, artifact.name)["facts"]


def test_one_seed_has_no_spread_to_compare_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = synthetic.project(tmp_path, "smoke", seeds=[42], experiment_seeds={})
    synthetic.write_all(study)

    compared = facts_of(study, study.artifact("table1"))["compared"]

    assert len(compared) == 8
    assert {row["within"] for row in compared} == {None}


def test_a_published_value_is_within_if_it_lies_between_the_lowest_and_the_highest(study):
    table1 = study.artifact("table1")
    runs = pd.read_csv(paths.runs("smoke"))
    seeds = runs[runs["run_id"].isin([job.id for job in table1.jobs(study)]) & (runs["rho"] == 0.5)]
    middle, beyond = seeds["final_test_accuracy"].mean(), seeds["final_test_loss"].max() + 1e-6
    printed = PublishedRadius(
        0.5, accuracy_mean=middle, accuracy_std=0.1, loss_mean=beyond, loss_std=0.1, source="here"
    )

    accuracy, loss = facts_of(study, replace(table1, published=(printed,)))["compared"]

    assert (accuracy["what"], accuracy["within"], accuracy["n"]) == ("ρ = 0.5, accuracy", True, 3)
    assert (accuracy["low"], accuracy["high"]) == (
        seeds["final_test_accuracy"].min(), seeds["final_test_accuracy"].max(),
    )  # fmt: skip
    assert (loss["what"], loss["within"]) == ("ρ = 0.5, loss", False)


def test_a_published_variant_of_a_method_is_shown_without_a_value_of_ours(study):
    table2 = study.artifact("table2")
    method = {"network": "wide_resnet", "method": "asam", "rho": 2.0, "accuracy": 0.9, "source": "a", "differs": "b"}
    printed = tuple(PublishedMethod(**method, variant=variant) for variant in (None, "on weights only"))

    same, variant = facts_of(study, replace(table2, published=printed))["compared"]

    assert same["ours"]["n"] == 3
    assert variant["ours"] is None
    assert variant["what"] == "ASAM, ρ = 2, on weights only, on WideResNet"


def test_a_published_draw_is_compared_on_a_log_scale_and_divergence_has_no_ratio(study):
    draws = {
        ("sam", 4): [1.0, 2.0, 3.0],
        ("usam", 4): [1e60, 1e62, 1e64],
        ("usam", 3): [math.inf, math.nan, math.inf],
        ("sam", 3): [0.0, 0.0, 3.0],
    }
    rows = [
        (method, rho, draw, step, draws.get((method, step), [1.0] * 3)[draw] if rho == 0.1 else 1.0)
        for method in ("sam", "usam")
        for rho in (0.001, 0.005, 0.01, 0.1)
        for draw in range(3)
        for step in range(1, 11)
    ]
    synthetic.write_sensing(study, pd.DataFrame(rows, columns=["method", "rho", "draw", "step", "loss"]))

    compared = {row["what"]: row for row in facts_of(study, study.artifact("table3"))["compared"]}

    assert (compared["SAM, step 4"]["within"], compared["SAM, step 4"]["n"]) == (True, 3)
    assert compared["USAM, step 4"]["within"] is False
    assert compared["USAM, step 4"]["orders"] == pytest.approx(62 - math.log10(1.545e65))
    lost = compared["USAM, step 3"]
    assert (lost["ours"], lost["orders"], lost["within"]) == (None, None, False)
    assert compared["SAM, step 3"]["orders"] is None, "a loss of 0 has no logarithm"


def test_drops_of_the_learning_rate_are_read_from_the_history(study):
    data = pd.read_csv(study.artifact("figure1").file("smoke", "csv"))

    drops = recorded(study, "figure1")["facts"]["drops"]

    assert drops["epochs"] == [4, 8, 10]  # 30, 60 and 80 % of 12, each the first whole epoch that reaches it
    first = drops["rows"][0]
    shown = data[(data["label"] == first["label"]) & (data["curve"] == "seed 42")].set_index("epoch")["test_loss"]
    assert first["changes"][0] == pytest.approx([shown[4], shown[5]])
    assert "in the first one after it (seed 42).\n" in text_of(study).replace(" {#table-drops}", "")


def test_drops_are_those_of_the_seed_shown_beside_one_that_diverged(study):
    jobs = study.artifact("figure3").jobs(study)
    for job in jobs:
        if job.spec["seed"] == 0:
            synthetic.write(study, job.id, synthetic.history(job.spec, diverges_at=5))

    drops = facts_of(study, study.artifact("figure3"))["drops"]

    assert (drops["epochs"], drops["curve"]) == ([4, 8, 10], "seed 42")
    [shown] = [job for job in jobs if job.spec["seed"] == 42 and job.spec["method"] == "sam"]
    history = pd.read_csv(shown.data).set_index("epoch")["test_loss"]
    assert drops["rows"][0]["changes"] == [[history[epoch], history[epoch + 1]] for epoch in (4, 8, 10)]


def test_findings_keep_their_own_parts(study):
    columns = [
        "claim",
        "statement",
        "quantity",
        "effect",
        "low",
        "high",
        "n",
        "needed",
        "criterion",
        "verdict",
        "reason",
    ]
    rows = [
        ("F1", "one", "", None, None, None, None, None, "", "supported", ""),
        ("F1a", "part", "", 0.5, 0.4, 0.6, 3, None, "strict", "supported", ""),
        ("F10", "ten", "", None, None, None, None, None, "", "inconclusive", ""),
        ("F10a", "part", "", None, None, None, None, None, "lax", "inconclusive", ""),
        ("F10b", "part", "", 0.5, 0.4, 0.6, 20, None, "strict", "supported", ""),
    ]

    def claim(name, *letters):
        return Claim(name, "", "radius", tuple(Part(name + letter, "", None, {}) for letter in letters))

    other = replace(study, claims=[claim("F1", "a"), claim("F10", "a", "b")])
    found = context.claims(other, pd.DataFrame(rows, columns=columns))

    assert {row["claim"]: [part["claim"] for part in row["parts"]] for row in found["rows"]} == {
        "F1": ["F1a"],
        "F10": ["F10a", "F10b"],
    }
    assert found["counts"] == {"supported": 1, "inconclusive": 1}
    assert [found["criteria"][part["criterion"] - 1] for part in found["rows"][1]["parts"]] == ["lax", "strict"]
    assert found["rows"][1]["parts"][1]["n"] == 20


def test_a_uniform_predictor_s_loss_is_the_study_s():
    assert context.uniform_loss(0.1, classes=10) == pytest.approx(1.7578, abs=5e-5)
    assert context.uniform_loss(0.0, classes=10) == pytest.approx(math.log(10))


def hover_of(page):
    """The hover data that a page embeds, by figure."""
    scripts = re.findall(r'<script type="application/json" class="hover" data-figure="(\w+)">(.*?)</script>', page)
    return {name: json.loads(text) for name, text in scripts}


def test_the_page_has_the_hover_points_of_every_figure_that_has_them(study):
    embedded = hover_of(paths.report("smoke")[0].read_text(encoding="utf-8"))

    assert set(embedded) == {"figure1", "figure3", "figure4", "figure5"}
    assert embedded == {name: recorded(study, name)["hover"] for name in embedded}


def test_a_figure_whose_runs_changed_since_it_was_drawn_keeps_the_hover_points_that_it_was_drawn_with(study):
    before = hover_of(paths.report("smoke")[0].read_text(encoding="utf-8"))
    study.artifact("figure3").jobs(study)[-1].data.write_text("", encoding="utf-8")

    report.write_report(study)

    assert hover_of(paths.report("smoke")[0].read_text(encoding="utf-8")) == before


@pytest.mark.parametrize("suffix", ["md", "json"])
def test_a_missing_artifact_is_named(study, suffix):
    study.artifact("table3").file("smoke", suffix).unlink()

    with pytest.raises(UserError, match=rf"table3\.{suffix}: no such file"):
        report.write_report(study)


def test_a_record_that_is_cut_short_is_named(study):
    record = study.artifact("figure5").record("smoke")
    record.write_bytes(record.read_bytes()[:100])

    with pytest.raises(UserError, match=r"figure5\.json: cut short or not JSON; delete it and make it again"):
        report.write_report(study)


def test_a_claim_that_is_not_judged_yet_is_named(study):
    file = paths.claims("smoke")
    judged = pd.read_csv(file)
    write_table(file, judged[judged["claim"] != "F3b"])

    with pytest.raises(UserError, match=r"claims\.csv: no row for F3b; make it again"):
        report.write_report(study)


def test_it_is_written_without_torch(study):
    script = (
        "import sys; from sharpness.cli import main\n"
        "print(main(['report', '--scale', 'smoke']), 'torch' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "0 False\n"


def test_every_reference_is_cited_and_every_citation_is_known(study):
    bibliography = (Path("workflow/report") / "references.bib").read_text(encoding="utf-8")
    known = set(re.findall(r"^@\w+\{(\w+),", bibliography, flags=re.MULTILINE))

    templates = Path("workflow/report").rglob("*.md")
    cited = {name for file in templates for name in re.findall(r"@([a-z]+\d{4})", file.read_text(encoding="utf-8"))}
    for package in ("networks", "datasets"):
        citations = [registry.constants(package, name)["CITATION"] for name in registry.names(package)]
        cited |= set(filter(None, citations))

    assert cited == known


def test_two_reports_of_the_same_results_are_the_same_page(study):
    before = [file.read_bytes() for file in paths.report("smoke")]

    report.write_report(study)

    assert [file.read_bytes() for file in paths.report("smoke")] == before


def test_results_that_are_all_stale_still_make_a_report_that_says_so(study):
    file = Path("config/study.yaml")
    file.write_text(file.read_text(encoding="utf-8").replace("momentum: 0.9", "momentum: 0.8"), encoding="utf-8")
    changed = load_study("smoke")

    report.write_report(changed)

    page = paths.report("smoke")[0].read_text(encoding="utf-8")
    assert f"missing: {next(iter(changed.runs.values())).folder}" in page
    assert f"and {len(check(changed)) - 10} more" in page


@pytest.fixture
def nothing_recomputed(study, monkeypatch):
    """Whatever would draw, tabulate, measure or read a job's numbers raises."""

    def refuse(*arguments):
        raise AssertionError("the report reads files")

    for artifact in study.artifacts.values():
        for method in ("data", "draw", "content", "facts", "hover", "caption", "write"):
            if hasattr(artifact, method):
                monkeypatch.setattr(type(artifact), method, refuse)
    for claim in study.claims:
        for part in claim.parts:
            monkeypatch.setattr(type(part.quantity), "measure", refuse)
    monkeypatch.setattr(claims, "judge", refuse)


def test_the_report_reads_files_and_draws_or_computes_nothing_again(study, nothing_recomputed):
    before = [file.read_bytes() for file in paths.report("smoke")]

    report.write_report(study)

    assert [file.read_bytes() for file in paths.report("smoke")] == before


# Its sections


def test_supplementary_tables_are_numbered_in_their_order_and_every_reference_resolves(study):
    text = text_of(study)

    assert not re.search(r"[\x00-\x08\x0b-\x1f]", text)
    assert "Table S0" not in text
    captions = re.findall(r"^: \*\*Table (S\d+)\.\*\*.*\{#table-(\w+)\}$", text, flags=re.MULTILINE)
    assert [number for number, _ in captions] == [f"S{index + 1}" for index in range(len(captions))]
    assert len(captions) >= 11
    numbers = {name: number for number, name in captions}
    links = re.findall(r"\[Table (S\d+)\]\(#table-(\w+)\)", text)
    assert len(links) >= 8
    assert all(numbers[name] == number for number, name in links)
    known = set(re.findall(r"\{#([\w-]+)[ }]", text)) | {"provenance", "refs"}
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= known


def test_a_reference_to_a_table_that_is_not_shown_is_named(study):
    with Path("workflow/report/sections/questions.md").open("a", encoding="utf-8") as file:
        file.write('\nSee {{ ref("nowhere") }}.\n')

    with pytest.raises(UserError, match=r"workflow/report: the text refers to nowhere, which it does not show"):
        text_of(study)


def test_a_section_ends_with_the_verdicts_of_its_findings(study):
    text = text_of(study)
    judged = pd.read_csv(paths.claims("smoke")).set_index("claim")["verdict"]

    for name in study.sections:
        ends = [f"{claim.name} is [{judged[claim.name]}]" for claim in study.claims if claim.section == name]
        said = re.findall(r"F\d+ is \[\w+\](?=\{\.verdict)", section_of(text, name))
        assert said == ends
        if ends:
            assert re.search(r"judged in \[Table S\d+\]\(#table-findings\)", section_of(text, name))


def test_a_section_ends_with_what_its_jobs_took(study):
    text = text_of(study)

    for name in study.sections:
        jobs = {
            job.id for artifact in study.artifacts.values() if artifact.section == name for job in artifact.jobs(study)
        }
        jobs |= {study.problems[problem].id for problem in study.sections[name]}
        said = re.findall(
            r"^The (\d+) jobs? of this section took ([\d.]+ \w+) of CPU time\.$", section_of(text, name), re.M
        )
        assert [int(count) for count, _ in said] == ([len(jobs)] if jobs else [])
    trained = len(study.artifact("table1").jobs(study))
    assert f"The {trained} jobs of this section took {trained}.0 s of CPU time." in section_of(text, "radius")


# Further tables and figures


@pytest.fixture
def longer(study):
    """The study with a Table X and a Figure 22 that no section's text mentions."""

    def add(design):
        table2, figure1 = design["artifacts"]["table2"], design["artifacts"]["figure1"]
        title = "A title of its own"
        design["artifacts"]["table10"] = {**table2, "section": "radius", "network": "vgg", "title": "The VGG alone"}
        design["artifacts"]["figure22"] = {**figure1, "section": "findings", "title": title}

    longer = change_study(study, add)
    finished.write_artifacts(longer)
    return longer


def test_an_artifact_that_no_section_mentions_stands_at_the_end_of_its_own(longer):
    text = text_of(longer)

    radius, findings = section_of(text, "radius"), section_of(text, "findings")
    assert radius.index(": **Table I.**") < radius.index(": **Table X.** Test accuracy") < radius.index("The original")
    assert findings.index("{#table-findings}") < findings.index("![**Figure 22.** A title of its own, on WideResNet")
    assert text.count("{#table10}") == text.count("{#figure22 ") == 1
    assert (recorded(longer, "table10")["label"], recorded(longer, "figure22")["label"]) == ("Table X", "Figure 22")
    assert "% Table X. " in longer.artifact("table10").file("smoke", "tex").read_text(encoding="utf-8")


def test_further_artifacts_are_in_the_page_the_appendix_and_the_manifest(longer):
    report.write_report(longer)

    page = Page(paths.report("smoke")[0].read_text(encoding="utf-8"))
    assert {"table10", "figure22"} <= set(page.identifiers)
    assert "figure22" in hover_of(paths.report("smoke")[0].read_text(encoding="utf-8"))
    written = json.loads(paths.manifest("smoke").read_text(encoding="utf-8"))
    assert list(written["artifacts"]) == [*longer.artifacts, "runs.csv", "claims.csv"]
    assert list(longer.artifacts)[-2:] == ["table10", "figure22"]
    text = text_of(longer)
    rows = re.findall(r"^\| (\w+\d+|\w+\.csv) \| \d+ \|", text, flags=re.MULTILINE)
    assert rows == list(written["artifacts"])
    assert to_pdf(text).startswith(b"%PDF-")


def test_a_reference_to_a_further_artifact_is_a_link_to_it(longer):
    with Path("workflow/report/sections/questions.md").open("a", encoding="utf-8") as file:
        file.write('\nSee {{ ref("table10") }} and {{ ref("figure22") }}.\n')

    assert "See [Table X](#table10) and [Figure 22](#figure22)." in text_of(longer)


def test_an_artifact_that_another_section_shows_is_shown_once(study):
    other = change_study(study, lambda design: design["artifacts"]["figure1"].update(section="questions"))

    text = text_of(other)

    assert text.count("{#figure1 ") == 1
    assert "{#figure1 " in section_of(text, "radius")


def test_a_section_more_is_a_file_and_an_entry(study):
    Path("workflow/report/sections/outlook.md").write_text("# Outlook {#outlook}\n\nMore of {{ ref('table1') }}.\n")

    text = text_of(change_study(study, lambda design: design["sections"].insert(1, "outlook")))

    assert "More of [Table I](#table1)." in section_of(text, "outlook")
    assert text.index("{#questions}") < text.index("{#outlook}") < text.index("{#method}")


def test_titles_that_markdown_would_format_are_shown_as_they_are(study):
    title = "a*b* $c$ [d](e) | `f` <g> #h ~i~ {j}"
    study.settings["dataset"]["title"] = study.methods["sam"]["title"] = title
    finished.write_artifacts(study)

    text = text_of(study)

    shown = "".join(re.findall(r"<td[^>]*>(.*?)</td>", to_html(text)))
    assert "a*b* $c$ [d](e) | `f` &lt;g&gt; #h ~i~ {j}" in shown
    assert to_pdf(text).startswith(b"%PDF-")

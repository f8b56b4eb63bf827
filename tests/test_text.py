"""Text is text: whatever prints in a title or statement is in the report as it is, and nothing of it is interpreted."""

import contextlib
import csv
import html
import io
import itertools
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import finished
import pandas as pd
import projects
import pypandoc
import pytest
import synthetic
import typst
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sharpness.config import check_text
from sharpness.errors import UserError
from sharpness.evidence import style
from sharpness.evidence.formatting import LATEX, MARKDOWN, code, embedded, plain
from sharpness.evidence.report.sections import SOURCES
from sharpness.evidence.runs import csv_text, read_table
from sharpness.study import load_study

NASTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)> &lt; &#60; &copy;",
    "![](/etc/hostname)",
    "[link](javascript:alert(1)) and <https://example.org>",
    '`#read("/etc/hostname")`{=typst} #read("/etc/hostname")',
    r"$\foo$ and $$ and \(x\) and \$",
    r"\input{/etc/hostname} \write18{id} 100 % {braces}",
    "{{ 7 * 7 }} {% include 'x' %} {# no #} ${title}$",
    "see @nobody2099 and [@nobody2099]",
    "😀 naïve 中文 שלום ⟨∂⟩ ﬁ",
    "1. first",
    "a) second",
    "::: {.warning}",
    "% title block",
    "> quoted",
    "| a | b |",
    "# heading {#questions}",
    "*bold* **very** _it_ ~~gone~~ ^up^ ~down~ `code` \"quoted\" 'single' -- --- ...",
    "[^1] ^[note] [text]{.verdict}",
    "Table: a caption {#x}",
    "_hidden",
    "NA",
    "null",
    "a --- title: x",
    "\\",
    "[optional] after a line break, *starred",
    "a,b;\"c\",'d'",
    '=HYPERLINK("http://x")',
    "@SUM(A1)",
    "+1",
    "-? and soft-?hyphens, -1",
    "- item",
    "/ term: text",
    "'=quoted",
]  # fmt: skip


def _allowed(alphabet: st.SearchStrategy) -> st.SearchStrategy:
    """What config/ may say: `check_text` refuses the rest."""
    return st.text(alphabet, min_size=1, max_size=40).map(str.strip).filter(bool)


ANY = st.characters(categories=("L", "M", "N", "P", "S")) | st.just(" ")
# The marks of all formats, frequent.
MARKS = st.sampled_from("\\`*_{}[]<>()#|$~^@&\"'!:;/=%+-.,?1a é")
TEXTS = _allowed(ANY) | _allowed(MARKS) | st.sampled_from(NASTY)


def same(text: str) -> str:
    """Text as a page shows it, where several blanks are one."""
    return " ".join(text.split())


class Shown(HTMLParser):
    """The text of each element <p>, and every tag and attribute."""

    def __init__(self, page: str):
        super().__init__()
        self.texts, self.tags, self.handlers = [], [], []
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        if tag == "p":
            self._inside = True
            self.texts.append("")

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "p"

    def handle_data(self, data):
        if self._inside:
            self.texts[-1] += data


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("two\nlines", "U+000A"), ("a\x00b", "U+0000"), ("a\x1b[31mred", "U+001B"), ("a\u2028b", "U+2028"),
        ("right\u202eleft", "U+202E"), ("\x02figure1\x03", "U+0002"), (" a", "begins or ends with a blank"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("study.yaml", "methods.sam.title"),
        ("study.yaml", "artifacts.table1.title"),
        ("scales/smoke.yaml", "title"),
        ("claims.yaml", "claims.F1.parts.0.statement"),
        ("published.yaml", "table2.0.differs"),
    ],
)
def test_text_that_no_document_shows_as_it_is_is_refused_when_the_study_is_loaded(tmp_path, file, key, text, why):
    shutil.copytree(synthetic.ROOT / "config", tmp_path / "config")
    shutil.copytree(synthetic.ROOT / "workflow", tmp_path / "workflow")
    projects.replace(tmp_path / "config" / file, {key: text})

    with pytest.raises(UserError) as refusal:
        load_study("smoke", tmp_path)

    message = str(refusal.value)
    assert f"config/{file}" in message
    assert key in message
    assert why in message


def test_the_nasty_texts_are_allowed():
    check_text(NASTY, "test")


def documents(texts: list[str]) -> str:
    """Markdown in which each text is a paragraph, after a list, a table and a heading's paragraph."""
    return "\n\n".join(f"{plain(text)}" for text in texts)


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS, min_size=10, max_size=40))
def test_markdown_shows_any_text_as_it_is(texts):
    native = pypandoc.convert_text(documents(texts), "html5", format="markdown", extra_args=["--wrap=none"])

    assert [same(text) for text in Shown(native).texts] == [same(text) for text in texts]
    assert set(Shown(native).tags) == {"p"}


@settings(max_examples=15, deadline=None)
@given(st.lists(TEXTS, min_size=10, max_size=40))
@example(["-?", "soft-?hyphen", "= heading", "- item", "+ item", "/ term: text", "-1 -- 2 --- 3", "... 'single'"])
def test_typst_is_given_any_text_as_it_is(texts):
    """Compiled, and asked by typst's own query for what it shows: in paragraphs, cells, list items and a caption."""
    rows = "\n".join(f"| {plain(text)} |" for text in texts)
    items = "\n".join(f"- {plain(text)}" for text in texts)
    source = pypandoc.convert_text(
        f"{documents(texts)}\n\n| |\n|---|\n{rows}\n\n: {plain(texts[0])}\n\n{items}",
        "typst",
        format="markdown",
        extra_args=["--wrap=none", "--columns=10000", f"--lua-filter={synthetic.ROOT / SOURCES / 'report.lua'}"],
    )
    paragraphs, _, rest = source.partition("#figure(")
    cells = [
        *re.findall(r"^    \[(.*)\],$", rest, re.MULTILINE),
        *re.findall(r"caption: \[(.*)\]$", rest, re.MULTILINE),
    ]
    listed = re.findall("^- .*$", rest, re.MULTILINE)
    parts = [*paragraphs.strip().split("\n\n"), *cells, *(f"\n{item}\n" for item in listed)]
    found = typst.query("\n".join(f"#metadata([{part}]) <text>" for part in parts).encode(), "<text>", field="value")

    assert [same(part) for part in _contents(found)] == [same(text) for text in (*texts, *texts, texts[0], *texts)]
    assert len(listed) == len(texts)


def _contents(queried: str) -> list[str]:
    def text(value) -> str:
        if isinstance(value, list):
            return "".join(map(text, value))
        match value["func"]:
            case "text" | "symbol":
                return value["text"]
            case "space":
                return " "
            case "sequence":
                return text(value["children"])
            case "item":
                return text(value["body"])
        raise AssertionError(f"{value['func']} is markup")

    return [text(value) for value in json.loads(queried)]


@given(TEXTS)
def test_latex_finds_nothing_to_interpret(text):
    escaped = LATEX.text(text)

    known = re.compile(
        r"\\(?:textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|textquotesingle"
        r"|textasciigrave|textquotedbl)\{\}|\\[&%$#_{}]|\{[\[\]*]\}|\$(?:\\(?:times|infty|rho|eta|pm)|-)\$|-\{\}"
    )
    assert not re.search(r"[\\&%$#_{}~^<>|\[\]*\"'`]", known.sub("", escaped))
    assert not re.match(r"[\[*]", escaped)  # an argument of the row's line break
    assert "\n" not in escaped


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_csv_has_no_formula_and_is_read_as_any_text_is(texts):
    written = csv_text(pd.DataFrame({"title": texts, "value": -0.5}))
    cells = [row[0] for row in csv.reader(io.StringIO(written))][1:]

    assert not any(re.match(r"[=+\-@\t\r]", cell) for cell in cells)
    assert all(cell in (text, f"'{text}") for cell, text in zip(cells, texts, strict=True))
    read = read_table(io.StringIO(written), numbers=["value"])
    assert read["title"].tolist() == texts
    assert set(read["value"]) == {-0.5}


@settings(max_examples=25, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3, unique=True))
@pytest.mark.filterwarnings("ignore:Glyph")
def test_figures_draw_any_text_as_it_is(texts):
    with style.paper():
        drawing = Figure(figsize=(3, 2), layout="constrained")
        style.title(drawing, texts[0])
        style.legend(drawing, [Line2D([], [], label=text) for text in texts], [])
        style.settle(drawing)
        for kind in ("svg", "pdf", "png"):
            drawing.savefig(io.BytesIO(), format=kind)

    [legend] = drawing.legends
    drawn = [part._preprocess_math(part.get_text()) for part in (drawing._suptitle, *legend.get_texts())]
    assert [(part.strip(), math) for part, math in drawn] == [(text, False) for text in (texts[0], *texts)]
    # What the page shows on hover goes by the label itself.
    assert [handle.get_label() for handle in legend.legend_handles] == texts


@given(TEXTS)
def test_embedded_data_cannot_leave_its_script_element(text):
    assert "<" not in embedded([text])
    assert json.loads(embedded([text])) == [text]


@given(_allowed(MARKS))
def test_code_is_shown_as_it_is(text):
    page = pypandoc.convert_text(f"x {code(text)}", "html5", format="markdown", extra_args=["--wrap=none"])
    assert same("".join(Shown(page).texts)) == same(f"x {text}")


@pytest.fixture(scope="module")
def renamed(tmp_path_factory):
    """A finished project in which every title, statement and source is a nasty text."""
    folder = tmp_path_factory.mktemp("renamed")
    synthetic.project(folder, epochs=2, seeds=[0, 10, 42], experiment_seeds={})
    again = (f"{text} {number}" for number in itertools.count(2) for text in NASTY)  # no two may be the same
    texts = itertools.chain(NASTY, again)

    def rename(value):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            if key in ("title", "statement", "source", "differs"):
                value[key] = next(texts)
            elif isinstance(child, dict | list):
                rename(child)

    for file in ("study", "claims", "published", "scales/smoke", "scales/laptop"):
        projects.edit(folder / f"config/{file}.yaml", rename)
    with contextlib.chdir(folder):
        study = load_study("smoke")
        finished.complete(study)
    return folder, study


@pytest.mark.filterwarnings("ignore:Glyph")
def test_the_report_has_every_nasty_text_as_it_is(renamed):
    folder, study = renamed
    page = (folder / "results/smoke/report.html").read_text(encoding="utf-8")
    shown = same(html.unescape(re.sub(r"<[^<>]*>", "", re.sub(r"(?s)<script.*?</script>", "", page))))
    texts = [*(method["title"] for method in study.methods.values()), study.settings["title"]]
    texts += [artifact.title for artifact in study.artifacts.values() if artifact.prefix == "figure"]
    texts += [entry.statement for claim in study.claims for entry in (claim, *claim.parts)]
    texts += [getattr(row, key) for row in study.artifacts["table2"].published for key in ("source", "differs")]

    assert [text for text in texts if same(text) not in shown] == []
    # Nothing of them lives: no element, handler or file of theirs.
    parsed = Shown(page)
    assert parsed.handlers == []
    assert parsed.tags.count("script") == page.count("<script")
    assert Path("/etc/hostname").read_text(encoding="utf-8").strip() not in page
    assert "javascript:" not in re.sub(r">[^<]*<", "><", page)


def test_the_pdf_has_them_too(renamed):
    folder, study = renamed
    read = subprocess.run(
        ["pdftotext", "-raw", folder / "results/smoke/report.pdf", "-"], capture_output=True, check=True
    )
    letters = re.sub(r"\W", "", read.stdout.decode())

    for claim in study.claims:
        if claim.statement.isascii():
            assert re.sub(r"\W", "", claim.statement) in letters


def test_tables_and_claims_have_them_too(renamed):
    folder, study = renamed
    rows = read_table(folder / "results/smoke/claims.csv").set_index("claim")["statement"]
    titles = [method["title"] for name, method in study.methods.items() if name in ("sgd", "sam", "asam")]

    assert all(rows[claim.name] == claim.statement for claim in study.claims)
    for suffix, form in (("md", MARKDOWN), ("tex", LATEX)):
        text = (folder / f"results/smoke/tables/table2.{suffix}").read_text(encoding="utf-8")
        assert all(form.text(title) in text for title in titles)
    assert "\\input" not in (folder / "results/smoke/tables/table2.tex").read_text(encoding="utf-8")

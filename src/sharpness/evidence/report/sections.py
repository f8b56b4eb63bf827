"""Filling in the report's templates: the sections in the study's order, then the frame around them."""

import base64
import re
from pathlib import Path

import jinja2
from markupsafe import Markup

from sharpness.errors import UserError
from sharpness.evidence.artifact import Figure
from sharpness.evidence.formatting import FILTERS, embedded, plain
from sharpness.evidence.manifest import total_cost
from sharpness.evidence.report.context import read_context
from sharpness.paths import shipped
from sharpness.study import Study

SOURCES = Path("workflow/report")

# A supplementary table has its number when all of the report is there: until then its name between these stands for it.
NUMBER = re.compile("\x02(\\w+)\x03")


def fill_in(study: Study, manifest: dict, findings: list[str]) -> str:
    """The report as Markdown.

    Args:
        study: the study.
        manifest: as sharpness.evidence.manifest.build gives it.
        findings: what is wrong with the results, as sharpness.evidence.verify.check gives it.

    Raises:
        UserError: a file that the report quotes is missing, or the text refers to a table that it does not show.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(shipped(SOURCES)),
        undefined=jinja2.StrictUndefined,
        # Markdown's {#identifier} would open one of Jinja's own comments.
        comment_start_string="<!--",
        comment_end_string="-->",
        trim_blocks=True,
        lstrip_blocks=True,
        # Whatever a template quotes is text and escaped here; what is marked as Markdown (Markup) goes in as it is.
        autoescape=True,
        finalize=plain,
    )
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # YAML has no pairs of surrogates
    environment.filters |= FILTERS
    context = read_context(study) | {
        "manifest": manifest,
        "findings": findings,
        "scale_title": plain(study.settings["title"]),
        "data_title": plain(study.settings["dataset"]["title"]),
    }
    writer = _Writer(study, context, environment)
    page_one = writer.render("page_one.md")
    texts = {name: writer.render(f"sections/{name}.md") for name in study.sections}
    sections = [Markup(writer.section(name, text)) for name, text in texts.items()]
    return _numbered(writer.render("report.md", page_one=Markup(page_one), sections=sections))


class _Writer:
    """Renders templates; knows which artifacts the text has shown."""

    def __init__(self, study: Study, context: dict, environment: jinja2.Environment):
        self.study, self.context, self.environment = study, context, environment
        self.shown: set[str] = set()

    def render(self, template: str, **more: object) -> str:
        own = {"show": self._show, "ref": self._ref, "facts": self._facts, "number": _number}
        return self.environment.get_template(template).render(self.context | own | more)

    def section(self, name: str, text: str) -> str:
        """A section's text; below it, what no text has shown of its artifacts, its findings and its cost."""
        artifacts = [artifact for artifact in self.study.artifacts.values() if artifact.section == name]
        rest = [self._show(artifact.name) for artifact in artifacts if artifact.name not in self.shown]
        jobs = {job.id for artifact in artifacts for job in artifact.jobs(self.study)}
        jobs |= {self.study.problems[problem].id for problem in self.study.sections[name]}
        judged = self.context["claims"]
        claims = [row for row in judged["rows"] + judged["theory"] if row["section"] == name]
        predicted = name in self.study.theory
        made = [artifact.name for artifact in artifacts if artifact.jobs(self.study)]
        end = self.render("section_end.md", judged=claims, predicted=predicted, made=made, cost=self._cost(jobs))
        return "\n\n".join([text, *rest, end])

    def _cost(self, jobs: set[str]) -> dict:
        recorded = self.context["manifest"]["jobs"]
        environments = self.context["manifest"]["environments"]
        return total_cost(
            {"cost": job["cost"], "provenance": environments[job["environment"]]}
            for identity, job in recorded.items()
            if identity in jobs
        )

    def _facts(self, name: str) -> dict:
        return self.context["artifacts"][name]["facts"]

    def _ref(self, name: str) -> Markup:
        """A link to a table or figure."""
        if name in self.study.artifacts:
            return Markup(f"[{self.context['artifacts'][name]['label']}](#{name})")
        return Markup(f"[{_number(name)}](#table-{name})")

    def _show(self, name: str) -> Markup:
        """A table or figure with its caption."""
        self.shown.add(name)
        artifact, record = self.study.artifacts[name], self.context["artifacts"][name]
        caption = f"**{record['label']}.** {record['caption']}"
        if not isinstance(artifact, Figure):
            return Markup(f"{record['body']}\n: {caption} {{#{name}}}\n")
        picture = artifact.file(self.study.scale, "svg")
        image = f'![{caption}]({picture}){{#{name} alt="{record["label"]}; its values are in {name}.csv."}}\n'
        tools = _tools(name, artifact.file(self.study.scale, "csv"), record)
        return Markup(f"{image}\n```{{=html}}\n{tools}\n```\n")


def _tools(name: str, csv: Path, record: dict) -> str:
    """What the page offers below a figure: its CSV, and for the scripts the points of its curves."""
    content = base64.b64encode(csv.read_bytes()).decode()
    link = f'<a download="{name}.csv" href="data:text/csv;base64,{content}">{record["label"]} as CSV</a>'
    hover = f'<script type="application/json" class="hover" data-figure="{name}">{embedded(record["hover"])}</script>'
    return f'<p class="tools" data-figure="{name}">{link}</p>{hover if record["hover"] else ""}'


def _number(name: str) -> Markup:
    return Markup(f"Table \x02{name}\x03")


def _numbered(text: str) -> str:
    """The supplementary tables, numbered in the order of their captions."""
    captions = re.findall("^ *: \\*\\*Table \x02(\\w+)\x03", text, re.MULTILINE)
    for name in NUMBER.findall(text):
        if name not in captions:
            raise UserError(
                f"{SOURCES}: the text refers to {name}, which it does not show; show it, or do not refer to it"
            )
    return NUMBER.sub(lambda found: f"S{captions.index(found[1]) + 1}", text)

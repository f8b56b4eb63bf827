"""Writing the report: one Markdown source as a self-contained HTML page and as PDF."""

import base64
import hashlib
import re

import pypandoc
import typst

from sharpness import files, paths
from sharpness.errors import UserError
from sharpness.evidence import manifest
from sharpness.evidence.intact import altered_artifacts, remedy
from sharpness.evidence.report.sections import SOURCES, fill_in
from sharpness.evidence.verify import check
from sharpness.study import Study

# Stands in report.html for its Content-Security-Policy, which depends on everything else in the page.
POLICY = "THE-POLICY-OF-THIS-PAGE"
INLINE = {
    "style": re.compile(r'<style type="text/css">(.*?)</style>', re.DOTALL),
    "script": re.compile(r"<script>(.*?)</script>", re.DOTALL),
}


def write_report(study: Study) -> None:
    """Write results/<scale>/report.html and report.pdf, and beside them MANIFEST.json and the resolved config.yaml.

    Jobs that are missing, stale or altered do not stop it: the report shows them in a badge.

    Raises:
        UserError: a table, a figure, runs.csv, claims.csv or a problem's data are missing, or one of the first four is
            not what its job has written.
    """
    for path, reason in altered_artifacts(study).items():
        raise UserError(f"{path}: {reason}; {remedy(study)}")
    record = manifest.build(study)
    markdown = fill_in(study, record, check(study))
    html, pdf = paths.report(study.scale)
    files.write_text(html, to_html(markdown))
    with files.replacing(pdf) as temporary:
        temporary.write_bytes(to_pdf(markdown))
    manifest.write(study, record, [html, pdf])


def to_html(markdown: str) -> str:
    """The report's Markdown as one HTML page that needs no other file: style, script and figures are inside.

    Its Content-Security-Policy allows nothing from outside, and of styles and scripts those alone that are in it.
    """
    page = _pandoc(
        markdown,
        "html5",
        f"--template={paths.shipped(SOURCES) / 'report.html'}",
        "--embed-resources",
        "--mathml",
        "--shift-heading-level-by=1",
        "--number-sections",
        "--toc",
        "--toc-depth=2",
    )
    return page.replace(POLICY, _policy(page))


def _policy(page: str) -> str:
    """What a page may load and run: the images within it, and its own styles and scripts, by their hashes."""
    allowed = {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}
    for name, found in INLINE.items():
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in found.findall(page)]
        allowed[f"{name}-src"] = " ".join(f"'sha256-{digest}'" for digest in digests)
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


def to_pdf(markdown: str) -> bytes:
    """The report's Markdown as PDF, the same bytes each time, in fonts that typst brings with it."""
    source = _pandoc(markdown, "typst", f"--template={paths.shipped(SOURCES) / 'report.typ'}")
    return typst.compile(source.encode(), root=".", ignore_system_fonts=True, timestamp=0)


def _pandoc(markdown: str, target: str, *arguments: str) -> str:
    return pypandoc.convert_text(
        markdown,
        target,
        format="markdown",
        extra_args=[
            "--standalone",
            "--citeproc",
            f"--bibliography={paths.shipped(SOURCES) / 'references.bib'}",
            "--metadata=link-citations:true",
            f"--lua-filter={paths.shipped(SOURCES) / 'report.lua'}",
            f"--resource-path=.:{paths.shipped(SOURCES)}",
            # A table with a longer line in its source would get columns of fixed widths.
            "--columns=10000",
            *arguments,
        ],
    )

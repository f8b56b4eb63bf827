"""docs/results.md and README's table, from the records of the published scales."""

import re
from itertools import combinations
from pathlib import Path

import jinja2

from sharpness import files
from sharpness.errors import UserError
from sharpness.evidence.formatting import FILTERS
from sharpness.evidence.publish.comparison import compare, findings
from sharpness.evidence.publish.records import REPORT, Record
from sharpness.evidence.verdicts import INCONCLUSIVE

SOURCES = Path("workflow/publish")
PAGE = Path("docs/results.md")
README = Path("README.md")
MARKED = re.compile("(?<=<!-- results -->\n).*?(?=<!-- end of results -->)", re.DOTALL)


def write_pages(records: list[Record]) -> None:
    """Write docs/results.md, and the table between its marks in README.md.

    Raises:
        UserError: README.md lacks the marks.
    """
    for path, text in pages(records).items():
        files.write_text(path, text)


def pages(records: list[Record]) -> dict[Path, str]:
    """The text of each page.

    Raises:
        UserError: as write_pages.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(SOURCES), undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= FILTERS
    complete = [record for record in records if record.claims is not None]
    context = {
        "complete": [record.about for record in complete],
        "incomplete": [record.about for record in records if record.claims is None],
        "scales": [record.about for record in records],
        "findings": findings(complete),
        "pairs": [compare(one, other) for one, other in combinations(complete, 2)],
        "inconclusive": INCONCLUSIVE,
        "pictured": next((record.about for record in complete if record.about["pictures"]), None),
        "report": REPORT.name,
    }
    table, page = (environment.get_template(name).render(context) for name in ("readme.md", "results.md"))
    readme = README.read_text(encoding="utf-8")
    if not MARKED.search(readme):
        raise UserError(f"{README}: no lines <!-- results --> and <!-- end of results -->; put them where its table is")
    return {PAGE: page, README: MARKED.sub(lambda _: table, readme)}

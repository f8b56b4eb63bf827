"""What the study's files refer to: artifacts, claims and sections must find what they name."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sharpness.errors import UserError, settings_of, unknown
from sharpness.paths import shipped

if TYPE_CHECKING:
    from sharpness.study import Study

STUDY = "config/study.yaml"
CLAIMS = "config/claims.yaml"
SECTIONS = Path("workflow/report/sections")
PAGE_ONE = Path("workflow/report/page_one.md")


def check_references(study: "Study", root: Path) -> None:
    """What artifacts, claims and sections refer to must be computed, and each section must have its file."""
    _check_template(PAGE_ONE, "workflow/report", study, root)
    _check_users(study, root)
    _check_users(study.without_theory(), root, ": without Part II")  # what is shown without it must not need it


def _check_users(study: "Study", root: Path, note: str = "") -> None:
    for name in study.sections:
        _check_template(SECTIONS / f"{name}.md", f"{STUDY}: sections: {name}", study, root)
    checks = [(f"{STUDY}: artifacts.{name}", artifact) for name, artifact in study.artifacts.items()]
    checks += [(f"{CLAIMS}: {part.name}", part.quantity) for claim in study.claims for part in claim.parts]
    for where, user in checks:
        with settings_of(where + note):
            user.check(study)


def _check_template(file: Path, where: str, study: "Study", root: Path) -> None:
    """A section, and page one, must have its file, and what that shows or quotes must be of the study."""
    try:
        text = shipped(file, root).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{where}: {file} cannot be read ({error.strerror}); write it") from None
    for artifact in re.findall(r'\b(?:show|facts|ref(?=\("(?:table|figure|forest)\d))\("(\w+)"\)', text):
        lookup("artifact", artifact, study.artifacts, f"{file} quotes {artifact}")
    for dotted, quoted in re.findall(r'\bproblems(?:\.(\w+)|\["([\w-]+)"\])', text):
        problem = dotted or quoted
        lookup("problem", problem, study.problems, f"{file} quotes {problem}")


def lookup(kind: str, name: str, known: Mapping[str, object], where: str):
    """The entry with a name, or the error for a name that no entry has."""
    if name not in known:
        raise unknown(kind, name, known, where)
    return known[name]

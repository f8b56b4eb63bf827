"""From config/ to a study at one scale: its jobs, what each table and figure shows, and the claims that are judged.

Everything in config/ that can be known to be wrong is refused here, before anything is computed.
"""

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sharpness import registry
from sharpness.config import read_config
from sharpness.errors import SettingError, UserError, not_known, unknown
from sharpness.experiments import expand_experiments
from sharpness.jobs import Job, canonical
from sharpness.scales import read_scale, scale_file
from sharpness.settings import build, plain, require

if TYPE_CHECKING:
    from sharpness.evidence.artifact import Artifact
    from sharpness.evidence.quantity import Quantity

STUDY = "config/study.yaml"
CLAIMS = "config/claims.yaml"
PUBLISHED = "config/published.yaml"
SECTIONS = Path("workflow/report/sections")


@dataclass(frozen=True)
class Part:
    """A part of a claim: one quantity, put to one test.

    Attributes:
        name: the claim's and a letter, such as "F1a".
        statement: what it says.
        quantity: what is measured.
        test: the test's entry in config/claims.yaml.
    """

    name: str
    statement: str
    quantity: "Quantity"
    test: dict


@dataclass(frozen=True)
class Claim:
    """A finding that is judged by its parts; section is that of the report to which it belongs."""

    name: str
    statement: str
    section: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Study:
    """The study at one scale.

    Attributes:
        scale: name of the scale, a file of config/scales/.
        settings: the scale's settings.
        training: the training recipe of config/study.yaml.
        methods: its methods, by name.
        experiments: its experiments, by name: the training runs of each, in the study's order.
        problems: its toy problems, by name.
        sections: the report's sections, in order: the toy problems that belong to each, by name.
        artifacts: the tables and figures, by name.
        level: of every interval of the claims.
        claims: the claims, in order.
    """

    scale: str
    settings: dict
    training: dict
    methods: dict
    experiments: dict[str, list[Job]]
    problems: dict[str, Job]
    sections: dict[str, list[str]]
    artifacts: dict[str, "Artifact"]
    level: float
    claims: list[Claim]

    @cached_property
    def runs(self) -> dict[str, Job]:
        """The training runs, by id; several experiments may share one."""
        return {job.id: job for jobs in self.experiments.values() for job in jobs}

    @cached_property
    def jobs(self) -> dict[str, Job]:
        """Everything that the study computes, by id."""
        return {**self.runs, **{job.id: job for job in self.problems.values()}}

    def job(self, identity: str) -> Job:
        """A job by its id.

        Raises:
            UserError: the study has no such job at this scale.
        """
        return _lookup("job", identity, self.jobs, f"scale {self.scale}")

    def artifact(self, name: str) -> "Artifact":
        """A table or figure by name.

        Raises:
            UserError: there is no such artifact.
        """
        return _lookup("artifact", name, self.artifacts, STUDY)

    def problem(self, name: str, kind: str) -> Job:
        """A toy problem of a kind by its name.

        Raises:
            SettingError: there is no such problem, or it is of another kind.
        """
        known = [problem for problem, job in self.problems.items() if job.kind == kind]
        require(name in known, not_known(f"{kind} problem", name, known))
        return self.problems[name]

    def resolved(self) -> dict:
        """All settings that decide the results, as config/ gives them."""
        return {
            "scale": self.scale,
            "settings": self.settings,
            "training": self.training,
            "methods": self.methods,
            "problems": {name: job.spec for name, job in self.problems.items()},
            "sections": self.sections,
            "artifacts": {name: _described(artifact) for name, artifact in self.artifacts.items()},
            "level": self.level,
            "claims": {
                part.name: {"statement": part.statement, "quantity": _described(part.quantity), "test": part.test}
                for claim in self.claims
                for part in claim.parts
            },
            "semantics": {job.kind: job.semantics for job in self.jobs.values()},
        }


def load_run(scale: str, identity: str) -> tuple[Job, dict]:
    """One training run by its id, and the scale's `dataset` settings.

    The rest of the study is not loaded: what it takes to check it would cost each run half a second of imports.

    Raises:
        UserError: a file is faulty, or there is no such run.
    """
    experiments = expand_experiments(scale, _read_design(Path()), Path())
    runs = {job.id: job for jobs in experiments.values() for job in jobs}
    return _lookup("run", identity, runs, f"scale {scale}"), read_scale(scale, Path())["dataset"]


def load_study(scale: str, root: Path = Path()) -> Study:
    """Read and check the study at one scale.

    Args:
        scale: name of a file of config/scales/, without its suffix.
        root: the project's root.

    Raises:
        UserError: a configuration file is faulty, or names something that does not exist.
    """
    design, settings = _read_design(root), read_scale(scale, root)
    judged = read_config(root / CLAIMS, _schema("claims", root))
    study = Study(
        scale,
        settings,
        design["training"],
        design["methods"],
        expand_experiments(scale, design, root),
        _problems(scale, design, settings),
        {
            section: [name for name, entry in design["problems"].items() if entry["section"] == section]
            for section in design["sections"]
        },
        _artifacts(design, read_config(root / PUBLISHED, _schema("published", root))),
        judged["level"],
        [_claim(name, claim, judged["tests"], design["sections"]) for name, claim in judged["claims"].items()],
    )
    _check_references(study, root)
    return study


def _read_design(root: Path) -> dict:
    design = read_config(root / STUDY, _schema("study", root))
    seen: dict[str, str] = {}
    for name, method in design["methods"].items():
        definition = canonical({key: value for key, value in method.items() if key != "title"})
        if definition in seen:  # two names for one method would train the same run twice
            raise UserError(f"{STUDY}: methods {seen[definition]} and {name} are the same method; keep one of the two")
        seen[definition] = name
        if "geometry" in method:
            _check_geometry(method, f"{STUDY}: methods.{name}")
    return design


def _check_geometry(method: dict, where: str) -> None:
    known = {name.replace("_", "-"): name for name in registry.names("optim.geometries")}
    module = _lookup("geometry", method["geometry"], known, where)
    registry.check_constants("optim.geometries", module, where, "FORMULA", "HAS_ETA")
    if method.get("eta") and not registry.constants("optim.geometries", module)["HAS_ETA"]:
        raise UserError(f"{where}: geometry {method['geometry']} has no constant eta; remove it")


def _problems(scale: str, design: dict, settings: dict) -> dict[str, Job]:
    own = settings.get("problems", {})
    for name in own:
        _lookup("problem", name, design["problems"], f"{scale_file(scale)}: problems")
    problems = {}
    for name, entry in design["problems"].items():
        key = f"problems.{name}"
        _check_section(entry["section"], design["sections"], f"{STUDY}: {key}")
        module = registry.load("problems", entry["kind"], f"{STUDY}: {key}.kind")
        file = f"{scale_file(scale)} (over {STUDY})" if name in own else STUDY
        given = {key: value for key, value in entry.items() if key not in ("kind", "section")} | own.get(name, {})
        spec = plain(build(module.Settings, given, file, key))
        problems[name] = Job(entry["kind"], spec, module.SEMANTICS, entry["kind"].replace("_", "-"), scale)
    return problems


def _artifacts(design: dict, published: dict) -> dict[str, "Artifact"]:
    for name in published:
        _lookup("artifact", name, design["artifacts"], PUBLISHED)
    artifacts = {}
    for name, entry in design["artifacts"].items():
        key = f"artifacts.{name}"
        _check_section(entry["section"], design["sections"], f"{STUDY}: {key}")
        kind = registry.load("evidence.artifacts", entry["kind"], f"{STUDY}: {key}.kind").KIND
        if not name.startswith(kind.prefix):
            raise UserError(f"{STUDY}: {key} is a {kind.prefix}; name it {kind.prefix} and a number")
        rows = published.get(name, [])
        if rows and kind.Published is None:
            raise UserError(f"{PUBLISHED}: {name} shows no published values; remove them")
        shown = tuple(build(kind.Published, row, PUBLISHED, f"{name}.{i}") for i, row in enumerate(rows))
        artifacts[name] = build(kind, entry, STUDY, key, beside=["kind"], name=name, published=shown)
    return artifacts


def _claim(name: str, claim: dict, tests: dict, sections: list[str]) -> Claim:
    where = f"{CLAIMS}: {name}"
    _check_section(claim["section"], sections, where)
    parts = []
    for letter, entry in zip(string.ascii_lowercase, claim["parts"], strict=False):
        kind = registry.load("evidence.quantities", entry["quantity"], f"{where}{letter}").QUANTITY
        test = _lookup("test", entry["test"], tests, f"{where}{letter}")
        quantity = build(kind, entry, CLAIMS, f"claims.{name}{letter}", beside=["statement", "quantity", "test"])
        parts.append(Part(name + letter, entry["statement"], quantity, test))
    return Claim(name, claim["statement"], claim["section"], tuple(parts))


def _check_references(study: Study, root: Path) -> None:
    """What artifacts, claims and sections refer to must be computed, and each section must have its file."""
    for name in study.sections:
        _check_template(name, study, root)
    checks = [(f"{STUDY}: artifacts.{name}", artifact) for name, artifact in study.artifacts.items()]
    checks += [(f"{CLAIMS}: {part.name}", part.quantity) for claim in study.claims for part in claim.parts]
    for where, user in checks:
        try:
            user.check(study)
        except SettingError as error:
            raise UserError(f"{where}: {error}") from None


def _check_template(name: str, study: Study, root: Path) -> None:
    """A section must have its file, and what that shows or quotes must be of the study."""
    file = SECTIONS / f"{name}.md"
    try:
        text = (root / file).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{STUDY}: sections: {name}: {file} cannot be read ({error.strerror}); write it") from None
    for artifact in re.findall(r'\b(?:show|facts|ref(?=\("(?:table|figure)\d))\("(\w+)"\)', text):
        _lookup("artifact", artifact, study.artifacts, f"{file} quotes {artifact}")
    for problem in re.findall(r"\bproblems\.(\w+)", text):
        _lookup("problem", problem, study.problems, f"{file} quotes {problem}")


def _described(settings: object) -> dict:
    """An artifact or a quantity as JSON, with its kind."""
    return {"kind": type(settings).__module__.rpartition(".")[2], **plain(settings)}


def _check_section(name: str, sections: list[str], where: str) -> None:
    _lookup("section", name, dict.fromkeys(sections), where)


def _lookup(kind: str, name: str, known: Mapping[str, object], where: str):
    if name not in known:
        raise unknown(kind, name, known, where)
    return known[name]


def _schema(name: str, root: Path) -> Path:
    return root / f"workflow/schemas/{name}.schema.yaml"

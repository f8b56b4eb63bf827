"""From config/ to a study at one scale: its jobs, what each table and figure shows, and the claims that are judged.

Everything in config/ that can be known to be wrong is refused here, before anything is computed.
"""

import string
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sharpness import registry
from sharpness.config import load_config, read_config
from sharpness.design import read_design
from sharpness.errors import UserError, settings_of
from sharpness.experiments import expand_experiments, left_out, without_experiments
from sharpness.jobs import Job
from sharpness.labels import check_titles, refuse_one_title
from sharpness.paths import shipped
from sharpness.problems import expand_problems
from sharpness.references import CLAIMS, STUDY, check_references, lookup
from sharpness.scales import read_scale
from sharpness.settings import build, plain, require, require_known

if TYPE_CHECKING:
    from sharpness.evidence.artifact import Artifact
    from sharpness.evidence.quantity import Quantity

PUBLISHED = "config/published.yaml"


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
        parts: the toy problems of each entry of config/study.yaml, several where it is split into jobs.
        sections: the report's sections, in order: the toy problems that belong to each, by name.
        theory: those of them that are Part II, none if it is left out.
        left_out: folders of the jobs of Part II where it is left out.
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
    parts: dict[str, list[str]]
    sections: dict[str, list[str]]
    theory: tuple[str, ...]
    left_out: frozenset[Path]
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
        return lookup("job", identity, self.jobs, f"scale {self.scale}")

    def artifact(self, name: str) -> "Artifact":
        """A table or figure by name.

        Raises:
            UserError: there is no such artifact.
        """
        return lookup("artifact", name, self.artifacts, STUDY)

    def problem(self, name: str, kind: str) -> Job:
        """A toy problem of a kind by its name.

        Raises:
            SettingError: there is no such problem, it is of another kind, or split into several jobs.
        """
        jobs = self.jobs_of(name, kind)
        require(len(jobs) == 1, f"problem {name} is split into {len(jobs)} jobs; name one that is not")
        return jobs[0]

    def jobs_of(self, name: str, kind: str) -> list[Job]:
        """The jobs of a toy problem of a kind: several where it is split.

        Raises:
            SettingError: as problem.
        """
        known = [entry for entry, parts in self.parts.items() if self.problems[parts[0]].kind == kind]
        require_known(f"{kind} problem", name, known)
        return [self.problems[part] for part in self.parts[name]]

    def without_theory(self) -> "Study":
        """The study without Part II."""
        kept = {name: problems for name, problems in self.sections.items() if name not in self.theory}
        own = {name for problems in kept.values() for name in problems}
        return replace(
            self,
            problems={name: job for name, job in self.problems.items() if name in own},
            parts={name: parts for name, parts in self.parts.items() if parts[0] in own},
            sections=kept,
            theory=(),
            left_out=frozenset(job.folder for name, job in self.problems.items() if name not in own),
            artifacts={name: artifact for name, artifact in self.artifacts.items() if artifact.section in kept},
            claims=[claim for claim in self.claims if claim.section in kept],
        )

    def has_theory(self, root: Path = Path()) -> bool:
        """Whether Part II belongs to what is made: asked for by the scale, or all of its artifacts are there."""
        records = [
            artifact.record(self.scale) for artifact in self.artifacts.values() if artifact.section in self.theory
        ]
        return self.settings.get("theory", False) or (
            bool(records) and all((root / record).exists() for record in records)
        )

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
    design, settings = read_design(Path()), read_scale(scale, Path())
    not_there = left_out(scale, design, settings)
    experiments = expand_experiments(scale, design, Path()).items()
    runs = {job.id: job for name, jobs in experiments if name not in not_there for job in jobs}
    return lookup("run", identity, runs, f"scale {scale}"), settings["dataset"]


def load_study(scale: str, root: Path = Path(), theory: bool | None = None) -> Study:
    """Read and check the study at one scale.

    Args:
        scale: name of a file of config/scales/, without its suffix.
        root: the project's root.
        theory: whether with Part II; if not said, where config/config.yaml or the scale asks for it, or it is there.

    Raises:
        UserError: a configuration file is faulty, or names something that does not exist.
    """
    design, settings = read_design(root), read_scale(scale, root)
    judged = read_config(root / CLAIMS, _schema("claims", root))
    refuse_one_title({name: claim["statement"] for name, claim in judged["claims"].items()}, CLAIMS)
    sections = dict.fromkeys([*design["sections"], *design["theory"]])
    problems, parts = expand_problems(scale, design, settings, STUDY)
    of = {name: entry["section"] for name, entry in design["problems"].items()}
    for name, section in of.items():
        lookup("section", section, sections, f"{STUDY}: problems.{name}")
    study = Study(
        scale,
        settings,
        design["training"],
        design["methods"],
        expand_experiments(scale, design, root),
        problems,
        parts,
        {section: [part for name in parts if of[name] == section for part in parts[name]] for section in sections},
        tuple(design["theory"]),
        frozenset(),
        _artifacts(design, sections, read_config(root / PUBLISHED, _schema("published", root))),
        judged["level"],
        [_claim(name, claim, judged["tests"], sections) for name, claim in judged["claims"].items()],
    )
    check_titles(study)
    check_references(study, root)
    study = without_experiments(study, left_out(scale, design, settings))
    check_references(study, root)
    if theory is None:
        theory = load_config(root).get("theory", False) or study.has_theory(root)
    return study if theory else study.without_theory()


def _artifacts(design: dict, sections: dict, published: dict) -> dict[str, "Artifact"]:
    for name in published:
        lookup("artifact", name, design["artifacts"], PUBLISHED)
    artifacts = {}
    for name, entry in design["artifacts"].items():
        key = f"artifacts.{name}"
        lookup("section", entry["section"], sections, f"{STUDY}: {key}")
        kind = registry.load("evidence.artifacts", entry["kind"], f"{STUDY}: {key}.kind").KIND
        if not name.startswith(kind.prefix):
            raise UserError(f"{STUDY}: {key} is a {kind.prefix}; name it {kind.prefix} and a number")
        rows = published.get(name, [])
        if rows and kind.Published is None:
            raise UserError(f"{PUBLISHED}: {name} shows no published values; remove them")
        shown = tuple(build(kind.Published, row, PUBLISHED, f"{name}.{i}") for i, row in enumerate(rows))
        artifacts[name] = build(kind, entry, STUDY, key, beside=["kind"], name=name, published=shown)
    return artifacts


def _claim(name: str, claim: dict, tests: dict, sections: dict) -> Claim:
    where = f"{CLAIMS}: {name}"
    lookup("section", claim["section"], sections, where)
    parts = []
    for letter, entry in zip(string.ascii_lowercase, claim["parts"], strict=False):
        kind = registry.load("evidence.quantities", entry["quantity"], f"{where}{letter}").QUANTITY
        test = lookup("test", entry["test"], tests, f"{where}{letter}")
        quantity = build(kind, entry, CLAIMS, f"claims.{name}{letter}", beside=["statement", "quantity", "test"])
        for part in parts:
            if (part.quantity, part.test) == (quantity, test):
                raise UserError(f"{where}: parts {part.name} and {name}{letter} are the same; keep one of the two")
        with settings_of(f"{CLAIMS}: tests.{entry['test']}, of {name}{letter}"):
            quantity.check_test(test)
        parts.append(Part(name + letter, entry["statement"], quantity, test))
    return Claim(name, claim["statement"], claim["section"], tuple(parts))


def _described(settings: object) -> dict:
    """An artifact or a quantity as JSON, with its kind."""
    return {"kind": type(settings).__module__.rpartition(".")[2], **plain(settings)}


def _schema(name: str, root: Path) -> Path:
    return shipped(f"workflow/schemas/{name}.schema.yaml", root)

"""The record of a published scale: which runs it is of, what they cost, and the findings as they were judged."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sharpness import files, paths, records
from sharpness.errors import UserError
from sharpness.evidence.artifact import Figure
from sharpness.evidence.claims import judge_claims, read_claims
from sharpness.evidence.manifest import total_cost
from sharpness.evidence.runs import csv_text
from sharpness.evidence.verify import verify
from sharpness.study import Study, load_study

# In the order of the tables' columns; a scale of which no run is finished is left out.
SCALES = ("digits-20", "cifar-cpu-jpeg", "gpu-hour", "paper")
FOLDER = Path("docs/results")
FIGURES = Path("docs/figures")
REPORT = Path("docs/report-cifar.pdf")
# What of a finding follows from config/ alone.
FIXED = ["claim", "statement", "section", "quantity", "criterion"]


@dataclass(frozen=True)
class Record:
    """What is published of a scale.

    Attributes:
        about: scale, title, data, epochs, seeds, level (of the intervals), runs (their number) and finished (of those);
            and, empty until all jobs are, commits (of the runs), cost, jobs (the SHA-256 of each data file, by id) and
            pictures (path, title and SHA-256 of each figure and of the report).
        claims: the findings as sharpness.evidence.claims judges them; None until all jobs are finished.
    """

    about: dict
    claims: pd.DataFrame | None

    @property
    def scale(self) -> str:
        return self.about["scale"]


def update_record(study: Study, with_pictures: bool) -> None:
    """Write the record of a study whose runs are here, all or some; keep the one of all runs where they are not.

    Raises:
        UserError: as publish.
    """
    if all(job.is_finished() for job in study.jobs.values()):
        _write_complete(study, with_pictures)
        return
    known = read_record(study.scale)
    if known and known.claims is not None:
        if differences := outdated(known, study):
            run = f"snakemake --cores all --config scale={study.scale}"
            raise UserError(
                f"{_json(study.scale)}: {differences[0]}; train what the scale lacks ({run}) and publish again"
            )
    elif any(job.is_finished() for job in study.runs.values()):
        records.write(_json(study.scale), _about(study))


def _about(study: Study, **of_complete: object) -> dict:
    return {
        "scale": study.scale,
        "title": study.settings["title"],
        "data": study.settings["dataset"]["title"],
        "epochs": study.settings["epochs"],
        "seeds": study.settings["seeds"],
        "level": study.level,
        "runs": len(study.runs),
        "finished": sum(job.is_finished() for job in study.runs.values()),
        **{"commits": [], "cost": None, "jobs": {}, "pictures": []},
        **of_complete,
    }


def read_record(scale: str) -> Record | None:
    """The record of a scale, or None if there is none.

    Raises:
        UserError: it cannot be read, or has been changed since it was written.
    """
    path, table = _json(scale), _csv(scale)
    try:
        about = records.parse(path.read_bytes(), records.PUBLISHED, sealed=False)
        if about["scale"] != scale:
            raise ValueError(f"of scale {about['scale']}")
        if about["jobs"] and about.get("files", {}).get(table.name) != files.sha256(table):
            raise ValueError(f"{table.name} is not the file that it describes")
        return Record(about, read_claims(table) if about["jobs"] else None)
    except FileNotFoundError as error:
        if error.filename == str(path):
            return None
        reason: object = f"without {table.name}"
    except ValueError as fault:
        reason = fault
    raise UserError(f"{path}: {reason}; restore both, or publish again where the scale's runs are")


def load_records(scales: Iterable[str]) -> list[Record]:
    """The records that there are, in the order of the scales."""
    return [record for scale in scales if (record := read_record(scale))]


def files_of_others(scale: str) -> list[Path]:
    """The files of the records of other scales than one, which its report puts beside its own verdicts."""
    return [path for other in SCALES if other != scale for path in (_json(other), _csv(other)) if path.is_file()]


def judged_alike(record: Record, claims: pd.DataFrame) -> bool:
    """Whether a record has the verdicts on the findings of another claims.csv, by the same criteria."""
    return record.claims is not None and _fixed(record.claims).equals(_fixed(claims))


def outdated(record: Record, study: Study) -> list[str]:
    """In what a record of all runs is not of the study as config/ has it now. Further runs do not make it outdated."""
    found = []
    if record.about["seeds"] != study.settings["seeds"]:
        found.append("it is of other seeds")
    if unknown := record.about["jobs"].keys() - study.jobs.keys():
        found.append(f"it is of {len(unknown)} jobs that are not the study's, such as {min(unknown)}")
    now = {name: dict(row) for name, row in _fixed(judge_claims(study)).iterrows()}
    then = {name: dict(row) for name, row in _fixed(record.claims).iterrows()}
    found += [
        f"{name} is judged differently now" for name in dict.fromkeys([*now, *then]) if now.get(name) != then.get(name)
    ]
    return found


def _fixed(claims: pd.DataFrame) -> pd.DataFrame:
    return claims[FIXED].set_index("claim")


def _write_complete(study: Study, with_pictures: bool) -> None:
    runs = {job.id: job.read() for job in study.jobs.values()}
    about = _about(
        study,
        commits=sorted({runs[identity]["provenance"]["commit"] or "not known" for identity in study.runs}),
        cost=total_cost(runs.values()),
        jobs={identity: run["sha256"] for identity, run in runs.items()},
        pictures=_copy_pictures(study.scale) if with_pictures else [],
    )
    table = _csv(study.scale)
    files.write_text(table, csv_text(judge_claims(study)))
    records.write(_json(study.scale), {**about, "files": {table.name: files.sha256(table)}})


def _copy_pictures(scale: str) -> list[dict]:
    """Copy a scale's figures and report to docs/, and describe the copies.

    Raises:
        UserError: they are missing, or not those of the runs that are here.
    """
    study = load_study(scale)
    if findings := verify(study):
        raise UserError(f"{findings[0]}; then publish again")
    drawn = [artifact for artifact in study.artifacts.values() if isinstance(artifact, Figure)]
    copies = [
        *((FIGURES / f"{it.name}.png", it.file(scale, "png"), f"{it.label}: {it.title}") for it in drawn),
        (REPORT, *(path for path in paths.report(scale) if path.suffix == ".pdf"), "Report"),
    ]
    for copy, source, _ in copies:
        with files.replacing(copy) as temporary:
            shutil.copyfile(source, temporary)
    return [{"path": str(copy), "title": title, "sha256": files.sha256(copy)} for copy, _, title in copies]


def _json(scale: str) -> Path:
    return FOLDER / f"{scale}.json"


def _csv(scale: str) -> Path:
    return FOLDER / f"{scale}.csv"

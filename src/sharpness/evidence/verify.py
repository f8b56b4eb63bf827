"""Comparing what is under results/ and figures/ with the tree: missing, stale, altered or mixed, a line for each."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import yaml

from sharpness import files, paths, records, registry
from sharpness.config import load_config
from sharpness.datasets import open_arrays, prepared_digest, prepared_folder
from sharpness.errors import UserError
from sharpness.evidence import manifest
from sharpness.evidence.claims import judge_claims
from sharpness.evidence.intact import altered_artifacts, command, remedy
from sharpness.evidence.runs import csv_text, summarize
from sharpness.jobs import TRAINING, Job
from sharpness.scales import scale_names
from sharpness.study import Study, load_study


def verify(study: Study) -> list[str]:
    """Every way in which the results of the study's scale are not what its tree gives, one line each.

    - missing: a job of the study has left nothing, or a file of an artifact, of the report or the manifest isn't there.
    - stale: a job's folder that is not of the study (made by other settings or semantics), runs on other data than the
      prepared one, an artifact that is not what the jobs give now, or settings that have changed since the manifest.
    - altered: a file whose hash is not the one that its run.json or the manifest has for it.
    - mixed: a job of another scale, or runs on different data.

    Raises:
        UserError: config/ is faulty.
    """
    try:
        recorded, unread = _read_manifest(study), []
    except UserError as fault:
        recorded, unread = None, [str(fault)]
    findings = check(study, recorded)
    findings += _check_content(study, {line.split(": ")[1] for line in findings})
    if recorded is None:
        return [*findings, *unread]
    report = {path: recorded["report"]["files"].get(str(path)) for path in paths.report(study.scale)}
    return [*_check_config(study, recorded), *findings, *_check_hashes(study, report)]


def check(study: Study, recorded: dict | None = None) -> list[str]:
    """What can be said without computing anything again: of jobs, of artifacts by their records' hashes.

    Args:
        study: the study.
        recorded: the manifest, if there is one; artifacts are then compared with it too.

    Raises:
        UserError: as verify.
    """
    if not any(job.run.exists() for job in study.jobs.values()):
        run = f"snakemake --cores all --config scale={study.scale}"
        return [f"missing: {paths.results(study.scale)}: none of the study's jobs has run; {run}"]
    faults = {job.id: fault for job in study.jobs.values() if (fault := _fault(job))}
    sound = {identity: job for identity, job in study.jobs.items() if identity not in faults}
    return [
        *faults.values(),
        *_check_data(study, sound),
        *_check_unexpected(study),
        *(_check_runs(study, sound, recorded) if recorded else ()),
        *_check_artifacts(study, sound, recorded),
    ]


def _read_manifest(study: Study) -> dict:
    """The manifest.

    Raises:
        UserError: there is none that can be used; the message is a finding.
    """
    path = paths.manifest(study.scale)
    try:
        recorded = records.parse(path.read_bytes(), records.MANIFEST)
        if recorded["scale"] != study.scale:
            raise ValueError(f"of scale {recorded['scale']}")
        return recorded
    except OSError:
        raise UserError(f"missing: {path}: no manifest that can be read; make the report: {command(study)}") from None
    except ValueError as reason:
        raise UserError(f"altered: {path}: {reason}; {remedy(study)}") from None


def _fault(job: Job) -> str | None:
    """What makes a job's files unusable."""
    absent = [path.name for path in job.files if not path.is_file()]
    if absent:
        return f"missing: {job.folder}: no {' and no '.join(absent)}; run the job again"
    try:
        job.read()
    except UserError as error:
        return f"altered: {error}"
    return None


def _check_data(study: Study, jobs: dict[str, Job]) -> Iterator[str]:
    """Runs on other data than most are mixed; what most are on must be the prepared data, where that exists."""
    hashes = {job.run: job.read()["data_sha256"] for job in jobs.values() if job.kind == TRAINING}
    if not hashes:
        return
    [(usual, _)] = Counter(hashes.values()).most_common(1)
    for file, digest in hashes.items():
        if digest != usual:
            yield f"mixed: {file}: trained on other data ({digest[:12]}) than most runs ({usual[:12]}); run it again"
    dataset, data_dir = study.settings["dataset"], Path(load_config()["data_dir"])
    folder, prepared = prepared_folder(dataset, data_dir), prepared_digest(dataset, data_dir)
    if any(folder.glob("*.npy")):
        try:
            open_arrays(folder)
        except UserError as fault:
            yield f"altered: {fault}"
            return
    if prepared not in (None, usual):
        yield (
            f"stale: {paths.results(study.scale) / TRAINING}: trained on other data ({usual[:12]}) than "
            f"{folder} has now ({prepared[:12]}); delete them and run again"
        )


def _check_runs(study: Study, jobs: dict[str, Job], recorded: dict) -> Iterator[str]:
    """Each run.json against the manifest; it vouches for its data file itself."""
    for identity, job in jobs.items():
        known = recorded["jobs"].get(identity, {"files": {}})["files"]
        yield from _check_hashes(study, {job.run: known.get(str(job.run))})


def _check_unexpected(study: Study) -> Iterator[str]:
    """Folders of jobs that are not the study's at this scale."""
    kinds = [paths.results(study.scale) / kind for kind in (TRAINING, *registry.names("problems"))]
    found = {folder for kind in kinds for folder in kind.glob("[!.]*") if folder.is_dir()}
    unexpected = sorted(found - {job.folder for job in study.jobs.values()} - study.left_out)
    if not unexpected:  # then the other scales need not be read
        return
    elsewhere = {identity: job for other in _other_studies(study) for identity, job in other.jobs.items()}
    for folder in unexpected:
        if folder.name in elsewhere:
            home = elsewhere[folder.name].folder.parent
            yield f"mixed: {folder}: belongs to another scale; move it to {home}, or delete it"
        else:
            yield f"stale: {folder}: {_reason(folder, study.jobs)}; delete it"


def _other_studies(study: Study) -> Iterator[Study]:
    """The study at each other scale whose file is sound: what is wrong with another's is no finding about this one."""
    for scale in scale_names():
        if scale != study.scale:
            with suppress(UserError):
                yield load_study(scale)


def _reason(folder: Path, own: dict[str, Job]) -> str:
    """Why a folder is not one of the study's: in which settings it differs from the most similar job of its kind."""
    try:
        spec = records.parse((folder / "run.json").read_bytes(), records.RUN, sealed=False)["spec"]
    except (OSError, ValueError):
        return "no job of the study"
    candidates = [_differences(spec, job.spec) for job in own.values() if job.folder.parent == folder.parent]
    if not candidates:
        return "no job of the study"
    nearest = min(candidates, key=len)
    return (
        f"made with {', '.join(nearest)}" if nearest else "made by another version of the code with the same settings"
    )


def _check_artifacts(study: Study, sound: dict[str, Job], recorded: dict | None) -> Iterator[str]:
    """Each artifact's files against the manifest, and against its own record: which files, made from which jobs."""
    altered = altered_artifacts(study)
    for name, own in manifest.artifact_files(study).items():
        known = recorded["artifacts"].get(name, {"files": {}})["files"] if recorded else {}
        hashes = {path: known.get(str(path)) for path in own}
        findings = list(_check_hashes(study, hashes) if recorded else _check_there(study, own))
        named = {line.split(": ")[1] for line in findings}
        record = study.artifact(name).record(study.scale) if name in study.artifacts else paths.record(own[0])
        if str(record) not in named:
            changed = [path for path in dict.fromkeys([*own, record]) if path in altered and str(path) not in named]
            findings += [
                f"{'altered' if path.is_file() else 'missing'}: {path}: {altered[path]}; {remedy(study)}"
                for path in changed
            ]
        yield from findings
        if not findings and name in study.artifacts:
            yield from _check_jobs(study, name, sound)


def _check_jobs(study: Study, name: str, sound: dict[str, Job]) -> Iterator[str]:
    """The jobs that an artifact was made from, and those that it shows now."""
    artifact = study.artifact(name)
    jobs_then = records.parse(artifact.record(study.scale).read_bytes(), records.ARTIFACT)["jobs"]
    jobs_now = {job.id: files.sha256(job.data) for job in artifact.jobs(study) if job.id in sound}
    if jobs_then != jobs_now and len(jobs_now) == len(artifact.jobs(study)):
        table = artifact.file(study.scale, "csv")
        yield f"stale: {table}: made from other jobs than it shows now; {remedy(study)}"


def _check_content(study: Study, named: set[str]) -> Iterator[str]:
    """Each artifact's CSV against what its jobs give now, where all of them are there and no finding names it yet."""
    for name, own in manifest.artifact_files(study).items():
        [table] = [path for path in own if path.suffix == ".csv"]
        unusable = str(table) in named or not table.is_file()
        if unusable or any(_fault(job) for job in manifest.artifact_jobs(study, name)):
            continue
        if table.read_bytes() != csv_text(_data(study, name)).encode():
            yield f"stale: {table}: not what its jobs give now; {remedy(study)}"


def _data(study: Study, name: str) -> pd.DataFrame:
    match name:
        case "runs.csv":
            return summarize(list(study.runs.values()))
        case "claims.csv":
            return judge_claims(study)
    return study.artifact(name).data(study)


def _check_config(study: Study, recorded: dict) -> Iterator[str]:
    path = paths.config(study.scale)
    hashes = list(_check_hashes(study, {path: recorded["config"]["sha256"]}))
    if hashes:
        yield from hashes
        return
    for difference in _differences(yaml.safe_load(path.read_bytes()), yaml.safe_load(manifest.config_text(study))):
        yield f"stale: {path}: the artifacts were made with {difference}; {command(study)}"


def _check_there(study: Study, paths: list[Path]) -> Iterator[str]:
    for path in paths:
        if not path.is_file():
            yield f"missing: {path}: no such file; make it: {command(study)}"


def _check_hashes(study: Study, hashes: dict[Path, str | None]) -> Iterator[str]:
    """Files that are missing, or whose hash is not the one in the manifest."""
    for path, digest in hashes.items():
        if not path.is_file():
            yield f"missing: {path}: no such file; make it: {command(study)}"
        elif digest is None:
            yield f"stale: {path}: made after the report, as MANIFEST.json does not have it; {command(study)}"
        elif digest != files.sha256(path):
            yield f"altered: {path}: not the file that MANIFEST.json records; {remedy(study)}"


def _differences(one: object, other: object) -> list[str]:
    """The settings in which one configuration differs from another, such as "training.momentum 0.9 (now 0.8)"."""
    before, after = _flat(one), _flat(other)
    return [
        f"{key} {_show(before.get(key))} (now {_show(after.get(key))})"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]


def _flat(value: object, key: str = "") -> dict[str, object]:
    """The leaves of nested mappings by their dotted keys."""
    if not isinstance(value, dict):
        return {key: value}
    return {
        inner: leaf
        for name, child in value.items()
        for inner, leaf in _flat(child, f"{key}.{name}" if key else str(name)).items()
    }


def _show(value: object) -> str:
    text = "absent" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."

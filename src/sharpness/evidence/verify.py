"""Comparing what lies under results/ and figures/ with the tree: missing, stale, altered or mixed, a line for each."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import yaml

from sharpness import files, paths, records
from sharpness.errors import UserError
from sharpness.evidence import claims, figures, manifest, tables
from sharpness.evidence.runs import csv_text, summarize
from sharpness.study import Study, canonical, load_config, load_study, scale_names
from sharpness.training.datasets import prepared_digest, prepared_folder

KINDS = ("runs", "sensing", "neuron")


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
    recorded = _read_manifest(study)
    if recorded is None:
        path = paths.results(study.scale) / manifest.MANIFEST
        return [*check(study), f"missing: {path}: no manifest that can be read; make the report"]
    return [*_check_config(study), *check(study, recorded), *_check_hashes(recorded["report"]["files"])]


def check(study: Study, recorded: dict | None = None) -> list[str]:
    """The findings about jobs and artifacts; without a recorded manifest, those that need none.

    Raises:
        UserError: as verify.
    """
    jobs = manifest.jobs(study)
    if not any((job.folder / "run.json").exists() for job in jobs.values()):
        run = f"snakemake --cores all --config scale={study.scale}"
        return [f"missing: {paths.results(study.scale)}: none of the study's jobs has run; {run}"]
    faults = {identity: fault for identity, job in jobs.items() if (fault := _fault(job))}
    sound = {identity: job for identity, job in jobs.items() if identity not in faults}
    return [
        *faults.values(),
        *_check_data(study, sound),
        *_check_strangers(study),
        *(_check_records(sound, recorded) if recorded else ()),
        *_check_artifacts(study, sound, recorded),
    ]


def _read_manifest(study: Study) -> dict | None:
    try:
        recorded = json.loads((paths.results(study.scale) / manifest.MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    complete = isinstance(recorded, dict) and recorded.keys() >= {"jobs", "artifacts", "report"}
    return recorded if complete else None


def _fault(job: manifest.Job) -> str | None:
    """What makes a job's files unusable."""
    absent = [name for name in (job.data, "run.json") if not (job.folder / name).is_file()]
    if absent:
        return f"missing: {job.folder}: no {' and no '.join(absent)}; run the job again"
    try:
        run = records.read_run(job.folder, job.data)
    except UserError as error:
        return f"altered: {error}"
    if canonical(run["spec"]) != canonical(job.spec):
        return f"altered: {job.folder / 'run.json'}: its spec is not the one that its folder is named for; run it again"
    return None


def _check_data(study: Study, jobs: dict[str, manifest.Job]) -> Iterator[str]:
    """Runs on other data than most are mixed; what most are on must be the prepared data, where that exists."""
    runs = [job.folder / "run.json" for job in jobs.values() if job.folder.parent.name == "runs"]
    hashes = {file: json.loads(file.read_bytes()).get("data_sha256", "unknown") for file in runs}
    if not hashes:
        return
    [(usual, _)] = Counter(hashes.values()).most_common(1)
    for file, digest in hashes.items():
        if digest != usual:
            yield f"mixed: {file}: trained on other data ({digest[:12]}) than most runs ({usual[:12]}); run it again"
    dataset, data_dir = study.settings["dataset"], Path(load_config()["data_dir"])
    prepared = prepared_digest(dataset, data_dir)
    if prepared not in (None, usual):
        yield (
            f"stale: {paths.results(study.scale) / 'runs'}: trained on other data ({usual[:12]}) than "
            f"{prepared_folder(dataset, data_dir)} has now ({prepared[:12]}); delete them and run again"
        )


def _check_records(jobs: dict[str, manifest.Job], recorded: dict) -> Iterator[str]:
    """Each run.json against the manifest; it vouches for its data file itself."""
    for identity, job in jobs.items():
        file = str(job.folder / "run.json")
        if identity in recorded["jobs"]:
            yield from _check_hashes({file: recorded["jobs"][identity]["files"].get(file)})


def _check_strangers(study: Study) -> Iterator[str]:
    """Folders of jobs that are not the study's at this scale."""
    own = manifest.jobs(study)
    elsewhere = {identity: other.scale for other in _other_studies(study) for identity in manifest.jobs(other)}
    for kind in KINDS:
        folders = [folder for folder in (paths.results(study.scale) / kind).glob("[!.]*") if folder.is_dir()]
        for folder in sorted(folder for folder in folders if folder.name not in own):
            if folder.name in elsewhere:
                home = paths.results(elsewhere[folder.name]) / kind
                yield f"mixed: {folder}: belongs to another scale; move it to {home}, or delete it"
            else:
                yield f"stale: {folder}: {_reason(folder, own)}; delete it"


def _other_studies(study: Study) -> Iterator[Study]:
    """The study at each other scale whose file is sound: what is wrong with another's is no finding about this one."""
    for scale in scale_names():
        if scale != study.scale:
            with suppress(UserError):
                yield load_study(scale)


def _reason(folder: Path, own: dict[str, manifest.Job]) -> str:
    """Why a folder is not one of the study's: in which settings it differs from the most similar job of its kind."""
    try:
        spec = json.loads((folder / "run.json").read_bytes())["spec"]
    except (OSError, ValueError, KeyError, TypeError):
        return "no job of the study"
    candidates = [_differences(spec, job.spec) for job in own.values() if job.folder.parent == folder.parent]
    nearest = min(candidates, key=len)
    return (
        f"made with {', '.join(nearest)}" if nearest else "made by another version of the code with the same settings"
    )


def _check_artifacts(study: Study, sound: dict[str, manifest.Job], recorded: dict | None) -> Iterator[str]:
    for name, own in manifest.artifact_files(study).items():
        known = recorded["artifacts"].get(name, {"files": {}})["files"] if recorded else {}
        findings = list(_check_hashes({str(path): known.get(str(path)) for path in own}))
        yield from findings
        can_be_made = set(manifest.artifact_jobs(study, name)) <= set(sound)
        if not findings and can_be_made and not _is_current(study, name):
            yield f"stale: {_data_file(study, name)}: not what its runs give now; make {name} again"


def _is_current(study: Study, name: str) -> bool:
    """Whether an artifact's CSV is what its jobs give now."""
    match name:
        case "runs.csv":
            data = summarize(study, list(study.runs))
        case "claims.csv":
            data = claims.judge_claims(study)
        case _ if name.startswith("table"):
            data = tables.build_table(study, name).data
        case "figure2":
            data = figures.ball_data()
        case "figure5":
            data = figures.sensing_data(study)
        case _:
            data = figures.curve_data(study, study.artifact(name))
    return _data_file(study, name).read_text(encoding="utf-8") == csv_text(data)


def _data_file(study: Study, name: str) -> Path:
    return next(path for path in manifest.artifact_files(study)[name] if path.suffix == ".csv")


def _check_config(study: Study) -> Iterator[str]:
    path = paths.results(study.scale) / manifest.CONFIG
    try:
        saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        yield f"missing: {path}: no configuration that can be read; make the report again"
        return
    for difference in _differences(saved, yaml.safe_load(manifest.config_text(study))):
        yield f"stale: {path}: the artifacts were made with {difference}; run the study again"


def _check_hashes(hashes: dict[str, str | None]) -> Iterator[str]:
    """Files that are missing, or that have not the hash recorded for them (None: no hash is known)."""
    for path, digest in hashes.items():
        if not Path(path).is_file():
            yield f"missing: {path}: no such file; make it again"
        elif digest not in (None, files.sha256(Path(path))):
            yield f"altered: {path}: not the file that {manifest.MANIFEST} records; make it and the report again"


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

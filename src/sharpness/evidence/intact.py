"""Whether the files of the evidence are still what was written, by the hashes that were written with them."""

import sys
from contextlib import suppress
from pathlib import Path

from sharpness import files, paths, records
from sharpness.study import Study


def altered_artifacts(study: Study) -> dict[Path, str]:
    """Each file of a table, a figure, runs.csv and claims.csv that is not what its record describes, and why.

    A file that is not there is left out, but for a record, without which nothing vouches for the others.
    """
    found: dict[Path, str] = {}
    for artifact in study.artifacts.values():
        found |= _altered(artifact.record(study.scale), artifact.described(study.scale), records.ARTIFACT)
    for table in (paths.runs(study.scale), paths.claims(study.scale)):
        found |= _altered(paths.record(table), [table], records.TABLE)
    return found


def altered_report(study: Study) -> dict[Path, str]:
    """As altered_artifacts, for the report, and for the configuration beside the manifest, by the manifest."""
    manifest = paths.manifest(study.scale)
    if not manifest.exists():
        return {}
    try:
        recorded = records.parse(manifest.read_bytes(), records.MANIFEST)
    except (OSError, ValueError) as reason:
        return {manifest: str(reason)}
    hashes = {path: recorded["report"]["files"].get(str(path)) for path in paths.report(study.scale)}
    hashes[paths.config(study.scale)] = recorded["config"]["sha256"]
    return _others(hashes, manifest)


def set_aside(study: Study) -> None:
    """Rename altered files, with a warning: Snakemake makes again what is missing, and knows of no other damage."""
    for path, reason in (altered_artifacts(study) | altered_report(study)).items():
        aside = path.with_name(f"{path.name}.altered")
        with suppress(OSError):
            path.replace(aside)
            print(f"sharpness: warning: {path}: {reason}; kept as {aside}, made again where needed", file=sys.stderr)


def remedy(study: Study) -> str:
    """What makes an altered file again."""
    return f"delete it and make it again: {command(study)}"


def command(study: Study) -> str:
    """What makes all of a scale's results."""
    return f"snakemake --cores all --config scale={study.scale}{' theory=true' if study.theory else ''}"


def _altered(record: Path, described: list[Path], schema: dict) -> dict[Path, str]:
    there = [path for path in described if path.is_file()]
    if not record.is_file():
        return {record: f"no such file, so that nothing vouches for {there[0].name}"} if there else {}
    try:
        made = records.parse(record.read_bytes(), schema)
    except (OSError, ValueError) as reason:
        return {record: str(reason)}
    if made["files"].keys().isdisjoint(path.name for path in described):
        return {record: "describes other files"}
    return _others({path: made["files"].get(path.name) for path in there}, record)


def _others(hashes: dict[Path, str | None], record: Path) -> dict[Path, str]:
    """The files that are there and have another hash than the recorded one."""
    there = {path: digest for path, digest in hashes.items() if path.is_file()}
    return {
        path: f"not the file that {record} describes" for path, digest in there.items() if files.sha256(path) != digest
    }

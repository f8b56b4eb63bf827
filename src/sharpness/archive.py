"""Carrying results from one machine to another: finished jobs and the last checkpoints in one archive."""

import tarfile
from pathlib import Path, PurePosixPath

from sharpness import files
from sharpness.errors import UserError
from sharpness.jobs import Job
from sharpness.study import Study


def export_results(study: Study, archive: Path) -> int:
    """Pack the study's finished jobs and its runs' checkpoints.

    Returns:
        How many jobs are in the archive, finished or not.

    Raises:
        UserError: a job's files are not what it wrote.
    """
    packed = []
    for job in study.jobs.values():
        if job.is_finished():
            job.read()
            packed.append(job.files)
        elif job.checkpoint.exists():
            packed.append([job.checkpoint])
    with files.replacing(archive) as temporary, tarfile.open(temporary, "w:gz") as tar:
        for path in (path for group in packed for path in group):
            tar.add(path)
    return len(packed)


def import_results(study: Study, archive: Path) -> int:
    """Take in an archive of the same study, after checking all of it; what is finished here stays as it is.

    Returns:
        How many jobs were taken in, finished or not.

    Raises:
        UserError: the archive is damaged, holds anything but files of the study's jobs, or these are not what their
            jobs wrote; nothing has been written then.
    """
    content = _read(archive)
    taken: dict[Path, bytes] = {}
    jobs = set()
    for job in study.jobs.values():
        found = {path: content.pop(path) for path in [*job.files, job.checkpoint] if path in content}
        if not found:
            continue
        if job.checkpoint in found:
            _check_checkpoint(job, found[job.checkpoint], archive)
        if len(found.keys() & set(job.files)) == 1:
            raise UserError(f"{archive}: only one of the files of {job.id}; export it again")
        if job.run in found:
            job.check(found[job.run], found[job.data], f"{archive}: ")
        if not job.is_finished():
            jobs.add(job.id)
            taken |= found
    if content:
        raise UserError(f"{archive}: {min(content)} is not a file of scale {study.scale}; export that scale")
    for path, data in taken.items():
        with files.replacing(path) as temporary:
            temporary.write_bytes(data)
    return len(jobs)


def _read(archive: Path) -> dict[Path, bytes]:
    """Every member of an archive by its path below the project's root."""
    content = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if not member.isfile() or path.is_absolute() or ".." in path.parts or path.parts[0] != "results":
                    raise UserError(
                        f"{archive}: {member.name!r} is not a file below results/; do not trust this archive"
                    )
                content[Path(path)] = tar.extractfile(member).read()
    except FileNotFoundError:
        raise UserError(f"{archive}: no such file") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{archive}: not a complete archive ({error}); export it again") from None
    return content


def _check_checkpoint(job: Job, content: bytes, archive: Path) -> None:
    from sharpness.training.checkpoint import unpack

    try:
        identity = unpack(content)["identity"]
    except ValueError as reason:
        raise UserError(f"{archive}: {job.checkpoint} is {reason}; export it again") from None
    if (identity["id"], identity.get("spec")) != (job.id, job.spec):
        raise UserError(f"{archive}: {job.checkpoint} is not a checkpoint of {job.id}; export it again")

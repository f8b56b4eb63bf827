"""Carrying results from one machine to another: finished jobs and the last checkpoints in one archive."""

import shutil
import tarfile
import tempfile
import zlib
from contextlib import suppress
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
    with files.replacing(archive) as temporary, tarfile.open(temporary, "w:gz", compresslevel=1) as tar:
        for path in (path for group in packed for path in group):
            tar.add(path)
    return len(packed)


def check_target(archive: Path) -> None:
    """Refuse a path that no archive can be written to, before the time is spent that it is to carry away.

    Raises:
        UserError: it is a folder.
        OSError: nothing can be written there.
    """
    if archive.is_dir():
        raise UserError(f"{archive}: a folder; name a file in it")
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=archive.parent):
        pass


def import_results(study: Study, archive: Path) -> int:
    """Take in an archive of the same study, after checking all of it; what is finished or further here stays as it is.

    Returns:
        How many jobs were taken in, finished or not.

    Raises:
        UserError: the archive is damaged, holds anything but files of the study's jobs, or these are not what their
            jobs wrote; nothing has been written then.
    """
    content = _read(archive)
    taken: dict[Path, bytes] = {}
    jobs = []
    for job in study.jobs.values():
        found = {path: content.pop(path) for path in [*job.files, job.checkpoint] if path in content}
        if not found:
            continue
        if job.checkpoint in found and _reached(job, found[job.checkpoint], f"{archive}: ") <= _reached_here(job):
            del found[job.checkpoint]
        if len(found.keys() & set(job.files)) == 1:
            raise UserError(f"{archive}: only one of the files of {job.id}; export it again")
        if job.run in found:
            job.check(found[job.run], found[job.data], f"{archive}: ")
        if found and not job.is_finished():
            jobs.append(job)
            taken |= found
    if content:
        raise UserError(f"{archive}: {str(min(content))!r} is not a file of scale {study.scale}; export that scale")
    for path, data in taken.items():
        with files.replacing(path) as temporary:
            temporary.write_bytes(data)
    for job in jobs:
        if job.run in taken:  # what was begun here is of no use any longer
            job.checkpoint.unlink(missing_ok=True)
            shutil.rmtree(job.unfinished, ignore_errors=True)
    return len(jobs)


def _read(archive: Path) -> dict[Path, bytes]:
    """Every member of an archive by its path below the project's root."""
    content = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if not member.isfile() or path.is_absolute() or ".." in path.parts or path.parts[:1] != ("results",):
                    raise UserError(
                        f"{archive}: {member.name!r} is not a file below results/; do not trust this archive"
                    )
                content[Path(path)] = tar.extractfile(member).read()
    except FileNotFoundError:
        raise UserError(f"{archive}: no such file; give one that --export has written") from None
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise UserError(f"{archive}: not a complete archive ({error}); export it again") from None
    return content


def _reached(job: Job, content: bytes, where: str = "") -> tuple[int, int]:
    """The epochs that a checkpoint of a job has complete, and how far it is in the next one.

    Raises:
        UserError: it is damaged, or no checkpoint of the job.
    """
    from sharpness.training.checkpoint import unpack

    place = f"{where}{job.checkpoint}"
    try:
        state = unpack(content)
    except ValueError as reason:
        raise UserError(f"{place} is {reason}; export it again") from None
    identity, history, done = state["identity"], state.get("history"), state.get("done")
    is_ours = (identity["id"], identity.get("spec")) == (job.id, job.spec)
    if not (is_ours and isinstance(history, list) and isinstance(done, int)):
        raise UserError(f"{place} is not a checkpoint of {job.id}; export it again")
    return len(history), done


def _reached_here(job: Job) -> tuple[int, int]:
    """As _reached, of the checkpoint that is here; one that is missing or of no use has reached nothing."""
    with suppress(OSError, UserError):
        return _reached(job, job.checkpoint.read_bytes())
    return (-1, 0)

"""Writing files so that a reader, a crash or a full disk never meets half of one."""

import fcntl
import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced to disk and renamed over `path`, else removed.

    The temporary file keeps the suffix of `path`, from which writers such as matplotlib infer the format. What earlier
    writers of `path` have left behind because they were killed is removed.

    Args:
        path: the file to write.
        sync: without it the file survives the death of this process, but perhaps not the machine's loss of power.

    Raises:
        OSError: the file cannot be written; its filename is `path`.
    """
    prefix = f".{path.stem}-"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path, prefix)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=path.suffix)
        temporary = Path(name)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # freed when this process ends, however it ends
            yield temporary
            if sync:
                with temporary.open("rb+") as handle:
                    os.fsync(handle.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)
    except OSError as error:
        if error.filename is None or Path(error.filename).name.startswith(prefix):
            error.filename = str(path)
        raise


def _remove_abandoned(path: Path, prefix: str) -> None:
    """Remove temporary files of `path` whose writers are gone: nobody holds their lock."""
    for abandoned in path.parent.glob(f"{glob.escape(prefix)}*{glob.escape(path.suffix)}"):
        with suppress(OSError), abandoned.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            abandoned.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` atomically, with Unix line ends on every platform."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Write `value` to `path` atomically as indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

"""Which errors reach a user as a message instead of a traceback."""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# The exit status (EX_IOERR) when standard error could not be written, so that the fault itself is not known to anyone.
UNSAID = 74
MEMORY_EXHAUSTED = (
    "memory exhausted; run fewer jobs at once (snakemake --cores), end other programs or raise a limit (ulimit -v), "
    "and run again"
)


class UserError(Exception):
    """Something that the user can fix: one line that says what, where, and what to do instead."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))  # whatever name or error it quotes


class SettingError(ValueError):
    """A setting that has no meaning, alone or with the data set at hand; whoever knows its key adds it (`setting`)."""


@contextmanager
def setting(key: str) -> Iterator[None]:
    """Say of a SettingError in this context under which key of its configuration file the setting stands."""
    try:
        yield
    except SettingError as error:
        raise SettingError(f"{key}: {error}") from None


@contextmanager
def settings_of(where: str) -> Iterator[None]:
    """Raise a SettingError in this context as a UserError, with the file (and key) where the setting stands.

    Raises:
        UserError: in place of the SettingError.
    """
    try:
        yield
    except SettingError as error:
        raise UserError(f"{where}: {error}") from None


def unknown(kind: str, name: object, known: Iterable[str], where: str) -> UserError:
    """The error for a name that is not among the known ones, with the nearest of them as a suggestion."""
    return UserError(f"{where}: {not_known(kind, name, known)}")


def not_known(kind: str, name: object, known: Iterable[str]) -> str:
    """As `unknown`, the message without its place."""
    return f"unknown {kind} '{name}'; {suggestion(name, sorted(known))}"


def suggestion(name: object, known: Iterable[object]) -> str:
    """What to write in place of a name that is not among the known ones: the nearest of them, or any, or nothing."""
    known = list(map(str, known))
    if not known:
        return "remove it"
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"choose from: {', '.join(known)}"


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, said without an import of torch.

    It has a type of its own for a GPU's memory, and none for the CPU's and for that of CUDA's libraries.
    """
    known = ("DefaultCPUAllocator", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED")
    known += ("failed to map segment", "cannot allocate memory")  # a library that finds no room when it is imported
    of_torch = type(error).__name__ == "OutOfMemoryError" or any(text in str(error) for text in known)
    return isinstance(error, MemoryError) or of_torch

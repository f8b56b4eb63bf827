"""Checkpoints from which a killed run continues: written atomically, verified, and read without running code."""

import hashlib
import io
import sys
import time
from pathlib import Path

import torch

from sharpness import files

# Raise the number when the state that the training loop saves gets another layout.
MAGIC = b"sharpness checkpoint 3 "

# Waiting for the disk would slow runs of short epochs by several percent, and they lose little when the power fails:
# a checkpoint is synced only if the last one was saved at least this long before (seconds).
SYNC_INTERVAL = 1.0

torch.serialization.set_crc32_options(False)  # the SHA-256 guards the content


class CheckpointFile:
    """One run's checkpoint on disk: a line with the SHA-256 of what follows, then the state as torch saves it.

    Args:
        path: the file.
        identity: what the state belongs to: id, spec, data; a checkpoint of anything else is not used.
    """

    def __init__(self, path: Path, identity: dict):
        self.path, self.identity = path, identity
        self._saved_at = time.monotonic()

    def save(self, state: dict) -> None:
        """Replace the checkpoint. `state` has tensors, numbers, strings, lists and dicts."""
        buffer = io.BytesIO()
        torch.save({"identity": self.identity, **state}, buffer)
        sync = time.monotonic() - self._saved_at >= SYNC_INTERVAL
        with files.replacing(self.path, sync) as temporary, temporary.open("wb") as handle:
            handle.write(_first_line(buffer.getbuffer()))
            handle.write(buffer.getbuffer())
        self._saved_at = time.monotonic()

    def load(self) -> dict | None:
        """The state of the last complete checkpoint, on the CPU, or None.

        A file that is unreadable, cut short, corrupt or of another run is renamed out of the way with a warning.
        """
        try:
            content = memoryview(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            return self.set_aside(f"unreadable ({error.strerror})")
        try:
            state = unpack(content)
        except ValueError as reason:
            return self.set_aside(reason)
        if state["identity"] != self.identity:
            return self.set_aside(f"of another run, or of other data ({state['identity']['id']})")
        return state

    def remove(self) -> None:
        """Delete the checkpoint of a run that is complete."""
        self.path.unlink(missing_ok=True)

    def set_aside(self, reason: object) -> None:
        """Rename a checkpoint that cannot be used, and say why."""
        aside = self.path.with_suffix(".unusable")
        self.path.replace(aside)
        print(
            f"sharpness: warning: {self.path} is {reason}; kept as {aside}, starting afresh",
            file=sys.stderr,
        )


def unpack(content: bytes | memoryview) -> dict:
    """The state in a checkpoint's content, on the CPU, with the identity of the run that it belongs to.

    Raises:
        ValueError: why it cannot be used.
    """
    start = len(_first_line(b""))
    if content[:start] != _first_line(content[start:]):
        raise ValueError("cut short, corrupt or of another version")
    try:
        state = torch.load(io.BytesIO(content[start:]), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception:  # what somebody has crafted can raise anything
        raise ValueError("not a plain checkpoint") from None
    identity = state.get("identity") if isinstance(state, dict) else None
    if not isinstance(identity, dict) or "id" not in identity:
        raise ValueError("of no run")
    return state


def _first_line(payload: bytes | memoryview) -> bytes:
    return MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n"

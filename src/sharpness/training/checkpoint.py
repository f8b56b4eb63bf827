"""Checkpoints that a killed run continues from: atomic, verified, never trusted with code."""

import hashlib
import io
import sys
import time
from pathlib import Path

import torch

from sharpness import files

# A checkpoint is written when what it costs is at most this part of the time since the last one.
AFFORDABLE = 0.02


class CheckpointFile:
    """One run's checkpoint on disk: a line with the SHA-256 of what follows, then the state as torch saves it.

    Args:
        path: the file.
        identity: the run_id, which names the spec and the training semantics; a checkpoint of another is not used.
    """

    def __init__(self, path: Path, identity: str):
        self.path, self.identity = path, identity
        self._saved_at, self._cost = time.monotonic(), 0.0

    def affordable(self) -> bool:
        """Whether enough time has passed since the last checkpoint for another one to cost next to nothing."""
        return self._cost <= AFFORDABLE * (time.monotonic() - self._saved_at)

    def save(self, state: dict) -> None:
        """Replace the checkpoint. `state` holds tensors, numbers, strings, lists and dicts."""
        started = time.monotonic()
        buffer = io.BytesIO()
        torch.save({"run_id": self.identity, **state}, buffer)
        with files.replacing(self.path) as temporary, temporary.open("wb") as handle:
            handle.write(hashlib.sha256(buffer.getbuffer()).hexdigest().encode() + b"\n")
            handle.write(buffer.getbuffer())
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - started

    def load(self, device: torch.device) -> dict | None:
        """The state of the last complete checkpoint, or None.

        A file that is cut short, corrupt or of another run is renamed out of the way with a warning.
        """
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        digest, _, payload = content.partition(b"\n")
        if hashlib.sha256(payload).hexdigest().encode() != digest:
            return self._set_aside("cut short or corrupt")
        state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
        if state.get("run_id") != self.identity:
            return self._set_aside(f"of another run ({state.get('run_id')})")
        return state

    def remove(self) -> None:
        """Delete the checkpoint of a run that is complete."""
        self.path.unlink(missing_ok=True)

    def _set_aside(self, reason: str) -> None:
        aside = self.path.with_suffix(".unusable")
        self.path.replace(aside)
        print(f"sharpness: warning: {self.path} is {reason}; kept as {aside}, starting afresh", file=sys.stderr)

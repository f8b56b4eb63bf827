"""SIGTERM and SIGINT as a request that the training loop notices after the batch at hand."""

import signal
import threading
from types import FrameType, TracebackType


class Interrupted(Exception):
    """A run was asked to stop and has saved its checkpoint.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal = signal_number


class StopRequest:
    """While in this context, the signals set `signal` instead of ending the process; only in the main thread."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> "StopRequest":
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number

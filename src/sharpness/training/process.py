"""A process that trains one run: how it is stopped, what it need not import, and which memory it keeps."""

import ctypes
import inspect
import signal
import threading
from types import FrameType, TracebackType

# The numbers by which glibc's mallopt knows two of its settings, from malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 2**30


class Interrupted(Exception):
    """A run was asked to stop and has saved its checkpoint.

    Attributes:
        signal: the signal's number.
    """

    def __init__(self, signal_number: int):
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal = signal_number


class StopRequest:
    """While in this context, SIGTERM, SIGINT and SIGHUP set `signal` instead of ending the process.

    Only in the main thread. SIGHUP, which a terminal sends when it closes, stays ignored where `nohup` has it ignored.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> "StopRequest":
        self._previous = {}
        if threading.current_thread() is threading.main_thread():
            heard = [signal.SIGTERM, signal.SIGINT]
            if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                heard.append(signal.SIGHUP)
            self._previous = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number


def skip_compiler_import() -> None:
    """Keep torch.optim from importing torch's compiler, which takes about as long as importing torch itself.

    Some of Optimizer's methods import the compiler when first called, only to be exempt from it, and keep their exempt
    version in an attribute; SGD.step imports it to say that a graph breaks there. A process that compiles nothing needs
    neither: here the plain functions take their place. Where a version of torch does this otherwise, nothing changes.
    """
    import torch  # whoever only wants to stop cleanly does not wait for it

    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            plain.__dynamo_disable = plain
    torch.optim.SGD.step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))


def keep_freed_memory() -> None:
    """Keep freed tensors' memory for the next ones, where the C library is glibc.

    By default glibc returns large freed blocks to the kernel, and every new allocation page-faults: up to a fifth of a
    small network's training time. Keeping them needs no more memory than the process has at its peak.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)

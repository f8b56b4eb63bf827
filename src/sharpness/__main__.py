"""`sharpness` and `python -m sharpness`: the command line in a process of its own."""

import atexit
import gc
import os
import signal
import sys

from sharpness.errors import MEMORY_EXHAUSTED, UNSAID, is_out_of_memory

try:
    from sharpness.cli import main
except ModuleNotFoundError as error:  # the wheel alone brings the optimizer
    sys.exit(f"sharpness: error: {error.name} is missing; the pipeline needs pip install 'sharpness[pipeline]'")
except (MemoryError, ImportError) as error:
    sys.exit(f"sharpness: error: {MEMORY_EXHAUSTED}" if is_out_of_memory(error) else str(error))

# Importing torch makes 180,000 objects that stay. The garbage collector scans them again and again, and once more at
# the end, which takes half a second of every job.
OBJECTS_BEFORE_COLLECTION = 50_000


def run() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    atexit.register(gc.freeze)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")  # a character that the terminal lacks is not an error
    sys.exit(_flushed(main()))


def _flushed(status: int) -> int:
    """The exit status once the output is out: that of SIGPIPE if nobody reads it, UNSAID if it cannot be written."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python tries again, and fails loudly
        return 128 + signal.SIGPIPE if isinstance(error, BrokenPipeError) else status or UNSAID
    return status


if __name__ == "__main__":
    run()

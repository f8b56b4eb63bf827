"""`sharpness` and `python -m sharpness`: the command line in a process of its own."""

import atexit
import gc
import sys

from sharpness.cli import main

# Importing torch makes 180,000 objects that stay. Python looks among them for garbage time and again, and once more at
# the end, which takes half a second of every job.
OBJECTS_BEFORE_COLLECTION = 50_000


def run() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(OBJECTS_BEFORE_COLLECTION)
    atexit.register(gc.freeze)
    sys.exit(main())


if __name__ == "__main__":
    run()

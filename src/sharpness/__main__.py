"""`sharpness` and `python -m sharpness`: the command line in a process of its own."""

import atexit
import gc
import sys

try:
    from sharpness.cli import main
except ModuleNotFoundError as error:  # the wheel alone brings the optimizer
    sys.exit(f"sharpness: error: {error.name} is missing; the pipeline needs pip install 'sharpness[pipeline]'")

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

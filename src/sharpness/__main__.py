"""`python -m sharpness` is the `sharpness` command."""

import sys

from sharpness.cli import main

sys.exit(main())

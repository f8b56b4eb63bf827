"""Which code runs: the project's own, whose commit the results record."""

import os
import sys
from pathlib import Path

from sharpness.errors import UserError

SOURCE = Path(__file__).resolve().parents[1]
OWN = Path("src/sharpness")


def check_source() -> None:
    """Refuse to compute for a project that has other code in its src/: its commit would be recorded.

    Raises:
        UserError: the working directory has a src/sharpness, and this is not it.
    """
    if OWN.is_dir() and OWN.resolve() != SOURCE / "sharpness":
        raise UserError(
            f"{OWN.resolve()}: this project's code is not what runs, which is {SOURCE / 'sharpness'}; "
            "run 'pip install -e .' here, or use this project's own .venv"
        )


def environment() -> dict[str, str]:
    """What a Python process needs in its environment to run this code, and no module of its working directory.

    Raises:
        UserError: a path has the character that separates the entries of a search path.
    """
    interpreter = str(Path(sys.executable).parent)
    for place in (str(SOURCE), interpreter):
        if os.pathsep in place:
            raise UserError(
                f"{place}: a search path is split at '{os.pathsep}', so that other code would run; rename that folder"
            )
    return {
        "PATH": os.pathsep.join([interpreter, *os.get_exec_path()]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH")])),
        "PYTHONSAFEPATH": "1",
    }

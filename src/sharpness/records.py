"""What a run leaves: history.csv, one row an epoch and no clock, and run.json, which says where it came from."""

import csv
import io
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sharpness import files
from sharpness.errors import UserError

COMPLETED = "completed"
DIVERGED = "diverged"


@dataclass(frozen=True)
class EpochRecord:
    """One row of a history.

    Attributes:
        epoch: counted from 1.
        learning_rate: of this epoch's steps.
        train_loss: mean over the epoch's images of the smoothed loss (nats) in the first pass, before each step.
        train_accuracy: fraction correct in the same passes.
        test_loss: mean smoothed loss (nats) over the test set after the epoch.
        test_accuracy: fraction correct over the test set after the epoch.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float


HISTORY_COLUMNS = tuple(field.name for field in fields(EpochRecord))


def history_text(history: list[EpochRecord]) -> str:
    """The text of history.csv; nine significant digits hold a float32 exactly."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HISTORY_COLUMNS)
    for record in history:
        writer.writerow([record.epoch, *(f"{value:.9g}" for value in list(asdict(record).values())[1:])])
    return buffer.getvalue()


def write_run(folder: Path, history: list[EpochRecord], run: dict) -> None:
    """Write history.csv, then run.json with its SHA-256: a folder with a run.json is complete."""
    files.write_text(folder / "history.csv", history_text(history))
    files.write_json(folder / "run.json", {**run, "sha256": files.sha256(folder / "history.csv")})


def read_run(folder: Path, data: str = "history.csv") -> dict:
    """run.json of a finished run or sweep, after checking that its data file is the one that it describes.

    Raises:
        UserError: a file is missing, unreadable or cut short, the data file was changed after the run, or they belong
            to another one.
    """
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        digest = files.sha256(folder / data)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; train the run first") from None
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from None
    except (ValueError, RecursionError):
        raise UserError(f"{folder / 'run.json'}: cut short or not JSON; delete {folder} and run again") from None
    if not isinstance(run, dict) or run.get("sha256") != digest:
        raise UserError(
            f"{folder / data}: not the file that its run.json describes (cut short, or changed by hand); "
            f"restore it, or delete {folder} and run again"
        )
    lacks_status = data == "history.csv" and run.get("status") not in (COMPLETED, DIVERGED)
    if folder.name not in run.values() or lacks_status:
        raise UserError(f"{folder / 'run.json'}: does not describe this run; delete {folder} and run again")
    return run

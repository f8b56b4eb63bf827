"""Reading many jobs as tidy frames, and runs.csv, which has one row for each training run."""

import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from sharpness import files, paths, records
from sharpness.errors import UserError
from sharpness.evidence.formatting import LARGEST_LOSS
from sharpness.jobs import COMPLETED, DIVERGED, Job
from sharpness.study import Study

METRICS = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
# What runs.csv also has of the runs whose histories have it.
FURTHER_METRICS = ["test_nll", "test_ece"]
# What a spreadsheet takes for a formula, wide marks too, and that with apostrophes before it.
FORMULA = re.compile("'*[=+\\-@\uff1d\uff0b\uff0d\uff20]")


def read_histories(jobs: Sequence[Job], columns: Sequence[str] = (), if_there: Sequence[str] = ()) -> pd.DataFrame:
    """The histories of some training runs, one below the other in the order given.

    Args:
        jobs: the runs.
        columns: what is asked for beside epoch, learning_rate and METRICS. Histories may have more.
        if_there: what is missing (NaN) in the histories that lack it.

    Returns:
        The columns run_id, status, epoch, learning_rate, METRICS and those asked for. A diverged run's last row has
        what was not finite.

    Raises:
        UserError: as Job.read, or a history lacks a column.
    """
    asked = ["epoch", "learning_rate", *METRICS, *columns]
    by_header = defaultdict(list)  # each history's job, status and text below its header
    for job in jobs:
        status = job.read()["status"]
        header, _, body = job.data.read_text(encoding="utf-8").partition("\n")
        by_header[header].append((job, status, body))
    parts = []
    for header, members in by_header.items():
        present = header.split(",")
        for name in asked:
            if name not in present:
                job = members[0][0]
                raise UserError(f"{job.data}: no column '{name}'; delete {job.folder} and run again")
        found = [*asked, *(name for name in if_there if name in present)]
        bodies = [body for _, _, body in members]
        # One parse of all texts together is many times faster than one for each.
        text = io.StringIO(header + "\n" + "".join(bodies))
        frame = pd.read_csv(text, usecols=found, dtype={name: float for name in found if name != "epoch"})
        epochs = [body.count("\n") for body in bodies]
        frame.insert(0, "run_id", np.repeat(np.array([job.id for job, _, _ in members], dtype=object), epochs))
        frame.insert(1, "status", np.repeat(np.array([status for _, status, _ in members], dtype=object), epochs))
        parts.append(frame)
    order = {job.id: index for index, job in enumerate(jobs)}
    histories = pd.concat(parts) if len(parts) > 1 else parts[0]
    histories = histories.sort_values("run_id", key=lambda ids: ids.map(order), kind="stable", ignore_index=True)
    return histories.reindex(columns=["run_id", "status", *asked, *if_there])


def read_problem(job: Job) -> pd.DataFrame:
    """What a toy problem has computed.

    Raises:
        UserError: as Job.read.
    """
    job.read()
    return pd.read_csv(job.data)


def finite(histories: pd.DataFrame) -> pd.DataFrame:
    """The epochs of some histories whose losses are finite: all but the last one of a diverged run."""
    return histories[np.isfinite(histories[METRICS]).all(axis=1)]


def summarize(jobs: Sequence[Job]) -> pd.DataFrame:
    """One row a training run, in the order given: its spec, its status, its final and its best results.

    A list in the spec becomes one text, its items separated by spaces, and p = ∞ the number inf. A key that a run's
    spec lacks is missing there, and so are the final results of a diverged run; best ones are over its finite epochs.

    Returns:
        The columns run_id, the spec's keys, status, epochs_trained, final_{train,test}_{accuracy,loss},
        best_test_{accuracy,loss}, and final_{FURTHER_METRICS}, missing where a history lacks them.

    Raises:
        UserError: as read_histories.
    """
    rows = [{key: _scalar(value) for key, value in job.spec.items()} for job in jobs]
    runs = pd.DataFrame(rows, columns=_spec_columns([job.spec for job in jobs]))
    runs.insert(0, "run_id", [job.id for job in jobs])

    histories = read_histories(jobs, if_there=FURTHER_METRICS)
    last = histories.drop_duplicates("run_id", keep="last").set_index("run_id")
    final = last[[*METRICS, *FURTHER_METRICS]].where(last["status"] == COMPLETED).add_prefix("final_")
    best = (
        finite(histories)
        .groupby("run_id")
        .agg(best_test_accuracy=("test_accuracy", "max"), best_test_loss=("test_loss", "min"))
    )
    trained = last[["status", "epoch"]].rename(columns={"epoch": "epochs_trained"})
    runs = runs.join(trained, on="run_id").join(final, on="run_id").join(best, on="run_id")
    further = [f"final_{name}" for name in FURTHER_METRICS]
    return runs[[*runs.columns.drop(further), *further]]


def final_results(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Final test results over the completed seeds of each group of runs (as `summarize` gives them).

    Returns:
        One row a group, in the order of its first run: the columns of `by`, n (completed seeds), diverged (the others),
        and mean and sample standard deviation (missing for n < 2) of the final test accuracy and loss.
    """
    groups = runs.assign(diverged=runs["status"] == DIVERGED).groupby(by, sort=False, dropna=False)
    return groups.agg(
        n=("final_test_accuracy", "count"),
        diverged=("diverged", "sum"),
        accuracy_mean=("final_test_accuracy", "mean"),
        accuracy_std=("final_test_accuracy", "std"),
        loss_mean=("final_test_loss", "mean"),
        loss_std=("final_test_loss", "std"),
    ).reset_index()


def write_runs(study: Study) -> None:
    """Write results/<scale>/runs.csv: every training run of the study, in its order.

    Raises:
        UserError: as summarize.
    """
    write_table(paths.runs(study.scale), summarize(list(study.runs.values())))


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as CSV, and beside it a record with its hash."""
    files.write_text(path, csv_text(frame))
    records.write(paths.record(path), {"files": {path.name: files.sha256(path)}})


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV with nine significant digits, which hold a float32 exactly; a missing value is empty.

    Text that a spreadsheet would take for a formula has an apostrophe before it, which `read_table` takes off.
    """
    guarded = _each_text(frame, lambda text: f"'{text}" if FORMULA.match(text) else text)
    return guarded.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def read_table(file: Path | TextIO, numbers: Collection[str] = ()) -> pd.DataFrame:
    """A table that csv_text has written, as it was before.

    Args:
        file: the table.
        numbers: the columns of numbers (missing: an empty cell); all others are text, "NA" and "1e5" too.

    Raises:
        OSError, ValueError: there is none that can be read.
    """
    types = defaultdict(lambda: str, dict.fromkeys(numbers, float))
    frame = pd.read_csv(file, keep_default_na=False, na_values=[""], dtype=types)
    return _each_text(frame, lambda text: text[1:] if text.startswith("'") and FORMULA.match(text) else text)


def _each_text(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    texts = {name: column for name, column in frame.items() if not is_numeric_dtype(column)}
    changed = {
        name: pd.Series([change(cell) if isinstance(cell, str) else cell for cell in column], column.index, object)
        for name, column in texts.items()
    }
    return frame.assign(**changed)


def loss_or_inf(losses: pd.Series) -> pd.Series:
    """Losses, NaN and what is beyond LARGEST_LOSS as inf: they have diverged."""
    return losses.where(losses <= LARGEST_LOSS, np.inf)


def _scalar(value: object) -> object:
    if value == "inf":
        return math.inf
    return " ".join(f"{item:g}" for item in value) if isinstance(value, list) else value


def _spec_columns(specs: list[dict]) -> list[str]:
    """Every key of the specs, and rho in any case: in the order of the fullest one, the networks' sizes together."""
    keys = list(dict.fromkeys([*(key for spec in sorted(specs, key=len, reverse=True) for key in spec), "rho"]))
    sizes = [key for key in keys if key.startswith("network_")]
    others = [key for key in keys if key not in sizes]
    after = others.index("network") + 1
    return [*others[:after], *sizes, *others[after:]]

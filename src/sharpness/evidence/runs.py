"""Reading what runs have left as tidy frames, and runs.csv, which has one row for each run."""

import io
import math

import numpy as np
import pandas as pd

from sharpness import files, paths, records
from sharpness.errors import UserError
from sharpness.study import Artifact, Study, neuron_id, sensing_id

METRICS = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
LARGEST_LOSS = 1e308


def read_histories(study: Study, run_ids: list[str]) -> pd.DataFrame:
    """The histories of some of the study's runs, one below the other in the order given.

    Returns:
        The columns run_id, status and those of history.csv. A diverged run's last row has what was not finite.

    Raises:
        UserError: as records.read_run, or a history has other columns.
    """
    header = ",".join(records.HISTORY_COLUMNS) + "\n"
    bodies, statuses = [], []
    for run_id in run_ids:
        folder = paths.run(study.scale, run_id)
        statuses.append(records.read_run(folder)["status"])
        text = (folder / "history.csv").read_text(encoding="utf-8")
        if not text.startswith(header):
            raise UserError(
                f"{folder / 'history.csv'}: its columns are not {', '.join(records.HISTORY_COLUMNS)}; "
                f"delete {folder} and run again"
            )
        bodies.append(text.removeprefix(header))
    # One parse of all texts together is many times faster than one for each.
    histories = pd.read_csv(io.StringIO(header + "".join(bodies)), dtype=dict.fromkeys(METRICS, float))
    epochs = [body.count("\n") for body in bodies]
    histories.insert(0, "run_id", np.repeat(np.array(run_ids, dtype=object), epochs))
    histories.insert(1, "status", np.repeat(np.array(statuses, dtype=object), epochs))
    return histories


def finite(histories: pd.DataFrame) -> pd.DataFrame:
    """The epochs of some histories whose losses are finite: all but the last one of a diverged run."""
    return histories[np.isfinite(histories[METRICS]).all(axis=1)]


def summarize(study: Study, run_ids: list[str]) -> pd.DataFrame:
    """One row a run, in the order given: its spec, its status, its final and its best results.

    A list in the spec becomes one text, its items separated by spaces, and p = ∞ the number inf. A key that a run's
    spec lacks is missing there, and so are the final results of a diverged run; best ones are over its finite epochs.

    Returns:
        The columns run_id, the spec's keys, status, epochs_trained, final_{train,test}_{accuracy,loss} and
        best_test_{accuracy,loss}.

    Raises:
        UserError: as read_histories.
    """
    specs = [study.runs[run_id] for run_id in run_ids]
    rows = [{key: _scalar(value) for key, value in spec.items()} for spec in specs]
    runs = pd.DataFrame(rows, columns=_spec_columns(specs))
    runs.insert(0, "run_id", run_ids)

    histories = read_histories(study, run_ids)
    last = histories.drop_duplicates("run_id", keep="last").set_index("run_id")
    final = last[METRICS].where(last["status"] == records.COMPLETED).add_prefix("final_")
    best = (
        finite(histories)
        .groupby("run_id")
        .agg(best_test_accuracy=("test_accuracy", "max"), best_test_loss=("test_loss", "min"))
    )
    trained = last[["status", "epoch"]].rename(columns={"epoch": "epochs_trained"})
    return runs.join(trained, on="run_id").join(final, on="run_id").join(best, on="run_id")


def write_runs(study: Study) -> None:
    """Write results/<scale>/runs.csv: every run of the study, in its order.

    Raises:
        UserError: as summarize.
    """
    text = csv_text(summarize(study, list(study.runs)))
    files.write_text(paths.results(study.scale) / "runs.csv", text)


def read_sensing(study: Study) -> pd.DataFrame:
    """The losses of the study's matrix sensing sweep, NaN and what lies beyond 1e308 as inf.

    Returns:
        The columns method, rho, draw, step, loss.

    Raises:
        UserError: as records.read_run.
    """
    folder = paths.sensing(study.scale, sensing_id(study.sensing))
    records.read_run(folder, "losses.csv")
    losses = pd.read_csv(folder / "losses.csv", dtype={"loss": float})
    losses["loss"] = losses["loss"].where(losses["loss"] <= LARGEST_LOSS, np.inf)
    return losses


def read_end_points(study: Study) -> pd.DataFrame:
    """Where the study's single-neuron descents have started and ended.

    Returns:
        The columns of end_points.csv.

    Raises:
        UserError: as records.read_run.
    """
    folder = paths.neuron(study.scale, neuron_id(study.neuron))
    records.read_run(folder, "end_points.csv")
    return pd.read_csv(folder / "end_points.csv")


def summarize_sensing(study: Study, artifact: Artifact) -> pd.DataFrame:
    """The spread of the loss over the draws, for the radii and steps that a table or figure shows.

    Returns:
        The columns method, rho, step, draws, diverged (draws whose loss is inf), loss_median, loss_min, loss_max.

    Raises:
        UserError: as read_sensing.
    """
    losses = read_sensing(study)
    shown = losses["rho"].isin(artifact.settings["sensing"]) & (losses["step"] <= artifact.settings["steps"])
    groups = losses[shown].assign(diverged=np.isinf(losses["loss"])).groupby(["method", "rho", "step"], sort=False)
    return groups.agg(
        draws=("draw", "count"),
        diverged=("diverged", "sum"),
        loss_median=("loss", "median"),
        loss_min=("loss", "min"),
        loss_max=("loss", "max"),
    ).reset_index()


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV with nine significant digits, which hold a float32 exactly; a missing value is empty."""
    return frame.to_csv(index=False, float_format="%.9g", lineterminator="\n")


def _scalar(value: object) -> object:
    if value == "inf":
        return math.inf
    return " ".join(f"{item:g}" for item in value) if isinstance(value, list) else value


def _spec_columns(specs: list[dict]) -> list[str]:
    """Every key of the specs: in the order of the fullest one, the networks' size arguments together."""
    keys = list(dict.fromkeys(key for spec in sorted(specs, key=len, reverse=True) for key in spec))
    sizes = [key for key in keys if key.startswith("network_")]
    others = [key for key in keys if key not in sizes]
    after = others.index("network") + 1
    return [*others[:after], *sizes, *others[after:]]

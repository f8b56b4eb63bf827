"""The report's findings judged by the runs of one scale: each claim of config/claims.yaml, as claims.csv.

A part of a claim measures one quantity, once for each pair of runs, run, draw or start, and puts these values to one
test (sharpness.evidence.judgement). Everything short of a decision is inconclusive: a missing run, too few values, an
interval that leaves both open. The verdicts hold for the scale that was run.
"""

import string
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from sharpness import files, paths, records
from sharpness.config import read_config
from sharpness.errors import UserError, unknown
from sharpness.evidence import labels
from sharpness.evidence.judgement import CONTRADICTED, INCONCLUSIVE, SUPPORTED, Judgement, Sample, criterion, judge
from sharpness.evidence.runs import csv_text, finite, read_end_points, read_histories, read_sensing
from sharpness.problems.single_neuron import METHODS as NEURON_METHODS
from sharpness.study import Study, neuron_id, sensing_id
from sharpness.training.schedule import drops

CLAIMS = Path("config/claims.yaml")
SCHEMA = Path("workflow/schemas/claims.schema.yaml")
COLUMNS = (
    "claim",
    "statement",
    "section",
    "quantity",
    "effect",
    "low",
    "high",
    "n",
    "criterion",
    "verdict",
    "reason",
)

# A claim's verdict is the first of these that any of its parts has.
VERDICTS = (CONTRADICTED, INCONCLUSIVE, SUPPORTED)

# Fewer changes between epochs than this do not show a usual one.
FEWEST_CHANGES = 3


class _Unmeasured(Exception):
    """Why a quantity has no values, such as a run that is missing."""


def write_claims(study: Study) -> None:
    """Write results/<scale>/claims.csv.

    Raises:
        UserError: as judge_claims.
    """
    files.write_text(paths.results(study.scale) / "claims.csv", csv_text(judge_claims(study)))


def judge_claims(study: Study) -> pd.DataFrame:
    """Every claim, judged by what the study's runs have left so far.

    Returns:
        For each claim one row with its verdict (claim "F1"), then one for each of its parts ("F1a", "F1b", ...), with
        the columns COLUMNS. The row of a claim has no effect, interval and n of its own.

    Raises:
        UserError: config/claims.yaml is faulty or names something that the study does not have, or a file that a run
            has left is not the one that it wrote.
    """
    config = read_config(CLAIMS, SCHEMA)
    for name, claim in config["claims"].items():
        for part in claim["parts"]:
            _check_names(study, config, part, f"{CLAIMS}: {name}")

    results = _Results(study, config["diverged_accuracy"])
    rows = []
    for name, claim in config["claims"].items():
        judged = [
            _judge_part(results, config, name + letter, claim["section"], part)
            for letter, part in zip(string.ascii_lowercase, claim["parts"], strict=False)
        ]
        rows += [_judge_whole(name, claim, judged), *judged]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def _judge_part(results: "_Results", config: dict, name: str, section: str, part: dict) -> dict:
    test = config["tests"][part["test"]]
    try:
        judgement = judge(MEASURES[part["quantity"]](results, part), test, config["level"])
    except _Unmeasured as reason:
        judgement = Judgement(np.nan, np.nan, np.nan, None, INCONCLUSIVE, str(reason))
    return {
        "claim": name,
        "statement": part["statement"],
        "section": section,
        "quantity": _describe(results.study, part),
        "criterion": criterion(test, config["level"]),
        **vars(judgement),
    }


def _judge_whole(name: str, claim: dict, parts: list[dict]) -> dict:
    """A claim's own row: supported if every part is, contradicted if any part is."""
    found = {verdict: [part["claim"] for part in parts if part["verdict"] == verdict] for verdict in VERDICTS}
    verdict = next(verdict for verdict in VERDICTS if found[verdict])
    return {
        "claim": name,
        "statement": claim["statement"],
        "section": claim["section"],
        "quantity": "all of " + ", ".join(part["claim"] for part in parts),
        "n": None,
        "criterion": "supported: every part is; contradicted: any part is",
        "verdict": verdict,
        "reason": f"{', '.join(found[verdict])} {verdict}" if verdict != SUPPORTED else "every part supported",
    }


def _check_names(study: Study, config: dict, part: dict, where: str) -> None:
    """Check that everything that a part of a claim names is there to be measured.

    Raises:
        UserError: the first name that is not, with a suggestion.
    """
    if part["test"] not in config["tests"]:
        raise unknown("test", part["test"], config["tests"], where)
    runs = {_run_name(spec["network"], spec) for spec in study.runs.values()}
    for name in (_run_name(part["network"], part[key]) for key in ("first", "second", "run") if key in part):
        if name not in runs:
            raise unknown("run", name, runs, where)
    match part["quantity"]:
        case "loss_drop":
            milestones = [f"{milestone:g}" for milestone in study.training["milestones"]]
            if f"{part['milestone']:g}" not in milestones:
                raise unknown("milestone", f"{part['milestone']:g}", milestones, where)
        case "loss_ratio" | "largest_loss":
            swept = [
                f"{method} with rho {rho:g}" for method in study.sensing["methods"] for rho in study.sensing["rho"]
            ]
            for name in (f"{part['method']} with rho {rho:g}" for rho in part["rho"]):
                if name not in swept:
                    raise unknown("matrix sensing run", name, swept, where)
            if part["step"] > study.sensing["steps"]:
                steps = study.sensing["steps"]
                raise UserError(
                    f"{where}: step {part['step']} of matrix sensing, which takes {steps}; choose one of them"
                )
        case "sharpness_kept":
            if part["method"] not in NEURON_METHODS:
                raise unknown("single-neuron method", part["method"], NEURON_METHODS, where)


def _run_name(network: str, run: dict) -> str:
    """What identifies a training run of the study but for its seed; `run` is a spec, or an entry of a claim."""
    radius = f" with rho {run['rho']:g}" if "rho" in run else ""
    return f"{run['method']}{radius} on {network}"


def _describe(study: Study, part: dict) -> str:
    """The quantity of a part in words."""

    def method(key: str) -> str:
        return labels.method(study, part[key]["method"], part[key].get("rho", np.nan))

    def network() -> str:
        return labels.network(part["network"])

    def sensing() -> str:
        radii = ", ".join(f"{rho:g}" for rho in part["rho"])
        largest = " (largest of them)" if len(part["rho"]) > 1 else ""
        return f"matrix sensing, {labels.SENSING_TITLES[part['method']]}, ρ = {radii}{largest}"

    match part["quantity"]:
        case "accuracy_difference":
            return f"final test accuracy of {method('first')}, minus that of {method('second')}, on {network()}"
        case "loss_drop":
            return (
                f"fall of ln(test loss) at {100 * part['milestone']:g} % of the epochs beyond its usual change, "
                f"{method('run')}, on {network()}"
            )
        case "highest_accuracy":
            return f"highest test accuracy of any epoch, {method('run')}, on {network()}"
        case "loss_ratio":
            return f"loss before step {part['step']} over that before step 1, {sensing()}"
        case "largest_loss":
            return f"largest loss up to step {part['step']}, {sensing()}"
        case "sharpness_kept":
            return f"y² at the end over y² at the start, single neuron, {labels.SENSING_TITLES[part['method']]}"


class _Results:
    """What the runs of a study have left so far.

    Attributes:
        diverged_accuracy: the test accuracy that a diverged run's last epoch counts with.
    """

    def __init__(self, study: Study, diverged_accuracy: float):
        self.study = study
        self.diverged_accuracy = diverged_accuracy

    @cached_property
    def histories(self) -> dict[str, pd.DataFrame]:
        """The history of every run that there is, by epoch, with the column status."""
        folders = {run_id: paths.run(self.study.scale, run_id) for run_id in self.study.runs}
        present = [run_id for run_id, folder in folders.items() if _is_finished(folder, "history.csv")]
        if not present:
            return {}
        histories = read_histories(self.study, present).sort_values(["run_id", "epoch"], ignore_index=True)
        diverged = (histories["status"] == records.DIVERGED) & ~histories.duplicated("run_id", keep="last")
        histories.loc[diverged, "test_accuracy"] = self.diverged_accuracy
        return dict(iter(histories.groupby("run_id")))

    @cached_property
    def sensing(self) -> pd.DataFrame:
        """The losses of the matrix sensing sweep."""
        if not _is_finished(paths.sensing(self.study.scale, sensing_id(self.study.sensing)), "losses.csv"):
            raise _Unmeasured("the matrix sensing sweep is missing")
        return read_sensing(self.study)

    @cached_property
    def end_points(self) -> pd.DataFrame:
        """Where the single neuron has started and ended."""
        if not _is_finished(paths.neuron(self.study.scale, neuron_id(self.study.neuron)), "end_points.csv"):
            raise _Unmeasured("the single-neuron run is missing")
        return read_end_points(self.study)

    def of(self, network: str, run: dict) -> dict[int, pd.DataFrame]:
        """The histories of the runs that an entry of config/claims.yaml names, by seed in ascending order."""
        name = _run_name(network, run)
        run_ids = {
            spec["seed"]: run_id for run_id, spec in self.study.runs.items() if _run_name(spec["network"], spec) == name
        }
        missing = [run_id for run_id in run_ids.values() if run_id not in self.histories]
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise _Unmeasured(f"run {missing[0]} is missing{others}")
        return {seed: self.histories[run_ids[seed]] for seed in sorted(run_ids)}


def _is_finished(folder: Path, data: str) -> bool:
    return (folder / data).exists() and (folder / "run.json").exists()


def _accuracy_difference(results: _Results, part: dict) -> Sample:
    """The final test accuracy of the first run less that of the second, by seed."""
    first, second = (results.of(part["network"], part[side]) for side in ("first", "second"))
    differences, lost, left_out = [], 0, 0
    for seed in sorted(first.keys() & second.keys()):
        last = [histories[seed].iloc[-1] for histories in (first, second)]
        diverged = sum(row["status"] == records.DIVERGED for row in last)
        if diverged == 2:
            left_out += 1
            continue
        lost += diverged
        differences.append(last[0]["test_accuracy"] - last[1]["test_accuracy"])
    notes = []
    if lost:
        notes.append(f"runs that diverged and count with accuracy {results.diverged_accuracy:g}: {lost}")
    if left_out:
        notes.append(f"pairs left out because both runs diverged: {left_out}")
    return Sample(np.array(differences), "pairs of runs", tuple(notes))


def _loss_drop(results: _Results, part: dict) -> Sample:
    """The fall of ln(test loss) over the first epoch at a new learning rate, beyond its usual change.

    The usual change is the median absolute change between successive epochs over the window, a fraction of the epochs,
    that ends with the last epoch at the old rate. A run that has diverged by then is left out.
    """
    epochs = results.study.settings["epochs"]
    first = next(epoch for epoch in range(2, epochs + 2) if drops(epoch - 1, epochs, [part["milestone"]]))
    changes = round(part["window"] * epochs)
    if changes < FEWEST_CHANGES or first - 1 - changes < 1 or first > epochs:
        raise _Unmeasured(f"a schedule of {epochs} epochs is too short to tell a drop from a usual change")
    values, left_out = [], 0
    for history in results.of(part["network"], part["run"]).values():
        losses = finite(history)["test_loss"].to_numpy()
        if len(losses) < first:
            left_out += 1
            continue
        falls = -np.diff(np.log(losses[first - 2 - changes : first]))
        values.append(falls[-1] - np.median(np.abs(falls[:-1])))
    notes = (f"runs left out because they diverged before: {left_out}",) if left_out else ()
    return Sample(np.array(values), "runs", notes)


def _highest_accuracy(results: _Results, part: dict) -> Sample:
    """The highest test accuracy of any epoch."""
    histories = results.of(part["network"], part["run"]).values()
    diverged = sum(history["status"].iloc[-1] == records.DIVERGED for history in histories)
    notes = (f"runs that diverged: {diverged}",) if diverged else ()
    return Sample(np.array([history["test_accuracy"].max() for history in histories]), "runs", notes)


def _loss_ratio(results: _Results, part: dict) -> Sample:
    """The loss before a step over the loss before the first, the largest of several radii."""
    losses = _trajectories(results, part)
    first, last = (
        losses[losses["step"] == step].pivot(index="draw", columns="rho", values="loss") for step in (1, part["step"])
    )
    return Sample((last / first).max(axis=1, skipna=False).to_numpy(), "draws")


def _largest_loss(results: _Results, part: dict) -> Sample:
    """The largest loss up to a step, of several radii."""
    losses = _trajectories(results, part)
    return Sample(losses[losses["step"] <= part["step"]].groupby("draw")["loss"].max().to_numpy(), "draws")


def _trajectories(results: _Results, part: dict) -> pd.DataFrame:
    losses = results.sensing
    return losses[(losses["method"] == part["method"]) & losses["rho"].isin(part["rho"])]


def _sharpness_kept(results: _Results, part: dict) -> Sample:
    """The sharpness y² of the minimum at the end over that of the start."""
    ends = results.end_points
    ends = ends[ends["method"] == part["method"]].sort_values("start")
    return Sample(((ends["y"] / ends["y0"]) ** 2).to_numpy(), "starts")


MEASURES = {
    "accuracy_difference": _accuracy_difference,
    "loss_drop": _loss_drop,
    "highest_accuracy": _highest_accuracy,
    "loss_ratio": _loss_ratio,
    "largest_loss": _largest_loss,
    "sharpness_kept": _sharpness_kept,
}

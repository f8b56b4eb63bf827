"""runs.csv and the frames behind tables and figures."""

import math
from dataclasses import asdict

import pandas as pd
import pytest
import synthetic
from synthetic import record

from sharpness import files, paths
from sharpness.errors import UserError
from sharpness.evidence.runs import finite, read_histories, read_sensing, summarize, write_runs
from sharpness.study import sensing_id


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return synthetic.project(tmp_path, "smoke", epochs=4)


def write_rest(study, *written):
    for run_id, spec in study.runs.items():
        if run_id not in written:
            synthetic.write(study, run_id, synthetic.history(spec))


def runs_csv(study):
    write_runs(study)
    return pd.read_csv("results/smoke/runs.csv", index_col="run_id")


def test_histories_are_read_as_written(study):
    run_ids = list(study.runs)[:3]
    histories = {run_id: synthetic.history(study.runs[run_id]) for run_id in run_ids}
    for run_id, history in histories.items():
        synthetic.write(study, run_id, history)
    frame = read_histories(study, run_ids[::-1])
    assert list(frame["run_id"].unique()) == run_ids[::-1]
    for run_id in run_ids:
        rows = frame[frame["run_id"] == run_id].drop(columns=["run_id", "status"])
        expected = pd.DataFrame([asdict(row) for row in histories[run_id]])
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), expected, rtol=1e-8, check_dtype=False)


def test_final_and_best_results_of_a_completed_run(study):
    run_id, spec = next(iter(study.runs.items()))
    accuracies, losses = [0.5, 0.9, 0.7, 0.8], [0.9, 0.5, 0.3, 0.4]
    rows = [
        record(spec, i + 1, train_loss=0.2 + i, train_accuracy=0.6, test_loss=losses[i], test_accuracy=accuracies[i])
        for i in range(4)
    ]
    synthetic.write(study, run_id, rows)
    write_rest(study, run_id)
    run = runs_csv(study).loc[run_id]
    assert (run["status"], run["epochs_trained"]) == ("completed", 4)
    assert (run["final_test_accuracy"], run["final_test_loss"]) == (0.8, 0.4)
    assert (run["final_train_accuracy"], run["final_train_loss"]) == (0.6, 3.2)
    assert (run["best_test_accuracy"], run["best_test_loss"]) == (0.9, 0.3)


def test_a_diverged_run_has_best_results_and_no_final_ones(study):
    later, at_once = list(study.runs)[:2]
    spec = study.runs[later]
    bad = record(spec, 3, train_loss=math.inf, test_loss=0.01, test_accuracy=0.99)
    synthetic.write(study, later, [record(spec, 1, test_accuracy=0.6), record(spec, 2, test_loss=0.7), bad])
    synthetic.write(study, at_once, [record(spec, 1, test_loss=math.nan)])
    write_rest(study, later, at_once)
    runs = runs_csv(study)
    assert list(runs.loc[[later, at_once], "status"]) == ["diverged", "diverged"]
    assert list(runs.loc[[later, at_once], "epochs_trained"]) == [3, 1]
    finals = [f"final_{part}_{quantity}" for part in ("train", "test") for quantity in ("loss", "accuracy")]
    assert runs.loc[[later, at_once], finals].isna().all(axis=None)
    assert tuple(runs.loc[later, ["best_test_accuracy", "best_test_loss"]]) == (0.9, 0.1)
    assert runs.loc[at_once, ["best_test_accuracy", "best_test_loss"]].isna().all()


def test_runs_csv_identifies_every_run_in_the_study_s_order(study):
    write_rest(study)
    runs = runs_csv(study)
    assert list(runs.index) == list(study.runs)
    for run_id, spec in study.runs.items():
        expected = spec | {"milestones": "0.3 0.6 0.8"}
        if spec["method"] == "sam-linf-as-described":
            expected["p"] = math.inf
        if spec["network"] == "vgg":
            expected["network_convolutions"] = " ".join(map(str, spec["network_convolutions"]))
        assert runs.loc[run_id, list(expected)].to_dict() == expected
    assert runs.loc[synthetic.find(study, method="sgd"), ["rho", "p", "geometry"]].isna().all(axis=None)


def test_runs_csv_has_the_same_bytes_each_time(study):
    write_rest(study)
    path = paths.results("smoke") / "runs.csv"
    write_runs(study)
    first = path.read_bytes()
    write_runs(study)
    assert path.read_bytes() == first


def test_only_finite_epochs_count(study):
    run_id, spec = next(iter(study.runs.items()))
    synthetic.write(study, run_id, [record(spec, 1), record(spec, 2, test_loss=-math.inf)])
    assert list(finite(read_histories(study, [run_id]))["epoch"]) == [1]


def test_an_altered_missing_or_foreign_history_is_named(study):
    run_id, spec = next(iter(study.runs.items()))
    history = paths.run("smoke", run_id) / "history.csv"
    with pytest.raises(UserError, match=r"no such file; train the run first"):
        summarize(study, [run_id])
    synthetic.write(study, run_id, [record(spec, 1)])
    history.write_text(history.read_text().replace("0.9", "0.8"))
    with pytest.raises(UserError, match=r"history\.csv: not the file that its run\.json describes"):
        summarize(study, [run_id])
    history.write_text("epoch,loss\n1,0.5\n")
    run = history.with_name("run.json")
    files.write_json(run, {"run_id": run_id, "status": "completed", "sha256": files.sha256(history)})
    with pytest.raises(UserError, match=r"history\.csv: its columns are not epoch, learning_rate"):
        summarize(study, [run_id])


def test_sensing_losses_that_are_no_number_any_more_are_infinite(study):
    losses = synthetic.sensing_losses(study).head(4)
    losses["loss"] = [2.5, math.nan, 1.5e308, math.inf]
    synthetic.write_sensing(study, losses)
    assert list(read_sensing(study)["loss"]) == [2.5, math.inf, math.inf, math.inf]
    path = paths.sensing("smoke", sensing_id(study.sensing)) / "losses.csv"
    path.write_text(path.read_text().replace("2.5", "2.4"))
    with pytest.raises(UserError, match=r"losses\.csv: not the file"):
        read_sensing(study)

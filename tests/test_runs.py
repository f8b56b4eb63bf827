"""runs.csv and the frames behind tables and figures."""

import math

import numpy as np
import pandas as pd
import pytest
import synthetic
from synthetic import record

from sharpness import files, paths
from sharpness.errors import UserError
from sharpness.evidence.quantities.loss_ratio import LossRatio
from sharpness.evidence.quantity import Results
from sharpness.evidence.runs import finite, read_histories, read_problem, summarize, write_runs


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return synthetic.project(tmp_path, "smoke", epochs=4)


def write_rest(study, *written):
    for run_id, job in study.runs.items():
        if run_id not in written:
            synthetic.write(study, run_id, synthetic.history(job.spec))


def with_more(history):
    """A history with further columns: those that runs.csv has at its end, and one that nothing knows."""
    return [row | {"test_nll": 0.3 + row["epoch"], "unheard_of": 7.0, "test_ece": 0.05} for row in history]


def runs_csv(study):
    write_runs(study)
    return pd.read_csv("results/smoke/runs.csv", index_col="run_id")


def test_histories_are_read_as_written(study):
    jobs = list(study.runs.values())[:3]
    histories = {job.id: synthetic.history(job.spec) for job in jobs}
    for run_id, history in histories.items():
        synthetic.write(study, run_id, history)
    frame = read_histories(jobs[::-1])
    assert list(frame["run_id"].unique()) == [job.id for job in jobs[::-1]]
    for job in jobs:
        rows = frame[frame["run_id"] == job.id].drop(columns=["run_id", "status"])
        expected = pd.DataFrame(histories[job.id])
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), expected, rtol=1e-8, check_dtype=False)


def test_histories_with_further_columns_are_read_beside_those_without(study):
    jobs = list(study.runs.values())[:5]
    for job in jobs:
        synthetic.write(study, job.id, synthetic.history(job.spec))
    before = read_histories(jobs)
    for job in jobs[1::2]:
        synthetic.write(study, job.id, with_more(synthetic.history(job.spec)))
    pd.testing.assert_frame_equal(read_histories(jobs), before, check_exact=True)
    more = read_histories(jobs[1::2], ["test_ece", "unheard_of"])
    assert list(more.columns) == [*before.columns, "test_ece", "unheard_of"]
    assert set(more["unheard_of"]) == {7.0}
    with pytest.raises(UserError) as refused:
        read_histories(jobs, ["test_ece"])
    assert str(refused.value) == f"{jobs[0].data}: no column 'test_ece'; delete {jobs[0].folder} and run again"


def test_final_and_best_results_of_a_completed_run(study):
    run_id, job = next(iter(study.runs.items()))
    accuracies, losses = [0.5, 0.9, 0.7, 0.8], [0.9, 0.5, 0.3, 0.4]
    rows = [
        record(
            job.spec, i + 1, train_loss=0.2 + i, train_accuracy=0.6, test_loss=losses[i], test_accuracy=accuracies[i]
        )
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
    spec = study.runs[later].spec
    bad = record(spec, 3, train_loss=math.inf, test_loss=0.01, test_accuracy=0.99)
    rows = [record(spec, 1, test_accuracy=0.6), record(spec, 2, test_loss=0.7), bad]
    synthetic.write(study, later, with_more(rows))
    synthetic.write(study, at_once, [record(spec, 1, test_loss=math.nan)])
    write_rest(study, later, at_once)
    runs = runs_csv(study)
    assert list(runs.loc[[later, at_once], "status"]) == ["diverged", "diverged"]
    assert list(runs.loc[[later, at_once], "epochs_trained"]) == [3, 1]
    finals = [f"final_{part}_{quantity}" for part in ("train", "test") for quantity in ("loss", "accuracy")]
    assert runs.loc[[later, at_once], [*finals, "final_test_nll", "final_test_ece"]].isna().all(axis=None)
    assert tuple(runs.loc[later, ["best_test_accuracy", "best_test_loss"]]) == (0.9, 0.1)
    assert runs.loc[at_once, ["best_test_accuracy", "best_test_loss"]].isna().all()


def test_runs_csv_identifies_every_run_in_the_study_s_order(study):
    write_rest(study)
    runs = runs_csv(study)
    assert list(runs.index) == list(study.runs)
    for run_id, job in study.runs.items():
        expected = job.spec | {"milestones": "0.3 0.6 0.8"}
        if job.spec["method"] == "sam-linf-as-described":
            expected["p"] = math.inf
        if job.spec["network"] == "vgg":
            expected["network_convolutions"] = " ".join(map(str, job.spec["network_convolutions"]))
        assert runs.loc[run_id, list(expected)].to_dict() == expected
    assert runs.loc[synthetic.find(study, method="sgd"), ["rho", "p", "geometry"]].isna().all(axis=None)


def test_runs_csv_has_log_likelihood_and_calibration_error_of_the_runs_whose_histories_have_them(study):
    with_them, cut, without = list(study.runs)[:3]
    write_rest(study)
    before = runs_csv(study)
    assert before[["final_test_nll", "final_test_ece"]].isna().all(axis=None)

    synthetic.write(study, with_them, with_more(synthetic.history(study.runs[with_them].spec)))
    history = synthetic.history(study.runs[cut].spec)
    synthetic.write(study, cut, [*history[:2], *with_more(history[2:])])  # the columns came while it trained

    after = runs_csv(study)
    assert list(after.columns) == list(before.columns)
    assert after.loc[[with_them, cut], "final_test_nll"].tolist() == pytest.approx([4.3, 4.3])
    assert after.loc[[with_them, cut], "final_test_ece"].tolist() == [0.05, 0.05]
    assert np.isnan(after.loc[without, "final_test_nll"])
    shared = [column for column in before.columns if column not in ("final_test_nll", "final_test_ece")]
    pd.testing.assert_frame_equal(after.drop(index=cut)[shared], before.drop(index=cut)[shared], check_exact=True)


def test_tables_and_figures_are_the_same_from_histories_with_and_without_further_columns(study):
    write_rest(study)
    shown = ["table1", "table2", "figure1", "figure3", "figure4"]
    before = {name: study.artifact(name).data(study) for name in shown}
    for job in list(study.runs.values())[::2]:
        synthetic.write(study, job.id, with_more(synthetic.history(job.spec)))
    for name, data in before.items():
        after = study.artifact(name).data(study)
        pd.testing.assert_frame_equal(after[data.columns], data, check_exact=True)


def test_runs_csv_has_the_same_bytes_each_time(study):
    write_rest(study)
    path = paths.runs("smoke")
    write_runs(study)
    first = path.read_bytes()
    write_runs(study)
    assert path.read_bytes() == first


def test_only_finite_epochs_count(study):
    run_id, job = next(iter(study.runs.items()))
    synthetic.write(study, run_id, [record(job.spec, 1), record(job.spec, 2, test_loss=-math.inf)])
    assert list(finite(read_histories([job]))["epoch"]) == [1]


def test_an_altered_missing_or_foreign_history_is_named(study):
    run_id, job = next(iter(study.runs.items()))
    with pytest.raises(UserError, match=r"run\.json: no such file; run the job first"):
        summarize([job])
    synthetic.write(study, run_id, [record(job.spec, 1)])
    job.data.write_text(job.data.read_text().replace("0.9", "0.8"))
    with pytest.raises(UserError, match=r"history\.csv: not the file that its run\.json describes"):
        summarize([job])
    job.data.write_text("epoch,loss\n1,0.5\n")
    synthetic.change_run(job, sha256=files.sha256(job.data))
    with pytest.raises(UserError, match=r"history\.csv: no column 'learning_rate'; delete results/smoke/training/"):
        summarize([job])


def test_sensing_losses_that_are_no_number_any_more_are_infinite(study):
    losses = synthetic.sensing_losses(study).head(4)
    losses["loss"] = [2.5, math.nan, 1.5e308, math.inf]
    synthetic.write_sensing(study, losses)
    job = study.problems["sensing"]
    assert losses["rho"].eq(0.001).all()
    quantity = LossRatio(problem="sensing", method="sam", rho=(0.001,), step=4)
    assert list(quantity.losses(Results(study))["loss"]) == [2.5, math.inf, math.inf, math.inf]
    spread = study.artifact("figure5").spread(study)
    assert list(spread["loss_median"]) == [2.5, math.inf, math.inf, math.inf]
    assert list(spread["diverged"]) == [0, 1, 1, 1]
    job.data.write_text(job.data.read_text().replace("2.5", "2.4"))
    with pytest.raises(UserError, match=r"data\.csv: not the file"):
        read_problem(job)

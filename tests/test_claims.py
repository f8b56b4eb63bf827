"""The findings judged: the three verdicts for each claim, what makes one inconclusive, and what is refused."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projects import GONE, replace
from synthetic import COST, PROVENANCE, change_run, find, history, project, record, write, write_problem, write_sensing

from sharpness import files, paths
from sharpness.compute import compute
from sharpness.errors import UserError
from sharpness.evidence.claims import COLUMNS, judge_claims, write_claims
from sharpness.evidence.verdicts import Sample, criterion, judge
from sharpness.jobs import COMPLETED, Job
from sharpness.problems import single_neuron
from sharpness.study import Study, load_study

EPOCHS = 20
LEVEL = 0.95
CLAIMS = [f"F{number}" for number in range(1, 11)]
NOISE = [0.0, 0.0004, -0.0004]

SGD, SAM, ASAM = ("sgd", None), ("sam", 0.05), ("asam", 2.0)
LINF_AS_RUN, LINF_AS_DESCRIBED = ("sam-linf-as-run", 0.05), ("sam-linf-as-described", 0.05)
RADII = {("wide_resnet", "sam", rho): 0.97 for rho in (0.01, 0.05, 0.1)}


def load(folder, monkeypatch, seeds=3, draws=20) -> Study:
    """The laptop scale with a few seeds and epochs, in a folder of its own that becomes the working directory."""
    monkeypatch.chdir(folder)
    problems = {"sensing": {"draws": draws}}
    return project(folder, "laptop", seeds=list(range(seeds)), epochs=EPOCHS, problems=problems)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    return load(tmp_path, monkeypatch)


def runs(study: Study, network: str, method: str, rho: float | None) -> list[Job]:
    """The runs of one method on one network, by seed."""
    radius = {} if rho is None else {"rho": rho}
    found = [study.runs[name] for name in find(study, network=network, method=method, **radius)]
    return sorted(found, key=lambda job: job.spec["seed"])


def leave_accuracies(study: Study, ends: dict) -> None:
    """Leave runs of (network, method, rho) that end with an accuracy: one for each seed, or one with some noise."""
    for index, (key, end) in enumerate(ends.items()):
        by_seed = end if isinstance(end, list) else end + np.roll(NOISE, index)
        for job, final in zip(runs(study, *key), by_seed, strict=False):
            accuracies = [*np.linspace(0.1, 0.5, EPOCHS - 1), final]
            write(study, job.id, [record(job.spec, i, test_accuracy=a) for i, a in enumerate(accuracies, 1)])


def on(network: str, ends: dict) -> dict:
    return {(network, *run): end for run, end in ends.items()}


def leave_losses(study: Study, drops: list[float]) -> None:
    """Leave SAM runs whose test loss drops at 30 % and 60 % of the epochs."""
    for job, drop in zip(runs(study, "wide_resnet", *SAM), drops, strict=True):
        write(study, job.id, dropping(job.spec, drop))


def dropping(spec: dict, drop: float) -> list:
    """A history whose ln(test loss) goes up and down by 0.03, and falls by `drop` more in the epochs 7 and 13."""
    steps = [0.03 * (-1) ** epoch - drop * (epoch in (7, 13)) for epoch in range(1, EPOCHS + 1)]
    return [record(spec, i, test_loss=loss) for i, loss in enumerate(np.exp(np.cumsum(steps)), 1)]


def leave_highest(study: Study, sam: list[float], asam: list[float]) -> None:
    """Leave VGG runs whose accuracy peaks in mid-training at a given height and ends at chance."""
    for method, heights in ((SAM, sam), (ASAM, asam)):
        for job, height in zip(runs(study, "vgg", *method), heights, strict=True):
            accuracies = [height if epoch == 10 else 0.1 for epoch in range(1, EPOCHS + 1)]
            write(study, job.id, [record(job.spec, i, test_accuracy=a) for i, a in enumerate(accuracies, 1)])


def leave_sensing(study: Study, factor, exceptions: int = 0, exception=None) -> None:
    """Leave a sweep whose losses a factor (method, rho) multiplies at every step; the first draws are exceptions."""
    spec = study.problems["sensing"].spec
    rows = [
        (method, rho, draw, step, 5 * (exception if draw < exceptions else factor)(method, rho) ** (step - 1))
        for method in spec["methods"]
        for rho in spec["rho"]
        for draw in range(spec["draws"])
        for step in range(1, spec["steps"] + 1)
    ]
    write_sensing(study, pd.DataFrame(rows, columns=["method", "rho", "draw", "step", "loss"]))


def leave_end_points(study: Study, sam: list[float], usam: list[float]) -> None:
    """Leave single-neuron descents that end with given fractions of the y² that they started with."""
    rows = [
        (method, start, 1.0, 3.0, 0.0, -3.0 * fraction**0.5)
        for method, fractions in (("sam", sam), ("usam", usam))
        for start, fraction in enumerate(fractions)
    ]
    ends = pd.DataFrame(rows, columns=["method", "start", "x0", "y0", "x", "y"])
    write_problem(study.problems["neuron"], ends)


def halving(method, rho):
    return 0.5


def standing_still(method, rho):
    return 1.0


def blowing_up(method, rho):
    """At 0.1 USAM is beyond 1e30 by step 4, and at no other radius."""
    return 1e11 if method == "usam" and rho == 0.1 else 0.5


def too_slow(method, rho):
    """At 0.1 USAM reaches 5e27 by step 4."""
    return 1e9 if method == "usam" and rho == 0.1 else 0.5


# What to leave for each claim so that it is clearly true, clearly false, and neither: a number of seeds and a world.
WORLDS = {
    ("F1", "supported"): (3, leave_accuracies, [RADII]),
    ("F1", "contradicted"): (3, leave_accuracies, [RADII | {("wide_resnet", "sam", 0.01): 0.95}]),
    ("F1", "inconclusive"): (3, leave_accuracies, [RADII | {("wide_resnet", "sam", 0.01): [0.95, 0.97, 0.99]}]),
    ("F2", "supported"): (3, leave_accuracies, [RADII | {("wide_resnet", "sam", 0.5): 0.95}]),
    ("F2", "contradicted"): (3, leave_accuracies, [RADII | {("wide_resnet", "sam", 0.5): 0.971}]),
    ("F2", "inconclusive"): (3, leave_accuracies, [RADII | {("wide_resnet", "sam", 0.5): [0.8, 0.9, 0.97]}]),
    ("F3", "supported"): (3, leave_losses, [[0.5, 0.6, 0.7]]),
    ("F3", "contradicted"): (3, leave_losses, [[0.0, 0.01, 0.02]]),
    ("F3", "inconclusive"): (3, leave_losses, [[0.0, 0.3, 0.9]]),
    ("F4", "supported"): (
        3,
        leave_accuracies,
        [on("wide_resnet", {SAM: 0.97, LINF_AS_RUN: 0.95, LINF_AS_DESCRIBED: 0.1})],
    ),
    ("F4", "contradicted"): (
        3,
        leave_accuracies,
        [on("wide_resnet", {SAM: 0.97, LINF_AS_RUN: 0.97, LINF_AS_DESCRIBED: 0.1})],
    ),
    ("F4", "inconclusive"): (
        3,
        leave_accuracies,
        [on("wide_resnet", {SAM: 0.97, LINF_AS_RUN: [0.8, 0.9, 0.97], LINF_AS_DESCRIBED: 0.1})],
    ),
    ("F5", "supported"): (
        3,
        leave_accuracies,
        [
            on("resnet", {SGD: 0.950, SAM: 0.955, ASAM: 0.960})
            | on("wide_resnet", {SGD: 0.960, SAM: 0.965, ASAM: 0.970})
        ],
    ),
    ("F5", "contradicted"): (
        3,
        leave_accuracies,
        [
            on("resnet", {SGD: 0.950, SAM: 0.955, ASAM: 0.960})
            | on("wide_resnet", {SGD: 0.960, SAM: 0.965, ASAM: 0.950})
        ],
    ),
    ("F5", "inconclusive"): (
        3,
        leave_accuracies,
        [
            on("resnet", {SGD: 0.950, SAM: 0.955, ASAM: 0.960})
            | on("wide_resnet", {SGD: 0.960, SAM: 0.965, ASAM: [0.96, 0.97, 0.98]})
        ],
    ),
    ("F6", "supported"): (3, leave_accuracies, [on("pyramidnet", {SGD: 0.92, SAM: 0.92, ASAM: 0.90})]),
    ("F6", "contradicted"): (3, leave_accuracies, [on("pyramidnet", {SGD: 0.90, SAM: 0.92, ASAM: 0.88})]),
    ("F6", "inconclusive"): (3, leave_accuracies, [on("pyramidnet", {SGD: 0.92, SAM: [0.90, 0.92, 0.94], ASAM: 0.85})]),
    ("F7", "supported"): (3, leave_highest, [[0.97, 0.11, 0.97], [0.12, 0.1, 0.1]]),
    ("F7", "contradicted"): (6, leave_highest, [[0.1] * 6, [0.2] * 6]),
    ("F7", "inconclusive"): (3, leave_highest, [[0.1, 0.1, 0.1], [0.2, 0.9, 0.9]]),
    ("F8", "supported"): (1, leave_sensing, [halving]),
    ("F8", "contradicted"): (1, leave_sensing, [halving, 14, standing_still]),
    ("F8", "inconclusive"): (1, leave_sensing, [halving, 3, standing_still]),
    ("F9", "supported"): (1, leave_sensing, [blowing_up]),
    ("F9", "contradicted"): (1, leave_sensing, [too_slow]),
    ("F9", "inconclusive"): (1, leave_sensing, [blowing_up, 3, too_slow]),
    ("F10", "supported"): (1, leave_end_points, [[1e-6] * 20, [0.4] * 20]),
    ("F10", "contradicted"): (1, leave_end_points, [[1e-6] * 20, [1e-6] * 20]),
    ("F10", "inconclusive"): (1, leave_end_points, [[0.4] * 3 + [1e-6] * 17, [0.4] * 20]),
}


def verdicts(study: Study) -> pd.Series:
    return judge_claims(study).set_index("claim")["verdict"]


def row(study: Study, claim: str) -> pd.Series:
    return judge_claims(study).set_index("claim").loc[claim]


def true_world(study: Study, claim: str) -> None:
    _, leave, arguments = WORLDS[claim, "supported"]
    leave(study, *arguments)


@pytest.mark.parametrize(("claim", "verdict"), WORLDS)
def test_each_claim_gets_each_verdict(tmp_path, monkeypatch, claim, verdict):
    seeds, leave, arguments = WORLDS[claim, verdict]
    study = load(tmp_path, monkeypatch, seeds)
    leave(study, *arguments)

    assert verdicts(study)[claim] == verdict


def test_every_finding_has_its_row_followed_by_its_parts(study):
    frame = judge_claims(study)

    assert tuple(frame.columns) == COLUMNS
    assert [name for name in frame["claim"] if name[-1].isdigit()] == CLAIMS
    assert list(frame["claim"][:6]) == ["F1", "F1a", "F1b", "F1c", "F2", "F2a"]
    assert frame[["statement", "section", "quantity", "criterion", "verdict", "reason"]].notna().all(axis=None)


def test_a_part_has_its_effect_interval_and_number_of_pairs(study):
    leave_accuracies(study, on("wide_resnet", {("sam", 0.1): [0.97, 0.98, 0.96], ("sam", 0.5): [0.95, 0.95, 0.95]}))

    part = row(study, "F2a")

    # Differences 0.02, 0.03 and 0.01: a standard error of 0.01/√3, and 4.30265 is t(0.975) with two degrees of freedom.
    assert part["effect"] == pytest.approx(0.02)
    assert part["low"] == pytest.approx(0.02 - 4.30265 * 0.01 / 3**0.5, abs=1e-6)
    assert part["high"] == pytest.approx(0.02 + 4.30265 * 0.01 / 3**0.5, abs=1e-6)
    assert part["n"] == 3


@pytest.mark.parametrize("claim", ["F1", "F2", "F3", "F4", "F5", "F6"])
def test_too_few_seeds_are_inconclusive(tmp_path, monkeypatch, claim):
    study = load(tmp_path, monkeypatch, seeds=2)
    _, leave, arguments = WORLDS[claim, "supported"]
    leave(study, *(values[:2] if isinstance(values, list) else values for values in arguments))

    assert verdicts(study)[claim] == "inconclusive"
    assert row(study, f"{claim}a")["reason"].startswith("2 of the 3 ")


def test_one_failing_run_of_two_is_inconclusive(tmp_path, monkeypatch):
    study = load(tmp_path, monkeypatch, seeds=2)
    leave_highest(study, [0.1, 0.1], [0.1, 0.1])

    assert verdicts(study)["F7"] == "inconclusive"


@pytest.mark.parametrize("claim", ["F8", "F9"])
def test_too_few_draws_are_inconclusive(tmp_path, monkeypatch, claim):
    study = load(tmp_path, monkeypatch, draws=12)
    true_world(study, claim)

    assert verdicts(study)[claim] == "inconclusive"
    assert row(study, f"{claim}a")["reason"] == "12 of the 13 draws that the criterion asks for"


def test_thirteen_unanimous_draws_decide(tmp_path, monkeypatch):
    study = load(tmp_path, monkeypatch, draws=13)
    true_world(study, "F9")

    assert verdicts(study)["F9"] == "supported"


def test_nothing_run_yet_is_inconclusive_throughout(study):
    frame = judge_claims(study)

    assert set(frame["verdict"]) == {"inconclusive"}
    assert frame["n"].isna().all()
    assert frame["reason"].str.contains("missing|inconclusive").all()


@pytest.mark.parametrize("file", ["history.csv", "run.json"])
def test_a_missing_run_is_inconclusive_and_named(study, file):
    true_world(study, "F2")
    job = runs(study, "wide_resnet", "sam", 0.1)[1]
    (job.folder / file).unlink()

    assert verdicts(study)[["F2", "F2a", "F2b", "F2c"]].tolist() == [
        "inconclusive",
        "inconclusive",
        "supported",
        "supported",
    ]
    assert row(study, "F2a")["reason"] == f"run {job.id} is missing"
    assert row(study, "F2")["reason"] == "F2a inconclusive"


def test_a_contradicted_part_decides_whatever_is_missing(study):
    leave_accuracies(study, on("pyramidnet", {SGD: 0.90, SAM: 0.92}))

    assert verdicts(study)[["F6", "F6a", "F6b", "F6c"]].tolist() == [
        "contradicted",
        "contradicted",
        "inconclusive",
        "inconclusive",
    ]


def diverge(study: Study, job: Job, epoch: int = 1, history: list | None = None) -> None:
    """Leave a run that diverges at an epoch of a history, or after good epochs."""
    earlier = history or [record(job.spec, i) for i in range(1, EPOCHS + 1)]
    last = record(job.spec, epoch, train_loss=float("inf"), test_loss=float("nan"), test_accuracy=float("nan"))
    write(study, job.id, [*earlier[: epoch - 1], last])


def test_a_radius_that_always_diverges_is_worse(study):
    leave_accuracies(study, RADII)
    for job in runs(study, "wide_resnet", "sam", 0.5):
        diverge(study, job, epoch=5)

    part = row(study, "F2a")
    assert part["verdict"] == "supported"
    assert part["effect"] == pytest.approx(0.87, abs=0.001)
    assert part["reason"].endswith("runs that diverged and count with accuracy 0.1: 3")


def test_pairs_of_which_both_runs_diverge_say_nothing(study):
    for rho in (0.1, 0.05, 0.01):
        for job in runs(study, "wide_resnet", "sam", rho):
            diverge(study, job)

    part = row(study, "F1a")
    assert part["verdict"] == "inconclusive"
    assert part["n"] == 0
    assert part["reason"].endswith("pairs left out because both runs diverged: 3")


def test_one_diverged_seed_of_three_leaves_an_ordering_open(study):
    true_world(study, "F5")
    diverge(study, runs(study, "resnet", *SAM)[0], epoch=3)

    assert verdicts(study)[["F5", "F5a", "F5c"]].tolist() == ["inconclusive", "inconclusive", "supported"]


def test_a_run_that_diverged_before_the_drop_is_left_out(study):
    true_world(study, "F3")
    job = runs(study, "wide_resnet", *SAM)[2]
    diverge(study, job, 9, dropping(job.spec, 0.7))

    assert verdicts(study)[["F3", "F3a", "F3b"]].tolist() == ["inconclusive", "supported", "inconclusive"]
    assert row(study, "F3b")["reason"].endswith("runs left out because they diverged before: 1")


def test_a_diverged_run_counts_with_chance_which_follows_the_number_of_classes(study):
    ends = on("wide_resnet", {("sam", 0.1): [0.97, 0.98, 0.96], ("sam", 0.5): [0.95, 0.95, 0.95]})
    leave_accuracies(study, ends)
    diverge(study, runs(study, "wide_resnet", "sam", 0.5)[0], epoch=5)
    for job in study.runs.values():
        if job.is_finished():
            change_run(job, classes=4)

    part = row(study, "F2a")
    assert part["effect"] == pytest.approx(((0.97 - 0.25) + 0.03 + 0.01) / 3)
    assert part["reason"].endswith("runs that diverged and count with accuracy 0.25: 1")


def test_the_height_above_chance_follows_the_number_of_classes(study):
    leave_highest(study, [0.26, 0.97, 0.97], [0.27, 0.97, 0.97])
    assert verdicts(study)["F7"] == "inconclusive"
    for job in study.runs.values():
        if job.is_finished():
            change_run(job, classes=4)

    assert verdicts(study)["F7"] == "supported"


def test_histories_with_further_columns_are_judged_as_those_without(study):
    for job in study.runs.values():
        write(study, job.id, history(job.spec))
    before = judge_claims(study)
    for job in list(study.runs.values())[::2]:
        rows = [row | {"test_nll": 0.3, "test_ece": 0.1} for row in history(job.spec)]
        write(study, job.id, rows)

    pd.testing.assert_frame_equal(judge_claims(study), before, check_exact=True)


def test_a_vgg_that_diverges_at_once_has_failed(study):
    leave_highest(study, [0.97, 0.97, 0.97], [0.1, 0.97, 0.97])
    diverge(study, runs(study, "vgg", *SAM)[1])

    assert verdicts(study)["F7"] == "supported"
    assert row(study, "F7a")["reason"] == "1 of 3 runs; runs that diverged: 1"


def test_a_vgg_that_diverges_after_learning_has_not_stayed_at_chance(study):
    leave_highest(study, [0.97, 0.97, 0.97], [0.1, 0.97, 0.97])
    diverge(study, runs(study, "vgg", *SAM)[1], epoch=5)

    assert verdicts(study)["F7a"] == "inconclusive"


@pytest.mark.parametrize("stuck", [0.001, 0.005, 0.01])
def test_progress_at_all_radii_but_one_is_not_progress_at_all(study, stuck):
    leave_sensing(study, lambda method, rho: 1.0 if rho == stuck and method == "usam" else 0.5)

    assert verdicts(study)[["F8", "F8a", "F8b"]].tolist() == ["contradicted", "supported", "contradicted"]


def test_losses_beyond_every_number_have_diverged(study):
    leave_sensing(study, lambda method, rho: float("nan") if method == "usam" and rho == 0.1 else 0.5)

    assert verdicts(study)["F9"] == "supported"
    assert verdicts(study)["F8"] == "supported"


def test_a_schedule_without_room_for_a_usual_change_is_inconclusive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = project(tmp_path, "laptop", seeds=[0, 1, 2], epochs=2)
    for job in runs(study, "wide_resnet", *SAM):
        write(study, job.id, [record(job.spec, 1), record(job.spec, 2)])

    assert row(study, "F3a")["reason"] == "a schedule of 2 epochs is too short to tell a drop from a usual change"


def test_a_history_changed_by_hand_is_refused(study):
    true_world(study, "F1")
    file = runs(study, "wide_resnet", *SAM)[0].data
    file.write_text(file.read_text(encoding="utf-8").replace("0.9", "0.8", 1), encoding="utf-8")

    with pytest.raises(UserError, match=r"history\.csv"):
        judge_claims(study)


def test_row_order_changes_nothing(study):
    for claim in ("F5", "F8", "F10"):
        true_world(study, claim)
    leave_losses(study, [0.5, 0.6, 0.7])
    before = judge_claims(study)

    for job in study.jobs.values():
        if job.is_finished():
            shuffle(job)
    assert all(job.is_finished() for job in study.problems.values())

    pd.testing.assert_frame_equal(judge_claims(study), before, check_exact=True)
    assert (before["verdict"] == "supported").sum() > 10


def shuffle(job: Job) -> None:
    """Shuffle the rows of a job's data file, and correct the hash in its run.json."""
    header, *rows = job.data.read_text(encoding="utf-8").splitlines(keepends=True)
    np.random.default_rng(1).shuffle(rows)
    job.data.write_text("".join([header, *rows]), encoding="utf-8")
    change_run(job, sha256=files.sha256(job.data))


def test_claims_csv_is_the_frame_and_the_same_bytes_each_time(study):
    true_world(study, "F1")
    file = paths.claims(study.scale)

    write_claims(study)
    first = file.read_bytes()
    write_claims(study)

    assert file.read_bytes() == first
    read = pd.read_csv(file)
    assert list(read.columns) == list(COLUMNS)
    assert read["verdict"].tolist() == judge_claims(study)["verdict"].tolist()


def test_the_study_s_own_descents_are_judged(study):
    compute(study.problems["neuron"])

    assert row(study, "F10a")["n"] == study.problems["neuron"].spec["starts"]
    assert verdicts(study)["F10"] == "supported"


def test_judging_does_not_import_torch():
    code = "import sys, sharpness.evidence.claims; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def refusal(values: dict[str, object]) -> str:
    """The line with which the study is refused once config/claims.yaml of the working directory is changed so."""
    replace(files.Path("config/claims.yaml"), values)
    with pytest.raises(UserError) as refused:
        load_study("laptop")
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"levels": 0.9}, "unknown key 'levels' in the file; did you mean 'level'?"),
        ({"level": 95}, "level is 95; it must be at most 0.9999"),
        ({"claims.F1.note": "x"}, "unknown key 'note' in claims.F1; choose from: statement, section, parts"),
        ({"claims.F1.parts.0.marin": 1}, "unknown key 'marin' in claims.F1a; "),
        ({"claims.F1.parts.1.step": 1}, "unknown key 'step' in claims.F1b; "),
        ({"claims.F1.parts.0.first.seed": 1}, "unknown key 'seed' in claims.F1a.first; choose from: method, rho"),
        ({"claims.F1.parts.0.second": GONE}, "claims.F1a lacks the key 'second'; add it"),
        ({"claims.F1.parts.0.test": GONE}, "claims.F1.parts.0 lacks the key 'test'; add it"),
        ({"claims.F3.parts.0.window": 2}, "claims.F3a.window is 2; it is a share of the epochs, between 0 and 1"),
        ({"claims.F8.parts.0.step": "ten"}, "claims.F8a.step is 'ten'; give a whole number"),
        ({"claims.F2.section": "radios"}, "F2: unknown section 'radios'; did you mean 'radius'?"),
        ({"claims.first": {}}, "unknown key 'first' in claims; names match ^[FT][1-9][0-9]{0,2}$"),
        ({"tests.alike.smallest_effect": 0.1}, "unknown key 'smallest_effect' in tests.alike; choose from: kind, "),
        ({"tests.alike.minimum": 1}, "tests.alike.minimum is 1; it must be at least 2"),
        ({"tests.kept.at_least": GONE}, "tests.kept: give one of at_most and at_least"),
        ({"tests.kept.at_most": 1.0}, "tests.kept: give one of at_most and at_least"),
    ],
)
def test_a_fault_of_claims_yaml_is_refused_when_the_study_is_loaded(study, values, message):
    assert refusal(values).startswith(f"config/claims.yaml: {message}")


@pytest.mark.parametrize(
    ("claim", "change", "message"),
    [
        ("F1", {"quantity": "accuracy"}, "unknown quantity 'accuracy'; choose from: accuracy_difference, edge_"),
        ("F1", {"quantity": "accuracy_diference"}, "unknown quantity 'accuracy_diference'; did you mean 'accuracy_d"),
        ("F1", {"test": "alik"}, "unknown test 'alik'; did you mean 'alike'?"),
        ("F1", {"network": "wide_resnets"}, "did you mean 'sam with rho 0.1 on wide_resnet'?"),
        ("F1", {"first": {"method": "sams", "rho": 0.1}}, "unknown run 'sams with rho 0.1 on wide_resnet'; did you"),
        ("F1", {"first": {"method": "sam", "rho": 0.2}}, "unknown run 'sam with rho 0.2 on wide_resnet'; did you"),
        ("F1", {"second": {"method": "sam"}}, "unknown run 'sam on wide_resnet'; did you"),
        ("F1", {"first": {"method": "sgd", "rho": 0.1}}, "unknown run 'sgd with rho 0.1 on wide_resnet'; did you"),
        ("F3", {"milestone": 0.35}, "unknown milestone '0.35'; did you mean '0.3'?"),
        ("F3", {"run": {"method": "sam", "rho": 0.3}}, "unknown run 'sam with rho 0.3 on wide_resnet'; did you"),
        ("F7", {"network": "vgg19"}, "unknown run 'sam with rho 0.05 on vgg19'; did you mean"),
        ("F8", {"problem": "sensin"}, "unknown matrix_sensing problem 'sensin'; did you mean 'sensing'?"),
        ("F8", {"problem": "neuron"}, "unknown matrix_sensing problem 'neuron'; choose from: sensing"),
        ("F8", {"method": "usams"}, "did you mean 'usam with rho 0.001'?"),
        ("F8", {"rho": [0.002]}, "unknown matrix sensing run 'sam with rho 0.002'; did you"),
        ("F8", {"step": 11}, "step 11 of matrix sensing, which takes 10; choose one of them"),
        ("F9", {"step": 0}, "step 0 of matrix sensing, which takes 10; choose one of them"),
        ("F10", {"problem": "sensing"}, "unknown single_neuron problem 'sensing'; choose from: neuron"),
        ("F10", {"method": "gd"}, "unknown single-neuron method 'gd'; choose from: sam, usam"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion_when_the_study_is_loaded(study, claim, change, message):
    line = refusal({f"claims.{claim}.parts.0.{key}": value for key, value in change.items()})
    assert line.startswith(f"config/claims.yaml: {claim}a: ")
    assert message in line


DIFFERENCE = {"kind": "difference", "smallest_effect": 0.01, "minimum": 3}
EQUIVALENCE = {"kind": "equivalence", "margin": 0.01, "minimum": 3}
PROPORTION = {"kind": "proportion", "at_most": 0.5, "share": 0.75, "minimum": 13}
EXISTENCE = {"kind": "existence", "at_most": 0.5, "share": 0.5, "minimum": 3}
TESTS = [DIFFERENCE, EQUIVALENCE, PROPORTION, EXISTENCE]

samples = st.lists(st.floats(-1, 1), min_size=3, max_size=30)


def verdict_of(values, test) -> str:
    return judge(Sample(np.array(values, dtype=float), "values"), test, LEVEL).verdict


@pytest.mark.parametrize(
    ("values", "test", "verdict"),
    [
        ([0.02, 0.03, 0.04], DIFFERENCE, "supported"),
        ([0.004, 0.005, 0.006], DIFFERENCE, "contradicted"),  # there, but too small to matter
        ([-0.03, -0.03, -0.02], DIFFERENCE, "contradicted"),
        ([0.0, 0.03, 0.06], DIFFERENCE, "inconclusive"),
        ([0.02, 0.02, 0.02], DIFFERENCE, "supported"),  # no spread at all
        ([0.001, 0.0, -0.001], EQUIVALENCE, "supported"),
        ([0.004, 0.005, 0.006], EQUIVALENCE, "supported"),  # there, but too small to matter
        ([-0.03, -0.02, -0.03], EQUIVALENCE, "contradicted"),
        ([0.03, 0.02, 0.03], EQUIVALENCE, "contradicted"),
        ([0.0, 0.01, -0.01], EQUIVALENCE, "inconclusive"),
        ([0.5] * 13, PROPORTION, "supported"),
        ([0.5] * 19 + [0.6], PROPORTION, "supported"),
        ([0.5] * 18 + [0.6] * 2, PROPORTION, "inconclusive"),
        ([0.5] * 10 + [0.6] * 10, PROPORTION, "contradicted"),
        ([np.nan] * 13, PROPORTION, "contradicted"),
        ([0.9, 0.4, 0.9], EXISTENCE, "supported"),
        ([0.9] * 5, EXISTENCE, "inconclusive"),
        ([0.9] * 6, EXISTENCE, "contradicted"),
        ([0.9] * 200 + [0.4], EXISTENCE, "supported"),
    ],
)
def test_verdicts_of_known_samples(values, test, verdict):
    assert verdict_of(values, test) == verdict


@settings(deadline=None)
@given(samples, st.floats(0.001, 2), st.sampled_from(TESTS))
def test_a_larger_effect_never_counts_against_a_difference(values, shift, test):
    order = ["contradicted", "inconclusive", "supported"]
    moved = [value + shift for value in values] if test is DIFFERENCE else [value - shift for value in values]

    if test is not EQUIVALENCE:
        assert order.index(verdict_of(moved, test)) >= order.index(verdict_of(values, test))
    else:
        assert verdict_of([-value for value in values], test) == verdict_of(values, test)


@settings(deadline=None)
@given(st.lists(st.floats(-1, 1), max_size=12), st.sampled_from(TESTS))
def test_fewer_values_than_the_minimum_are_never_supported(values, test):
    judgement = judge(Sample(np.array(values[: test["minimum"] - 1]), "values"), test, LEVEL)

    assert judgement.verdict == "inconclusive"
    assert np.isnan(judgement.low)


def test_a_criterion_states_its_numbers():
    for test in TESTS:
        text = criterion(test, LEVEL)
        for key in test.keys() - {"kind"}:
            assert f"{test[key]:g}" in text
        assert "95 %" in text


def test_a_value_that_overflowed_is_no_evidence():
    sample = Sample(np.array([0.5] * 13 + [np.nan] * 4), "starts", ("a note",)).known()

    assert len(sample.values) == 13
    assert sample.notes == ("a note", "starts left out because a number overflowed: 4")
    assert judge(sample, PROPORTION, LEVEL).verdict == "supported"
    assert judge(Sample(np.array([np.nan] * 13), "starts").known(), PROPORTION, LEVEL).verdict == "inconclusive"


def test_a_neuron_that_overflows_says_nothing_of_a_claim(study):
    settings = single_neuron.Settings(0.1, 0.1, 10, 20, (1e200, 1e200), (0.5, 2.0))
    with np.errstate(all="ignore"):
        ends = single_neuron.compute(settings)
    study.problems["neuron"].write(ends.to_csv(index=False, na_rep="nan"), COMPLETED, PROVENANCE, COST)

    assert verdicts(study)[["F10", "F10a", "F10b"]].tolist() == ["inconclusive"] * 3
    assert "starts left out because a number overflowed: 20" in row(study, "F10a")["reason"]

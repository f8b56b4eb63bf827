"""SAM in some steps alone, as a study trains it: which steps, what they cost, when a scale has them, what is shown."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import projects
import pytest
import synthetic
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from sharpness.datasets import prepare
from sharpness.errors import SettingError, UserError
from sharpness.networks.wide_resnet import NETWORK
from sharpness.study import load_run, load_study
from sharpness.training import loop
from sharpness.training.capture import CapturedStep
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.data import Data, load_data
from sharpness.training.device import configure
from sharpness.training.history import history_text
from sharpness.training.loop import train
from sharpness.training.passes import backward_passes
from sharpness.training.process import Interrupted, StopRequest
from sharpness.training.step import build_optimizer, build_training

CPU = torch.device("cpu")
METHODS = {job.spec["method"]: job.spec for job in load_study("cost", projects.ROOT).experiments["cost"]}
IMAGES, BATCH = 512, 96  # six steps an epoch, the last one with fewer images
# Of two epochs, twelve steps: those that ascend, counted from 0.
ASCENDING = {
    "sgd": [],
    "sgd-long": [],
    "sam": range(12),
    "sam-every-2": range(1, 12, 2),
    "sam-every-5": [4, 9],
    "sam-every-10": [9],
    "sam-late": [9, 10, 11],
}


def spec_of(method: str) -> dict:
    return METHODS[method] | {"batch_size": BATCH, "epochs": 4 if method == "sgd-long" else 2}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    configure(CPU, "fp32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = prepare(load_study("smoke", projects.ROOT).settings["dataset"], tmp_path_factory.mktemp("data"))
    return load_data(folder, spec_of("sam"), CPU)


@contextlib.contextmanager
def counted_passes() -> Iterator[list[int]]:
    """Of each backward pass through a network that is being trained, how many images it has."""
    found: list[int] = []

    def watch(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        if isinstance(module, NETWORK) and module.training:
            output.register_hook(lambda gradient: found.append(len(gradient)))

    hook = register_module_forward_hook(watch)
    try:
        yield found
    finally:
        hook.remove()


@pytest.mark.parametrize("method", ASCENDING)
def test_a_run_takes_the_backward_passes_that_are_said_of_it(data, tmp_path, method):
    spec = spec_of(method)
    with counted_passes() as passes:
        train(spec, data, CPU, CheckpointFile(tmp_path / "run.pt", {"id": "run"}))
    sizes = [BATCH] * 5 + [IMAGES - 5 * BATCH]
    steps = range(6 * spec["epochs"])
    assert passes == [sizes[step % 6] for step in steps for _ in range(1 + (step in ASCENDING[method]))]
    assert len(passes) == backward_passes(spec, IMAGES, spec["epochs"])
    halves = [backward_passes(spec, IMAGES, epochs) for epochs in range(spec["epochs"] + 1)]
    assert halves == [sum(1 + (step in ASCENDING[method]) for step in steps[: 6 * n]) for n in range(len(halves))]


@pytest.mark.parametrize(
    ("when", "ascending"),
    [({"when_every": 3, "when_scale": 2.0}, [2, 5, 8, 11]), ({"when_after": 5}, range(5, 12))],
)
def test_the_other_ways_to_say_when(when, ascending):
    spec = spec_of("sam") | when
    optimizer = build_optimizer(nn.Linear(2, 2), spec, 12)
    factors = [optimizer.when(step) for step in range(12)]
    assert factors == [when.get("when_scale", 1.0) * (step in ascending) for step in range(12)]
    assert backward_passes(spec, IMAGES, 2) == 12 + len(ascending)


def test_batch_statistics_move_once_a_step(data):
    model, optimizer, _, step = build_training(spec_of("sam-every-2"), data, 12, CPU)
    [layer, *_] = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    model.train()
    for number in range(1, 4):
        step(data.test_inputs[:32], data.test_labels[:32])
        assert layer.num_batches_tracked == number == optimizer.steps


class StopAtOnce(StopRequest):
    def __enter__(self) -> "StopAtOnce":
        self.signal = 15
        return self

    def __exit__(self, *arguments: object) -> None:
        pass


@pytest.mark.parametrize("method", ["sam-every-5", "sam-late"])
def test_a_run_stopped_after_every_batch_ascends_where_the_unbroken_one_does(data, tmp_path, monkeypatch, method):
    spec, checkpoint = spec_of(method), CheckpointFile(tmp_path / "run.pt", {"id": "run"})
    unbroken = train(spec, data, CPU, checkpoint)
    checkpoint.remove()
    monkeypatch.setattr(loop, "StopRequest", StopAtOnce)
    with counted_passes() as passes:
        for _ in range(12):
            with pytest.raises(Interrupted):
                train(spec, data, CPU, checkpoint)
        assert history_text(train(spec, data, CPU, checkpoint).history) == history_text(unbroken.history)
    assert len(passes) == backward_passes(spec, IMAGES, 2)


def test_the_gradient_s_probe_is_taken_in_plain_steps_too(data, tmp_path):
    outcome = train(spec_of("sam-every-10"), data, CPU, CheckpointFile(tmp_path / "run.pt", {"id": "run"}))
    assert all(math.isfinite(row["gradient_cosine"]) and row["gradient_cosine"] < 1 for row in outcome.history)


def test_a_recording_is_refused():
    model = nn.Linear(2, 2)
    with pytest.raises(SettingError, match=r"set cuda_graph: false in config/config\.yaml"):
        CapturedStep(lambda inputs, labels: inputs, model, build_optimizer(model, spec_of("sam-late"), 12))


# --- the study


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    synthetic.project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_optional_experiment_is_of_the_scales_that_ask_for_it():
    laptop, cost = load_study("laptop", projects.ROOT), load_study("cost", projects.ROOT)
    assert "cost" not in {*laptop.experiments, *laptop.sections}
    assert "figure15" not in laptop.artifacts
    assert not {"sgd-long", "sam-late"} & laptop.methods.keys()
    assert {"cost"} == cost.experiments.keys() - laptop.experiments.keys() == cost.sections.keys() - laptop.sections
    assert cost.artifacts.keys() - laptop.artifacts.keys() == {"figure15"}
    assert laptop.runs.keys() <= cost.runs.keys()
    own = [job for job in cost.runs.values() if job.id not in laptop.runs]
    assert {job.scale for job in own} == {"cost"}, "its runs are not laptop's, although laptop could train them"
    assert {job.scale for identity, job in cost.runs.items() if identity in laptop.runs} == {"laptop"}
    assert [job.spec["epochs"] for job in own if job.spec["method"] == "sgd-long"] == [80, 80, 80]


def test_a_run_of_an_experiment_that_a_scale_leaves_out_cannot_be_trained_there(project):
    identity = next(job.id for job in load_study("cost").runs.values() if job.spec["method"] == "sam-late")
    assert load_run("cost", identity)[0].id == identity
    with pytest.raises(UserError, match="unknown run"):
        load_run("laptop", identity)


FAULTS = [
    ({"every": 1}, "methods.sam.when.every is 1; it must be at least 2"),
    ({"every": 2.5}, "methods.sam.when.every must be of type integer, not 2.5"),
    ({"last": 1}, "methods.sam.when.last is 1; it must be less than 1"),
    ({"last": 0}, "methods.sam.when.last is 0; it must be more than 0"),
    ({"after": 0}, "methods.sam.when.after is 0; it must be at least 1"),
    ({"every": 2, "scale": 0}, "methods.sam.when.scale is 0; it must be more than 0"),
    ({"last": 0.5, "scale": 2}, "methods.sam.when: scale goes with every; remove it"),
    ({"every": 2, "last": 0.5}, "methods.sam.when: give one of every and last and after"),
    ({}, "methods.sam.when: give one of every and last and after"),
    ({"evry": 2}, "unknown key 'evry' in methods.sam.when; did you mean 'every'?"),
]


@pytest.mark.parametrize(("when", "message"), FAULTS, ids=[message for _, message in FAULTS])
def test_a_faulty_when_is_refused_at_load(project, when, message):
    projects.replace(project / "config/study.yaml", {"methods.sam.when": when})
    with pytest.raises(UserError) as refused:
        load_study("laptop")
    assert str(refused.value) == f"config/study.yaml: {message}"


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("study", {"methods.sgd.when": {"every": 2}}, "unknown key 'when' in methods.sgd; choose from: title"),
        ("study", {"methods.sgd.epochs_factor": 1}, "methods.sgd.epochs_factor is 1; it must be at least 2"),
        ("study", {"experiments.cost.networks": ["vggg"]}, "study.yaml: experiments.cost: unknown network 'vggg'; did"),
        ("study", {"artifacts.figure15.network": "vgg"}, "study.yaml: artifacts.figure15: unknown network 'vgg'"),
        ("study", {"artifacts.figure1.experiment": "cost"}, "workflow/report/sections/radius.md quotes figure1"),
        ("scales/laptop", {"experiments": ["costs"]}, "scales/laptop.yaml: experiments: unknown optional experiment"),
        ("scales/laptop", {"experiments": ["radius"]}, "scales/laptop.yaml: experiments: unknown optional experiment"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_checked_all_the_same(project, file, values, message):
    projects.replace(project / f"config/{file}.yaml", values)
    with pytest.raises(UserError) as refused:
        load_study("laptop")
    assert message in str(refused.value)


def test_the_figure_counts_what_run_json_says_and_knows_older_runs(project):
    (project / "config/scales/both.yaml").write_text("extends: smoke\nexperiments: [cost]\n", encoding="utf-8")
    study = load_study("both")
    synthetic.write_all(study)
    for job in study.experiments["cost"]:
        if "when_every" in job.spec or "when_last" in job.spec:
            run = job.read()
            more = {key: run[key] for key in ("epochs", "classes", "data_sha256")}
            more |= {"steps": 16, "backward_passes": backward_passes(job.spec, IMAGES, 2)}
            job.write(job.data.read_text(), run["status"], run["provenance"], run["cost"], **more)
    figure = study.artifact("figure15")
    figure.write(study)
    passes = pd.read_csv(figure.file("both", "csv")).groupby("method")["passes"].first()
    assert passes.to_dict() == {
        "sgd": 2, "sgd-long": 4, "sam": 4, "sam-every-2": 3, "sam-every-5": 2.375, "sam-every-10": 2.125,
        "sam-late": 2.5,
    }  # fmt: skip
    facts = figure.facts(study, figure.data(study))["results"]
    assert list(facts["passes"]) == sorted(facts["passes"])

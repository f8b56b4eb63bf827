"""Training: the loss, the schedule, the loop against a plain one, the seed, divergence, and what is refused."""

import errno
import json
import math
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import projects
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sharpness.cli import main
from sharpness.datasets import prepare
from sharpness.errors import SettingError
from sharpness.jobs import COMPLETED, DIVERGED
from sharpness.networks import build_network, network_arguments, vgg
from sharpness.study import load_run, load_study
from sharpness.training import job
from sharpness.training.augmentation import draw_epoch
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.data import Data, load_data
from sharpness.training.device import claim_device, configure
from sharpness.training.history import history_text
from sharpness.training.loop import Outcome, train
from sharpness.training.loss import SmoothedLoss
from sharpness.training.schedule import learning_rate
from sharpness.training.step import build_optimizer

CPU = torch.device("cpu")
STUDY = load_study("smoke", projects.ROOT)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    configure(CPU, "fp32")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(STUDY.settings["dataset"], tmp_path_factory.mktemp("data"))


def spec_of(**values: object) -> dict:
    """The spec of the smoke scale's first run with these values."""
    return STUDY.runs[projects.find_run(projects.ROOT, **values)].spec


def trained(spec: dict, prepared: Path, folder: Path) -> Outcome:
    return train(spec, load_data(prepared, spec, CPU), CPU, CheckpointFile(folder / "run.pt", {"id": "run"}))


# --- loss and schedule


@given(
    classes=st.integers(2, 12),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.1, 30),
)
@settings(deadline=None)
def test_the_loss_is_the_divergence_from_the_smoothed_labels(classes, share, seed, scale):
    smoothing = share * (classes - 1) / classes * (1 - 1e-9)
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(5, classes, generator=generator, dtype=torch.float64) * scale
    labels = torch.randint(0, classes, (5,), generator=generator)
    target = torch.full((5, classes), smoothing / (classes - 1), dtype=torch.float64)
    target[range(5), labels] = 1 - smoothing
    expected = functional.kl_div(torch.log_softmax(logits, 1), target, reduction="batchmean")
    assert SmoothedLoss(classes, smoothing)(logits, labels).item() == pytest.approx(expected.item(), rel=1e-9, abs=1e-9)


def test_a_uniform_predictor_loses_1_7578_and_a_perfect_one_nothing():
    loss, labels = SmoothedLoss(10, 0.1), torch.arange(10)
    assert loss(torch.zeros(10, 10), labels).item() == pytest.approx(1.7578, abs=5e-5)
    best = torch.full((10, 10), math.log(0.1 / 9), dtype=torch.float64).fill_diagonal_(math.log(0.9))
    assert loss(best, labels).item() == pytest.approx(0, abs=1e-12)


def test_the_rate_drops_at_30_60_and_80_per_cent_of_the_epochs():
    rates = [learning_rate(epoch, 200, 0.1, [0.3, 0.6, 0.8], 0.2) for epoch in range(1, 201)]
    assert rates == pytest.approx([0.1] * 60 + [0.02] * 60 + [0.004] * 40 + [0.0008] * 40, rel=1e-12)


@pytest.mark.parametrize("epochs", [1, 2, 10, 30, 40, 70, 110, 200])
def test_a_milestone_takes_effect_after_its_fraction_of_the_epochs(epochs):
    for percent in range(10, 100, 10):
        rates = [learning_rate(epoch, epochs, 1.0, [percent / 100], 0.5) for epoch in range(1, epochs + 1)]
        assert rates.count(1.0) == math.ceil(percent * epochs / 100)


# --- the loop


COLUMNS = ["epoch", "learning_rate", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "test_nll"]
LATER_COLUMNS = ["test_ece", "gradient_norm", "perturbed_gradient_norm", "gradient_cosine"]


def plain_history(spec: dict, data: Data) -> list[list[float]]:
    """The same training by the plainest means: batch by batch, torch's SGD and scheduler, a SAM step written out."""
    torch.manual_seed(spec["seed"])
    sizes = {"in_channels": data.channels, "image_size": data.image_size, "num_classes": data.classes}
    model = build_network(spec["network"], network_arguments(spec), **sizes)
    momentum, decay = spec["momentum"], spec["weight_decay"]
    optimizer = torch.optim.SGD(model.parameters(), lr=spec["learning_rate"], momentum=momentum, weight_decay=decay)
    milestones = [math.ceil(fraction * spec["epochs"]) for fraction in spec["milestones"]]
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, spec["learning_rate_factor"])
    target = functional.one_hot(torch.arange(10), 10) * (0.9 - 0.1 / 9) + 0.1 / 9

    def loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return functional.kl_div(torch.log_softmax(logits, 1), target[labels], reduction="batchmean")

    history = []
    for epoch in range(1, spec["epochs"] + 1):
        draws = draw_epoch(spec["seed"], epoch, len(data.train_labels), data.image_size, data.crop_padding)
        inputs, labels = data.shown(draws, slice(0, len(draws.order)))
        losses, correct = 0.0, 0
        model.train()
        for batch, truth in zip(inputs.split(spec["batch_size"]), labels.split(spec["batch_size"]), strict=True):
            logits = model(batch)
            loss = loss_of(logits, truth)
            losses += loss.item() * len(truth)
            correct += (logits.argmax(1) == truth).sum().item()
            optimizer.zero_grad()
            loss.backward()
            if spec["optimizer"] == "sam":
                sam_gradients(model, spec, lambda batch=batch, truth=truth: loss_of(model(batch), truth))
            optimizer.step()
        rate = scheduler.get_last_lr()[0]
        scheduler.step()
        model.eval()
        with torch.no_grad():
            logits = model(data.test_inputs)
        test_loss = loss_of(logits, data.test_labels).item()
        test_accuracy = (logits.argmax(1) == data.test_labels).float().mean().item()
        likelihood = functional.cross_entropy(logits, data.test_labels).item()
        history.append([epoch, rate, losses / len(labels), correct / len(labels), test_loss, test_accuracy, likelihood])
    return history


def sam_gradients(model: torch.nn.Module, spec: dict, loss_again) -> None:
    """Replace the gradients at w by those at w + ρ g/‖g‖, BatchNorm's running statistics untouched."""
    parameters = list(model.parameters())
    gradients = [parameter.grad.clone() for parameter in parameters]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    weights = [parameter.detach().clone() for parameter in parameters]
    buffers = [buffer.clone() for buffer in model.buffers()]
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter += spec["rho"] * gradient / norm
    model.zero_grad()
    loss_again().backward()
    with torch.no_grad():
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.copy_(weight)
        for buffer, before in zip(model.buffers(), buffers, strict=True):
            buffer.copy_(before)


@pytest.mark.parametrize("method", [{"method": "sgd"}, {"method": "sam", "rho": 0.05}])
def test_the_loop_is_the_plain_one(prepared, tmp_path, method):
    spec = spec_of(network="wide_resnet", **method) | {"epochs": 2}
    expected = plain_history(spec, load_data(prepared, spec, CPU))
    history = [[row[column] for column in COLUMNS] for row in trained(spec, prepared, tmp_path).history]
    # Rounding grows with every step; a wrong batch, rate, decay, norm or statistic shows far above this.
    np.testing.assert_allclose(history, expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(history[0][:3], expected[0][:3], rtol=2e-4)


def test_the_seed_decides_everything(prepared, tmp_path):
    spec = spec_of(network="vgg", method="sam")  # with Dropout, which draws in every pass
    torch.manual_seed(1)
    first = trained(spec, prepared, tmp_path / "first")
    torch.manual_seed(2)
    torch.rand(17)
    second = trained(spec, prepared, tmp_path / "second")
    assert history_text(first.history) == history_text(second.history)
    other = trained(spec | {"seed": spec["seed"] + 1}, prepared, tmp_path / "other")
    assert first.history[0]["train_loss"] != other.history[0]["train_loss"]


def test_batch_norms_statistics_move_once_a_batch(prepared, tmp_path):
    spec = spec_of(network="wide_resnet", method="sam") | {"epochs": 3}
    checkpoint = CheckpointFile(tmp_path / "run.pt", {"id": "run"})
    train(spec, load_data(prepared, spec, CPU), CPU, checkpoint)
    model = checkpoint.load()["model"]  # as it was after the last epoch but one
    moved = {value.item() for name, value in model.items() if name.endswith("num_batches_tracked")}
    assert moved == {2 * math.ceil(512 / spec["batch_size"])}


def test_a_history_has_a_row_an_epoch_and_numbers_that_hold_a_float32(prepared, tmp_path):
    outcome = trained(spec_of(network="vgg", method="sgd"), prepared, tmp_path)
    header, *rows = history_text(outcome.history).splitlines()
    assert header == ",".join(COLUMNS + LATER_COLUMNS)
    assert [int(row.split(",")[0]) for row in rows] == [1, 2]
    for row, record in zip(rows, outcome.history, strict=True):
        for text, value in zip(row.split(","), record.values(), strict=True):
            assert np.float32(text) == np.float32(value)
    assert outcome.status == COMPLETED


def test_bf16_trains_on_the_cpu_and_rounds_otherwise_than_fp32(prepared, tmp_path):
    spec = spec_of(network="wide_resnet", method="sam") | {"epochs": 1}
    configure(CPU, "bf16")
    first = trained(spec | {"precision": "bf16"}, prepared, tmp_path)
    again = trained(spec | {"precision": "bf16"}, prepared, tmp_path)
    full = trained(spec, prepared, tmp_path)
    assert first.history == again.history
    assert first.history[0]["train_loss"] != full.history[0]["train_loss"]
    assert first.history[0]["train_loss"] == pytest.approx(full.history[0]["train_loss"], rel=0.05)


# --- as a command


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """The configuration, with the data prepared."""
    folder = tmp_path_factory.mktemp("template") / "project"
    for name in ("config", "workflow"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        projects.shutil.copytree(projects.ROOT / name, folder / name)
    projects.shutil.copytree(prepared, folder / "data/digits")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the working directory."""
    folder = Path(projects.shutil.copytree(template, tmp_path / "project"))
    monkeypatch.chdir(folder)
    return folder


def arguments(**values: object) -> list[str]:
    """The command that trains the smoke scale's first run with these values, in the working directory."""
    return ["train", "--scale", "smoke", "--run", projects.find_run(Path(), **values), "--device", "cpu"]


def test_the_same_run_in_two_places_leaves_the_same_bytes(project, tmp_path, monkeypatch):
    assert main(arguments(network="vgg", method="sgd")) == 0
    elsewhere = Path(projects.shutil.copytree(project, tmp_path / "elsewhere", ignore=lambda *_: ["results"]))
    monkeypatch.chdir(elsewhere)
    assert main(arguments(network="vgg", method="sgd")) == 0
    [first], [second] = [list(folder.glob("results/smoke/training/*/history.csv")) for folder in (project, elsewhere)]
    assert first.read_bytes() == second.read_bytes()
    run = load_run("smoke", first.parent.name)[0].read()
    assert run["spec"] == spec_of(network="vgg", method="sgd")
    assert run["epochs"] == 2
    assert run["classes"] == 10
    assert run["data_sha256"] == json.loads(Path("data/digits/meta.json").read_text())["sha256"]
    assert not list(project.glob("results/smoke/checkpoints/*"))


def test_a_run_that_diverges_is_a_result(project, capsys):
    projects.edit(Path("config/study.yaml"), lambda study: study["training"].update(learning_rate=1e12))
    projects.edit(Path("config/scales/smoke.yaml"), lambda scale: scale.update(epochs=5))
    assert main(arguments(network="vgg", method="sgd")) == 0
    assert "diverged after" in capsys.readouterr().out
    [folder] = Path("results/smoke/training").iterdir()
    run = load_run("smoke", folder.name)[0].read()
    assert run["status"] == DIVERGED
    rows = (folder / "history.csv").read_text().splitlines()
    assert len(rows) - 1 == run["epochs"] < 5, "it stops at once"
    assert not all(math.isfinite(float(value)) for value in rows[-1].split(","))
    assert not list(Path("results/smoke").glob("checkpoints/*"))


def network(**sizes: object):
    return lambda scale: scale.setdefault("networks", {}).update(wide_resnet=sizes)


SCALE_FILE = "config/scales/smoke.yaml"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (SCALE_FILE, lambda scale: scale.update(batch_size=513), "batch_size: 513 is more than the 512 images"),
        (
            SCALE_FILE,
            lambda scale: scale.update(batch_size=73),
            "batch_size: 73 leaves a batch of one image out of 512",
        ),
        (
            SCALE_FILE,
            lambda scale: scale.update(precision="tf32"),
            "precision tf32 exists on CUDA only; use fp32 or bf16",
        ),
        (
            SCALE_FILE,
            network(depth=11),
            "networks.wide_resnet: depth: 11 is outside its range; choose 10, 16, 22, ... up to 1000",
        ),
        (
            SCALE_FILE,
            network(dept=10),
            "networks.wide_resnet: wide_resnet has no argument 'dept'; did you mean 'depth'?",
        ),
        (SCALE_FILE, network(depth=[10]), "networks.wide_resnet: depth: [10] is not a positive integer"),
        (SCALE_FILE, network(image_size=8), "networks.wide_resnet: wide_resnet has no argument 'image_size'; choose"),
        (
            "config/study.yaml",
            lambda study: study["training"].update(label_smoothing=0.95),
            "training.label_smoothing: 0.95 leaves the label less than the 9 others; choose a smaller one",
        ),
        (
            "config/study.yaml",
            lambda study: study["methods"]["sam"].update(p=1, normalization="none"),
            "methods.sam: normalization: 'none' has no limit at p = 1",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["train", "estimate"])
def test_settings_that_cannot_be_trained_are_refused_in_one_line(project, capsys, verb, file, change, message):
    if verb == "estimate" and "batch_size" in message:
        pytest.skip("an estimate needs no whole batch")
    projects.edit(Path(file), change)
    command = ["estimate", "--scale", "smoke", "--device", "cpu"]
    if verb == "train":
        known = "precision" in message  # all others are refused before it is known which runs there are
        run = projects.find_run(Path(), network="wide_resnet", method="sam") if known else "any"
        command = ["train", "--scale", "smoke", "--run", run, "--device", "cpu"]
    assert main(command) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert message in line
    assert file in line or "precision" in message
    assert not Path("results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_without_a_gpu_is_refused(project, capsys):
    assert main([*arguments(network="vgg", method="sgd")[:-1], "cuda"]) == 1
    assert "device is cuda, but no GPU is visible here; use device=auto or device=cpu" in capsys.readouterr().err
    assert not Path("results").exists()
    with claim_device("auto") as device:
        assert device == CPU


@pytest.mark.parametrize(
    "fault", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("CUDNN_STATUS_ALLOC_FAILED")]
)
def test_exhausted_memory_is_a_line_with_remedies(project, capsys, monkeypatch, fault):
    def exhausted(*arguments: object) -> None:
        raise fault

    monkeypatch.setattr(job, "train", exhausted)
    assert main(arguments(network="vgg", method="sgd")) == 1
    line = capsys.readouterr().err
    assert "memory exhausted with batch_size 64; choose a smaller batch or network, or precision bf16, in" in line
    assert SCALE_FILE in line
    assert line.count("\n") == 1
    assert not Path("results").exists()


FAULTS = [RuntimeError("a bug"), ValueError("a bug"), TypeError("a bug"), KeyError("a bug")]


@pytest.mark.parametrize("fault", FAULTS)
def test_any_other_fault_keeps_its_traceback(project, monkeypatch, fault):
    def faulty(*arguments: object) -> None:
        raise fault

    monkeypatch.setattr(job, "train", faulty)
    with pytest.raises(type(fault), match="a bug"):
        main(arguments(network="vgg", method="sgd"))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bug_in_a_network_keeps_its_traceback(project, monkeypatch, fault):
    def faulty(
        in_channels: int,
        num_classes: int,
        *,
        convolutions: list = (1,),
        width: int = 8,
        head: int = 8,
        image_size: int = 8,
    ) -> None:
        raise fault

    monkeypatch.setattr(vgg, "NETWORK", faulty)
    with pytest.raises(type(fault), match="a bug") as raised:
        main(arguments(network="vgg", method="sgd"))
    assert raised.value is fault


@pytest.mark.parametrize("optimizer", ["sgd", "sam"])
def test_what_an_optimizer_refuses_is_a_setting(optimizer):
    spec = spec_of(network="vgg", method=optimizer) | {"momentum": -1.0}
    with pytest.raises(SettingError, match="Invalid momentum value: -1"):
        build_optimizer(torch.nn.Linear(2, 2), spec)


def test_memory_that_the_system_does_not_give_is_a_line(project):
    projects.edit(Path(SCALE_FILE), network(depth=10, width=20_000))
    limit = 24 * 2**30
    done = subprocess.run(
        [sys.executable, "-m", "sharpness", *arguments(network="wide_resnet", method="sgd")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "main memory exhausted with batch_size 64; choose a smaller batch or network" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_unknown_fault_of_the_system_names_the_file(project, capsys, monkeypatch):
    def failing(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "results/smoke")

    monkeypatch.setattr(job, "train", failing)
    assert main(arguments(network="vgg", method="sgd")) == 1
    line = capsys.readouterr().err
    assert line.startswith("sharpness: error: results/smoke: Input/output error; ")
    assert line.endswith(" this and run again\n")


def test_an_unknown_run_is_refused(project, capsys):
    assert main(["train", "--scale", "smoke", "--run", "none", "--device", "cpu"]) == 1
    assert "scale smoke: unknown run 'none'; choose from: " in capsys.readouterr().err

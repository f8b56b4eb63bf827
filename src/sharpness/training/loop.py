"""The training loop: from a spec and its data to a history."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from sharpness.errors import SettingError, setting
from sharpness.jobs import COMPLETED, DIVERGED
from sharpness.training.augmentation import draw_epoch
from sharpness.training.capture import CapturedStep
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.data import Data
from sharpness.training.loss import SmoothedLoss
from sharpness.training.probe import Probe
from sharpness.training.process import Interrupted, StopRequest
from sharpness.training.schedule import learning_rate
from sharpness.training.step import autocast, build_training, set_learning_rate

# Test images at once, by the kind of device: a CPU's caches hold the activations of few, a GPU is busy only with many.
TEST_BATCH = {"cpu": 128, "cuda": 512}
CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Outcome:
    """What a finished run leaves.

    Attributes:
        history: one row an epoch, whose keys are the columns; a diverged run's last one has what was not finite.
        status: "completed" or "diverged".
        seconds: time spent training and testing (wall clock), over all resumptions.
        earlier_cpu_seconds: CPU time of the processes that this one continues from.
    """

    history: list[dict[str, float]]
    status: str
    seconds: float
    earlier_cpu_seconds: float


def train(
    spec: dict,
    data: Data,
    device: torch.device,
    checkpoint: CheckpointFile,
    cuda_graph: bool = False,
    show_progress: bool = False,
) -> Outcome:
    """Train one run from its spec, or from its checkpoint on; the seed decides everything.

    Args:
        spec: the run's spec.
        data: its data set, on the device.
        device: where to compute; `sharpness.training.device.configure` has been called.
        checkpoint: where a stopped run continues from. It is saved after every epoch but the last, and in the
            middle of one when SIGTERM or SIGINT asks the run to stop.
        cuda_graph: on a GPU, replay each step as one CUDA graph.
        show_progress: show a progress bar of epochs.

    Raises:
        SettingError: a setting of the network, the optimizer, the loss or the batch is impossible, alone or with the
            data.
        Interrupted: a signal stopped the run; it can continue from its checkpoint.
    """
    images, batch_size = len(data.train_labels), spec["batch_size"]
    with setting("batch_size"):
        _check_batch(batch_size, images)
    torch.manual_seed(spec["seed"])
    model, optimizer, loss, step = build_training(spec, data, device)
    if cuda_graph and device.type == "cuda":
        step = CapturedStep(step, model, optimizer)
    probe = Probe(data, batch_size)
    logits = torch.zeros(images, data.classes, device=device)  # of the epoch's first passes, in the order shown
    history: list[dict[str, float]] = []
    done, seconds, cpu_seconds = 0, 0.0, 0.0  # images done of this epoch; times before this resumption

    def state() -> dict:
        return {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict()["state"],  # the rest of it follows from the spec and the epoch
            "random": _random_state(device),
            "history": history,
            "done": done,
            "logits": logits,
            "seconds": seconds + time.monotonic() - started,
            "cpu_seconds": cpu_seconds + time.process_time(),
        }

    if saved := checkpoint.load():
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": saved["optimizer"]})
        _set_random_state(saved["random"], device)
        history, done = saved["history"], saved["done"]
        seconds, cpu_seconds = saved["seconds"], saved["cpu_seconds"]
        logits.copy_(saved["logits"])

    started, status = time.monotonic(), COMPLETED
    epochs = tqdm(
        total=spec["epochs"], initial=len(history), desc=spec["network"], unit=" epochs", disable=not show_progress
    )
    with StopRequest() as stop, epochs:
        for epoch in range(len(history) + 1, spec["epochs"] + 1):
            rate = learning_rate(
                epoch, spec["epochs"], spec["learning_rate"], spec["milestones"], spec["learning_rate_factor"]
            )
            set_learning_rate(optimizer, rate)
            model.train()
            draws = draw_epoch(spec["seed"], epoch, images, data.image_size, data.crop_padding)
            for rows, inputs, labels in data.batches(draws, batch_size, first=done):
                logits[rows] = step(inputs, labels)
                done = rows.stop
                if stop.signal:
                    checkpoint.save(state())
                    raise Interrupted(stop.signal)
            train_loss, train_accuracy = _score(loss, logits, data.train_labels[draws.order.to(device)])
            row = {
                "epoch": epoch,
                "learning_rate": rate,
                "train_loss": train_loss,
                "train_accuracy": train_accuracy,
                **evaluate(model, data, loss, spec["precision"]),
                **probe.measure(model, optimizer, loss, spec["precision"]),
            }
            history.append(row)
            done = 0
            epochs.update()
            epochs.set_postfix(test_accuracy=f"{row['test_accuracy']:.4f}")
            if not (math.isfinite(row["train_loss"]) and math.isfinite(row["test_loss"])):
                status = DIVERGED
                break
            if epoch < spec["epochs"]:
                checkpoint.save(state())
    return Outcome(history, status, seconds + time.monotonic() - started, cpu_seconds)


def evaluate(model: nn.Module, data: Data, loss: SmoothedLoss, precision: str) -> dict[str, float]:
    """The history's columns of the test set, in evaluation mode.

    Returns:
        test_loss: mean smoothed loss (nats).
        test_accuracy: fraction correct.
        test_nll: mean negative log-likelihood of the labels (nats).
        test_ece: expected calibration error (`calibration_error`).
    """
    model.eval()
    device = data.test_inputs.device
    with torch.inference_mode(), autocast(device, precision):
        logits = torch.cat([model(inputs) for inputs in data.test_inputs.split(TEST_BATCH[device.type])])
    logits = logits.float()
    test_loss, test_accuracy = _score(loss, logits, data.test_labels)
    return {
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "test_nll": functional.cross_entropy(logits.double(), data.test_labels).item(),
        "test_ece": calibration_error(logits, data.test_labels),
    }


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Expected calibration error (Guo et al. 2017): the mean over the images of their bin's |accuracy − confidence|.

    An image's confidence is the largest of its softmax probabilities; the bins are of equal width, (0, 1/15] and so on.

    Args:
        logits: (n, classes).
        labels: int64 (n,).
    """
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1, dtype=torch.float64, device=logits.device)
    bins = torch.bucketize(confidence, edges[1:-1])
    excess = (predicted == labels).double() - confidence
    return excess.new_zeros(CALIBRATION_BINS).index_add_(0, bins, excess).abs().sum().item() / len(labels)


def _check_batch(batch_size: int, images: int) -> None:
    if batch_size > images:
        raise SettingError(f"{batch_size} is more than the {images} images of the training set; choose a smaller batch")
    if images % batch_size == 1 or batch_size == 1:
        raise SettingError(
            f"{batch_size} leaves a batch of one image out of {images}, too few for BatchNorm; choose another"
        )


def _score(loss: SmoothedLoss, logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Mean loss and accuracy as numbers, which waits for the device: once an epoch, not once a batch."""
    correct = (logits.argmax(dim=1) == labels).sum()
    return loss(logits.double(), labels).item(), correct.item() / len(labels)


def _random_state(device: torch.device) -> dict:
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _set_random_state(states: dict, device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:  # a run may have begun on the CPU
        torch.cuda.set_rng_state(states["cuda"], device)

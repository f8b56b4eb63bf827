"""(g) What each precision leaves of SAM's perturbation, and of what training ends with."""

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import torch
from measure import machine
from pictures import cifar_sized, digits, images_on_device
from tables import markdown
from torch import Tensor, nn
from torch.func import functional_call
from workloads import sam_spec

from sharpness.optim import ascent_step
from sharpness.study import load_study
from sharpness.training.augmentation import draw_epoch
from sharpness.training.checkpoint import CheckpointFile
from sharpness.training.data import Data
from sharpness.training.device import configure
from sharpness.training.loop import train
from sharpness.training.loss import SmoothedLoss
from sharpness.training.schedule import learning_rate
from sharpness.training.step import autocast, build_model, build_optimizer, build_step, set_learning_rate

Weights = dict[str, Tensor]

WRN_22_8_BATCH = 8


def measure(device: torch.device, small_only: bool = False) -> dict:
    """Compare the precisions on networks at some stages of training, and by the outcome of the laptop scale's runs.

    Args:
        device: where.
        small_only: leave the WRN-22-8 out, and train the small network for two epochs only.
    """
    spec = sam_spec()
    stages, seeds = [1, 10, spec["epochs"]], load_study("laptop").settings["seeds"]
    if small_only:
        spec, stages, seeds = spec | {"epochs": 2}, [2], seeds[:2]
    data = images_on_device(digits(), spec, device)
    rows = _compare("WRN-10-1", spec, data, stages, "epochs", device)
    if not small_only:
        large = sam_spec("paper") | {"batch_size": WRN_22_8_BATCH, "epochs": 1}
        rows += _compare(
            "WRN-22-8",
            large,
            images_on_device(cifar_sized(8 * WRN_22_8_BATCH, 1), large, device),
            [2, 8],
            "steps",
            device,
        )
    return {
        "machine": machine(device),
        "rho": spec["rho"],
        "rows": rows,
        "outcomes": [
            _outcome(spec | {"precision": precision}, data, seeds, device) for precision in _trainable(device)
        ],
    }


def tables(result: dict) -> dict[str, str]:
    header = [
        "network",
        "after",
        "precision",
        "cosine",
        "length / ρ",
        "loss increase",
        "of float32's",
        "cosine of the correction",
    ]
    rows = []
    for row in result["rows"]:
        reference = next(
            other["loss_increase"]
            for other in result["rows"]
            if (other["network"], other["after"], other["precision"]) == (row["network"], row["after"], "fp32")
        )
        rows.append(
            [
                row["network"],
                row["after"],
                row["precision"],
                f"{row['cosine']:.4f}",
                f"{row['length']:.3f}",
                f"{row['loss_increase']:.4f}",
                f"{row['loss_increase'] / reference:.3f}",
                "not measured" if row["correction_cosine"] is None else f"{row['correction_cosine']:.4f}",
            ]
        )
    outcome_rows = [
        [
            outcome["precision"],
            *(f"{accuracy:.4f}" for accuracy in outcome["accuracy"].values()),
            f"{mean(outcome['accuracy'].values()):.4f} ± {stdev(outcome['accuracy'].values()):.4f}",
            f"{mean(outcome['loss'].values()):.4f} ± {stdev(outcome['loss'].values()):.4f}",
        ]
        for outcome in result["outcomes"]
    ]
    seeds = [f"seed {seed}" for seed in result["outcomes"][0]["accuracy"]]
    return {
        "perturbation": markdown(header, rows),
        "outcome": markdown(["precision", *seeds, "test accuracy", "test loss"], outcome_rows),
    }


def _trainable(device: torch.device) -> list[str]:
    return ["fp32", "tf32", "bf16"] if device.type == "cuda" else ["fp32", "bf16"]


def _outcome(spec: dict, data: Data, seeds: list[int], device: torch.device) -> dict:
    """The test accuracy and loss that the study's run ends with, by seed."""
    configure(device, spec["precision"])
    last = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = CheckpointFile(Path(folder) / "checkpoint", {"run_id": "bench"})
            last[str(seed)] = train(spec | {"seed": seed}, data, device, checkpoint).history[-1]
    return {
        "precision": spec["precision"],
        "accuracy": {seed: row["test_accuracy"] for seed, row in last.items()},
        "loss": {seed: row["test_loss"] for seed, row in last.items()},
    }


def _compare(title: str, spec: dict, data: Data, stages: list[int], unit: str, device: torch.device) -> list[dict]:
    """A row for each stage of a float32 training and each precision."""
    configure(device, "fp32")
    loss = SmoothedLoss(data.classes, spec["label_smoothing"])
    draws = draw_epoch(spec["seed"], spec["epochs"] + 1, len(data.train_labels), data.image_size, data.crop_padding)
    _, inputs, labels = next(data.batches(draws, spec["batch_size"]))
    rows = []
    for stage, model in _stages(spec, data, loss, stages, unit, device):
        for row in _perturbations(model, inputs, labels, loss, spec["rho"]):
            rows.append({"network": title, "after": f"{stage} {unit}", **row})
    return rows


def _stages(
    spec: dict, data: Data, loss: SmoothedLoss, stages: list[int], unit: str, device: torch.device
) -> Iterator[tuple[int, nn.Module]]:
    """The network at each stage of its training, counted in epochs or steps, in training mode."""
    torch.manual_seed(spec["seed"])
    model = build_model(spec, data, device)
    optimizer = build_optimizer(model, spec)
    step = build_step(model, optimizer, loss, "fp32")
    steps = 0
    for epoch in range(1, spec["epochs"] + 1):
        rate = learning_rate(
            epoch, spec["epochs"], spec["learning_rate"], spec["milestones"], spec["learning_rate_factor"]
        )
        set_learning_rate(optimizer, rate)
        draws = draw_epoch(spec["seed"], epoch, len(data.train_labels), data.image_size, data.crop_padding)
        for _, inputs, labels in data.batches(draws, spec["batch_size"]):
            step(inputs, labels)
            steps += 1
            if unit == "steps" and steps in stages:
                yield steps, copy.deepcopy(model)
        if unit == "epochs" and epoch in stages:
            yield epoch, copy.deepcopy(model)


def _perturbations(model: nn.Module, inputs: Tensor, labels: Tensor, loss: SmoothedLoss, rho: float) -> Iterator[dict]:
    """For each precision, what a forward pass sees of the perturbation that SAM makes there.

    The weights seen are the float32 master weights as the pass rounds them for its products. Cosine, length and loss
    increase are those of the difference between the weights seen at w + ε and those seen at w, against float64's own ε
    and in float64's loss; the correction is g(w + ε) − g(w), for which SAM takes its second pass.
    """
    device = inputs.device
    exact_model, exact_inputs = copy.deepcopy(model).double(), inputs.double()
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    exact = {name: weight.double() for name, weight in weights.items()}

    def gradient(at: Weights, precision: str) -> Weights:
        at = {name: weight.requires_grad_() for name, weight in at.items()}
        if precision == "fp64":
            value = loss(functional_call(exact_model, at, exact_inputs), labels)
        else:
            with autocast(device, precision):
                logits = functional_call(model, at, inputs)
            value = loss(logits.float(), labels)
        return dict(zip(at, torch.autograd.grad(value, at.values()), strict=True))

    def perturbed(at: Weights, slope: Weights) -> Weights:
        epsilon = ascent_step(list(at.values()), list(slope.values()), rho)
        return {name: weight.detach() + step for (name, weight), step in zip(at.items(), epsilon, strict=True)}

    @torch.no_grad()
    def exact_loss(at: Weights) -> float:
        at = {name: weight.double() for name, weight in at.items()}
        return loss(functional_call(exact_model, at, exact_inputs), labels).item()

    exact_slope = gradient(exact, "fp64")
    exact_perturbed = perturbed(exact, exact_slope)
    exact_epsilon = _difference(exact_perturbed, exact)
    exact_correction = _difference(gradient(exact_perturbed, "fp64"), exact_slope)
    for precision in ("fp32", "tf32", "bf16"):
        computes = precision in _trainable(device)  # else float32 computes, and only the weights are rounded
        configure(device, precision if computes else "fp32")
        slope = gradient(weights, precision)
        moved = perturbed(weights, slope)
        before, after = (_seen(model, at, precision) for at in (weights, moved))
        epsilon = _difference(after, before)
        correction = _difference(gradient(moved, precision), slope) if computes else None
        yield {
            "precision": precision,
            "cosine": _cosine(epsilon, exact_epsilon),
            "length": epsilon.norm().item() / rho,
            "loss_increase": exact_loss(after) - exact_loss(before),
            "correction_cosine": _cosine(correction, exact_correction) if computes else None,
        }


def _seen(model: nn.Module, weights: Weights, precision: str) -> Weights:
    """The weights as a forward pass uses them: rounded where they enter a convolution or a linear layer."""
    rounded = {
        f"{prefix}.{name}"
        for prefix, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
        for name, _ in module.named_parameters(recurse=False)
    }
    return {
        name: _rounded(weight.detach(), precision) if name in rounded else weight.detach()
        for name, weight in weights.items()
    }


def _rounded(weight: Tensor, precision: str) -> Tensor:
    """To bfloat16's 8 significant bits or TF32's 11, to the nearest; float32 as it is."""
    if precision == "bf16":
        return weight.bfloat16().float()
    if precision == "tf32":
        return (weight.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)
    return weight


def _difference(after: Weights, before: Weights) -> Tensor:
    """One float64 vector of all weights."""
    return torch.cat([(after[name].double() - before[name].double()).detach().flatten() for name in before])


def _cosine(first: Tensor, second: Tensor) -> float:
    return (first @ second / (first.norm() * second.norm())).item()

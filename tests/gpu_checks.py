"""What only a GPU can show: functions that may raise AssertionError, for test_gpu.py and, without pytest, gpu-check."""

import copy
from functools import partial
from pathlib import Path

import torch

from sharpness.arrays import Arrays
from sharpness.study import load_study
from sharpness.training.capture import CapturedStep
from sharpness.training.data import on_device
from sharpness.training.device import configure
from sharpness.training.loss import SmoothedLoss
from sharpness.training.probe import Probe
from sharpness.training.step import build_optimizer, build_step, set_learning_rate

ROOT = Path(__file__).parents[1]


def spec_of(method: str) -> dict:
    return next(job.spec for job in load_study("laptop", ROOT).runs.values() if job.spec["method"] == method)


def small_network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, bias=False),
        torch.nn.BatchNorm2d(16),
        torch.nn.SiLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 14 * 14, 10),
    ).to("cuda", memory_format=torch.channels_last)


def batches(count: int, size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator("cuda").manual_seed(1)
    return [
        (
            torch.randn(size, 3, 16, 16, device="cuda", generator=generator).contiguous(
                memory_format=torch.channels_last
            ),
            torch.randint(0, 10, (size,), device="cuda", generator=generator),
        )
        for _ in range(count)
    ]


METHODS = ("sgd", "sam", "asam", "sam-linf-as-described")


def recorded_steps_equal_plain_ones(method: str) -> None:
    configure(torch.device("cuda", 0), "fp32")
    plain = small_network()
    recorded = copy.deepcopy(plain)
    steps = []
    for model in (plain, recorded):
        optimizer = build_optimizer(model, spec_of(method))
        step = build_step(model, optimizer, SmoothedLoss(10, 0.1), "fp32")
        steps.append((CapturedStep(step, model, optimizer) if model is recorded else step, optimizer))
    for index, batch in enumerate([*batches(6, 32), *batches(3, 20)]):  # two batch sizes, two recordings
        outputs = []
        for step, optimizer in steps:
            set_learning_rate(optimizer, 0.1 * 0.5**index)
            outputs.append(step(*batch).clone())
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5)
    for expected, found in zip(plain.state_dict().values(), recorded.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def the_probe_between_replays_changes_nothing() -> None:
    configure(torch.device("cuda", 0), "fp32")
    loss, spec = SmoothedLoss(10, 0.1), spec_of("sam")
    images, labels = torch.randint(0, 256, (64, 16, 16, 3), dtype=torch.uint8), torch.randint(0, 10, (64,))
    meta = {"mean": [120.0] * 3, "std": [64.0] * 3, "sha256": ""}
    arrays = Arrays(images.numpy(), labels.numpy(), images.numpy(), labels.numpy(), tuple("0123456789"))
    data = on_device(arrays, meta, spec, torch.device("cuda", 0))
    results = []
    for probe in (None, Probe(data, 32)):
        model = small_network()
        optimizer = build_optimizer(model, spec)
        step = CapturedStep(build_step(model, optimizer, loss, "fp32"), model, optimizer)
        for batch in batches(4, 32):
            model.train()
            step(*batch)
            if probe:
                found = probe.measure(model, optimizer, loss, "fp32")
                assert 0 < found["gradient_cosine"] < 1
        results.append(model.state_dict())
    for expected, found in zip(*(result.values() for result in results), strict=True):
        assert torch.equal(found, expected)


def recording_leaves_weights_statistics_and_random_state_alone() -> None:
    configure(torch.device("cuda", 0), "fp32")
    model = small_network()
    optimizer = build_optimizer(model, spec_of("sam"))
    captured = CapturedStep(build_step(model, optimizer, SmoothedLoss(10, 0.1), "fp32"), model, optimizer)
    before = copy.deepcopy(model.state_dict())
    random_state = torch.cuda.get_rng_state()
    captured._record(*batches(1, 32)[0])
    for expected, found in zip(before.values(), model.state_dict().values(), strict=True):
        assert torch.equal(expected, found)
    assert torch.equal(random_state, torch.cuda.get_rng_state())


CHECKS = {
    **{
        f"recorded steps equal plain ones: {method}": partial(recorded_steps_equal_plain_ones, method)
        for method in METHODS
    },
    "the probe between replays changes nothing": the_probe_between_replays_changes_nothing,
    "recording leaves weights, statistics and random state alone": (
        recording_leaves_weights_statistics_and_random_state_alone
    ),
}

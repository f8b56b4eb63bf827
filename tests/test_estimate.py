"""`sharpness estimate`: what it says of a scale, from timings given and from steps really taken."""

import re

import pytest
import synthetic
import torch

from sharpness.cli import main
from sharpness.datasets import cifar10
from sharpness.jobs import TRAINING, Job
from sharpness.training import estimate as estimate_module
from sharpness.training.estimate import Estimate, describe, estimate

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("missing", "at_once", "total"),
    [
        (1, 64, "4 runs, 1 to do: about 10.0 h, 8 MB"),  # one run does not go faster for idle cores
        (3, 2, "4 runs, 3 to do: about 15.0 h, 16 MB"),
        (0, 2, "4 runs, 0 to do: about 0 s, 0 MB"),
    ],
)
def test_the_total_is_the_work_shared_but_no_less_than_the_longest_run(missing, at_once, total):
    estimates = [Estimate("vgg sgd", runs=4, missing=missing, seconds=36_000.0, parameters=2**20)]
    text = describe("smoke", estimates, CPU, at_once)
    assert text.startswith("scale smoke on ")
    assert text.splitlines()[-1].startswith(total)


def test_a_scale_is_timed_and_what_has_run_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = synthetic.project(tmp_path)
    done = synthetic.find(study, network="vgg", method="sgd")
    for run_id in done:
        synthetic.write(study, run_id, synthetic.history(study.runs[run_id].spec))

    assert main(["estimate", "--scale", "smoke", "--device", "cpu"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"vgg sgd +1 +0 +\d+ s +0 s$", next(line for line in lines if line.startswith("vgg sgd")))
    assert lines[-1].startswith(f"{len(study.runs)} runs, {len(study.runs) - len(done)} to do: about ")


def test_cifar10_is_not_downloaded_for_an_estimate_and_a_smaller_version_costs_less(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cifar10, "download", None)
    monkeypatch.setattr(estimate_module, "_seconds", lambda work, batch_size, device: work(2) or 0.1)
    study = synthetic.project(tmp_path)
    [run_id] = synthetic.find(study, network="vgg", method="sgd")
    spec = study.runs[run_id].spec | {"batch_size": 100, "epochs": 3}
    jobs = [Job(TRAINING, spec, 1, "vgg", "smoke")]
    dataset = {"name": "cifar10", "title": "CIFAR-10"}
    [whole] = estimate(jobs, dataset, tmp_path / "data", CPU)
    [small] = estimate(jobs, dataset | {"training_images": 10_000, "image_size": 16}, tmp_path / "data", CPU)
    assert whole.seconds == pytest.approx(estimate_module.START_SECONDS + 3 * 0.1 * (500 + 100))
    assert small.seconds == pytest.approx(estimate_module.START_SECONDS + 3 * 0.1 * (100 + 100))
    assert small.parameters < whole.parameters, "the VGG's head grows with the images"
    assert not (tmp_path / "data").exists()

"""`sharpness estimate`: what it says of a scale, from timings given and from steps really taken."""

import re

import projects
import pytest
import synthetic
import torch

from sharpness.cli import main
from sharpness.study import load_study
from sharpness.training.estimate import Estimate, describe

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
    text = describe(load_study("smoke", projects.ROOT), estimates, CPU, at_once)
    assert text.splitlines()[-1].startswith(total)


def test_a_scale_is_timed_and_what_has_run_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    study = synthetic.project(tmp_path)
    done = synthetic.find(study, network="vgg", method="sgd")
    for run_id in done:
        synthetic.write(study, run_id, synthetic.history(study.runs[run_id]))

    assert main(["estimate", "--scale", "smoke", "--device", "cpu"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"vgg sgd +1 +0 +\d+ s +0 s$", next(line for line in lines if line.startswith("vgg sgd")))
    assert lines[-1].startswith(f"{len(study.runs)} runs, {len(study.runs) - len(done)} to do: about ")

"""A project of which one scale is complete, its runs being synthetic: built once, then copied for each test."""

import atexit
import contextlib
import functools
import shutil
import tempfile
from pathlib import Path

import synthetic

from sharpness.compute import compute
from sharpness.evidence.claims import write_claims
from sharpness.evidence.report import write_report
from sharpness.evidence.runs import write_runs
from sharpness.study import Study, load_study

SCALE = "smoke"


def project(folder: Path) -> Study:
    """Copy the finished project, report and manifest included, to a folder that the test then changes to."""
    shutil.copytree(_built(), folder, dirs_exist_ok=True)
    return load_study(SCALE, folder)


@functools.cache
def _built() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sharpness-"))
    atexit.register(shutil.rmtree, folder)
    # Long enough for three drops of the learning rate, and with spread over the seeds.
    study = synthetic.project(folder, SCALE, epochs=12, seeds=[0, 10, 42], experiment_seeds={})
    with contextlib.chdir(folder):
        complete(study)
    return folder


def complete(study: Study) -> None:
    """Give a study synthetic runs, and write everything that is made from them."""
    lost = synthetic.find(study, network="vgg", method="asam", seed=10)
    synthetic.write_all(study, diverging=dict.fromkeys(lost, 5))
    synthetic.write_sensing(study)
    compute(study.problems["neuron"])
    write_artifacts(study)
    write_report(study)


def write_artifacts(study: Study) -> None:
    """Write everything that the report shows."""
    write_runs(study)
    write_claims(study)
    for artifact in study.artifacts.values():
        artifact.write(study)

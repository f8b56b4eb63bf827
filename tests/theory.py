"""A project in which Part II of the smoke scale is complete; its problems are computed once, then copied for each test."""

import atexit
import contextlib
import functools
import shutil
import tempfile
from pathlib import Path

import synthetic

from sharpness.compute import compute
from sharpness.study import Study, load_study


def project(folder: Path) -> Study:
    """Copy the project to a folder that the test then changes to, and load its study with Part II."""
    shutil.copytree(_built(), folder, dirs_exist_ok=True)
    return load_study("smoke", folder, theory=True)


def jobs(study: Study) -> list:
    """The jobs of Part II."""
    return [study.problems[name] for section in study.theory for name in study.sections[section]]


@functools.cache
def _built() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sharpness-"))
    atexit.register(shutil.rmtree, folder)
    synthetic.project(folder)
    study = load_study("smoke", folder, theory=True)
    with contextlib.chdir(folder):
        for job in jobs(study):
            compute(job)
    return folder

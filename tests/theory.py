"""A project in which Part II of the smoke scale is complete; computed once, then copied for each test."""

import atexit
import contextlib
import functools
import shutil
import tempfile
from pathlib import Path

import finished
import synthetic

from sharpness.compute import compute
from sharpness.evidence.claims import write_claims
from sharpness.evidence.report import write_report
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


def report(folder: Path) -> Study:
    """Copy a project whose report has Part II, and load its study."""
    shutil.copytree(_reported(), folder, dirs_exist_ok=True)
    return load_study("smoke", folder)


@functools.cache
def _reported() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="sharpness-"))
    atexit.register(shutil.rmtree, folder)
    finished.project(folder)
    shutil.copytree(_built() / "results", folder / "results", dirs_exist_ok=True)
    study = load_study("smoke", folder, theory=True)
    with contextlib.chdir(folder):
        for artifact in study.artifacts.values():
            if artifact.section in study.theory:
                artifact.write(study)
        write_claims(study)
        write_report(study)
    return folder

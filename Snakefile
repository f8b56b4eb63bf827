# The whole study on one screen: train every run, compute the toy problems, tabulate, draw, judge, report.
#
#   snakemake --cores all                          everything at the default scale
#   snakemake --cores all --config scale=smoke     everything at another scale
#   snakemake --cores all figure3                  one artifact and what it needs
#   snakemake --cores all theory                   Part II, theory beside experiment

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError

# Where this file is: not the working directory if another workflow imports it.
ROOT = os.path.abspath(workflow.current_basedir)
sys.path.insert(0, os.path.join(ROOT, "src"))

from sharpness import paths
from sharpness.errors import UserError
from sharpness.evidence.intact import set_aside
from sharpness.evidence.publish.records import files_of_others
from sharpness.fit import check_device
from sharpness.progress import AT_WORK, PATIENCE
from sharpness.scales import scale_file, scale_files
from sharpness.config import check_config, load_config, put_over
from sharpness.source import environment
from sharpness.study import load_study

# Jobs run under the interpreter that runs Snakemake, with the package as it is in src/. The configuration is read here
# rather than by `configfile:`, which does not say in which line a file is broken.
try:
    os.environ.update(environment())
    config.update(put_over(load_config(), config))
    check_config(config)
    STUDY = load_study(config["scale"], theory=True)
    check_device(config["device"], STUDY.settings, scale_file(STUDY.scale))
except UserError as error:
    raise WorkflowError(str(error)) from None

SCALE = STUDY.scale
# What `all` makes and the report shows: with Part II if that is asked for, or there already.
SHOWN = STUDY if config.get("theory") or STUDY.has_theory() else STUDY.without_theory()
PART_TWO = "--theory" if SHOWN is STUDY else "--no-theory"

# One Snakemake at a time. Its own lock outlives it when it is killed, so the profile turns that off; the operating
# system frees this one.
RUNNING = FileLock(AT_WORK)

# While another one is running, files that do not fit each other are only not finished.
with suppress(OSError, Timeout):
    AT_WORK.parent.mkdir(exist_ok=True)
    if workflow.is_main_process:
        with RUNNING.acquire(blocking=False):
            set_aside(SHOWN)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    owner="|".join({re.escape(job.scale) for job in STUDY.runs.values()}),
    run_id="|".join(map(re.escape, STUDY.runs)),
    problem_id="|".join(re.escape(job.id) for job in STUDY.problems.values()),
    table="|".join(name for name in STUDY.artifacts if name.startswith("table")),
    figure="|".join(name for name in STUDY.artifacts if not name.startswith("table")),


onstart:
    if workflow.non_local_exec and re.search(r"\s", sys.executable):
        raise WorkflowError(
            f"a cluster's jobs can't start {sys.executable}: Snakemake writes it into their scripts without quotes; "
            "move the project to a path without a space"
        )
    try:
        RUNNING.acquire(timeout=PATIENCE)
    except Timeout:
        raise WorkflowError(
            f"another snakemake or `sharpness work` is running in {os.getcwd()}; wait for it, or stop it"
        ) from None


rule all:
    default_target: True
    input:
        [job.files for job in SHOWN.jobs.values()],
        [artifact.files(SCALE) for artifact in SHOWN.artifacts.values()],
        paths.runs(SCALE),
        paths.claims(SCALE),
        paths.report(SCALE),
        paths.manifest(SCALE),
        paths.config(SCALE),


rule theory:
    input:
        [
            artifact.files(SCALE)
            for artifact in STUDY.artifacts.values()
            if artifact.section in STUDY.theory
        ],
        [
            STUDY.problems[name].files
            for section in STUDY.theory
            for name in STUDY.sections[section]
        ],
    localrule: True


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/problems.smk"
include: "workflow/rules/evidence.smk"
include: "workflow/rules/report.smk"

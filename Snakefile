# The whole study on one screen: train every run, sense the matrices, tabulate, draw, report.
#
#   snakemake --cores all                          everything at the default scale
#   snakemake --cores all --config scale=smoke     everything at another scale
#   snakemake --cores all figure3                  one artifact and what it needs

import os
import re
import sys

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError

# Jobs run under the interpreter that runs Snakemake, with the package as it stands in src/.
SOURCE = os.path.join(workflow.basedir, "src")
os.environ.update(
    PATH=os.pathsep.join([os.path.dirname(sys.executable), *os.get_exec_path()]),
    PYTHONPATH=SOURCE,
)
sys.path.insert(0, SOURCE)

from sharpness import paths
from sharpness.errors import UserError
from sharpness.study import check_config, load_config, load_study

# Read here rather than by `configfile:`, which does not say in which line a file is broken.
try:
    config.update({**load_config(), **config})
    check_config(config)
    STUDY = load_study(config["scale"])
except UserError as error:
    raise WorkflowError(str(error)) from None

SCALE = STUDY.scale


report: "workflow/report/workflow.rst"


wildcard_constraints:
    run_id="|".join(map(re.escape, STUDY.runs)),
    table="table[1-3]",
    figure="figure[1-5]",


# One Snakemake at a time. Its own lock outlives it when it is killed, so the profile turns that off; the operating
# system frees this one.
RUNNING = FileLock(".snakemake/running.lock")


onstart:
    try:
        RUNNING.acquire(blocking=False)
    except Timeout:
        raise WorkflowError(
            f"another snakemake is running in {os.getcwd()}; wait for it, or stop it"
        ) from None


rule all:
    default_target: True
    input:
        [
            paths.run(SCALE, run_id) / file
            for run_id in STUDY.runs
            for file in ("history.csv", "run.json")
        ],
        [paths.artifact_files(SCALE, name) for name in STUDY.artifacts],
        paths.results(SCALE) / "runs.csv",
        paths.results(SCALE) / "claims.csv",
        paths.report_files(SCALE),


include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/problems.smk"
include: "workflow/rules/evidence.smk"
include: "workflow/rules/report.smk"

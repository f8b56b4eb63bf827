# The whole study on one screen: train every run, sense the matrices, tabulate, draw, report.
#
#   snakemake --cores all                          everything at the default scale
#   snakemake --cores all --config scale=smoke     everything at another scale
#   snakemake --cores all figure3                  one artifact and what it needs

import os
import sys

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
from sharpness.study import check_config, load_study, sensing_id


configfile: "config/config.yaml"


try:
    check_config(config)
    STUDY = load_study(config["scale"])
except UserError as error:
    raise WorkflowError(str(error)) from None

SCALE = STUDY.scale


wildcard_constraints:
    run_id="|".join(STUDY.runs),
    table="table[1-3]",
    figure="figure[1-5]",


rule all:
    default_target: True
    input:
        [paths.artifact_files(SCALE, name) for name in STUDY.artifacts],
        paths.results(SCALE) / "runs.csv",


include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/sensing.smk"
include: "workflow/rules/evidence.smk"

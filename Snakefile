# The whole study on one screen: train every run, sense the matrices, tabulate, draw, report.
#
#   snakemake --cores all                          everything at the default scale
#   snakemake --cores all --config scale=smoke     everything at another scale
#   snakemake --cores all figure3                  one artifact and what it needs

import shlex
import sys

from snakemake.exceptions import WorkflowError

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
# The interpreter that runs Snakemake runs the jobs, whether or not its environment is activated.
SHARPNESS = f"{shlex.quote(sys.executable)} -m sharpness"

wildcard_constraints:
    run_id="|".join(STUDY.runs),
    table="table[1-3]",
    figure="figure[1-5]",

localrules: all

rule all:
    input:
        [paths.artifact_files(SCALE, name) for name in STUDY.artifacts],
        paths.results(SCALE) / "runs.csv",
    default_target: True

include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/sensing.smk"
include: "workflow/rules/evidence.smk"

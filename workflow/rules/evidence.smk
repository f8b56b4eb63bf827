# Tables and figures rest on the runs that they show, on their own code and on the configuration; runs.csv on every run.

CONFIGURATION = ["config/study.yaml", f"config/scales/{SCALE}.yaml"]


rule runs:
    input:
        [paths.run(SCALE, run_id) / "history.csv" for run_id in STUDY.runs],
        "src/sharpness/evidence/runs.py",
    output:
        paths.results(SCALE) / "runs.csv",
    log:
        paths.log(SCALE, "runs"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness runs --scale {params.scale} > {log} 2>&1"


rule table:
    input:
        lambda wildcards: paths.sources(STUDY, wildcards.table),
        CONFIGURATION,
        "config/published.yaml",
        "src/sharpness/evidence/tables.py",
        "src/sharpness/evidence/labels.py",
    output:
        paths.table_files(SCALE, "{table}"),
    log:
        paths.log(SCALE, "{table}"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness table {wildcards.table} --scale {params.scale} > {log} 2>&1"


rule figure:
    input:
        lambda wildcards: paths.sources(STUDY, wildcards.figure),
        CONFIGURATION,
        "src/sharpness/evidence/figures.py",
        "src/sharpness/evidence/labels.py",
        "src/sharpness/evidence/style.py",
    output:
        paths.figure_files(SCALE, "{figure}"),
    log:
        paths.log(SCALE, "{figure}"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness figure {wildcards.figure} --scale {params.scale} > {log} 2>&1"


# `snakemake figure3` builds that figure alone.
for name in STUDY.artifacts:

    rule:
        name:
            name
        input:
            paths.artifact_files(SCALE, name),
        localrule: True

# Tables and figures rest on the runs that they show, on their own code and on the configuration; runs.csv on every run.

CONFIGURATION = ["config/study.yaml", f"config/scales/{SCALE}.yaml"]


rule runs:
    input:
        [paths.run(SCALE, run_id) / "history.csv" for run_id in STUDY.runs],
        "src/sharpness/evidence/runs.py",
    output:
        paths.results(SCALE) / "runs.csv",
    shell:
        "{SHARPNESS} runs --scale {SCALE}"


rule table:
    input:
        lambda wildcards: paths.sources(STUDY, wildcards.table),
        CONFIGURATION,
        "config/published.yaml",
        "src/sharpness/evidence/tables.py",
    output:
        paths.table_files(SCALE, "{table}"),
    shell:
        "{SHARPNESS} table {wildcards.table} --scale {SCALE}"


rule figure:
    input:
        lambda wildcards: paths.sources(STUDY, wildcards.figure),
        CONFIGURATION,
        "src/sharpness/evidence/figures.py",
        "src/sharpness/evidence/style.py",
    output:
        paths.figure_files(SCALE, "{figure}"),
    shell:
        "{SHARPNESS} figure {wildcards.figure} --scale {SCALE}"


# `snakemake figure3` builds that figure alone.
for name in STUDY.artifacts:

    rule:
        name:
            name
        localrule: True
        input:
            paths.artifact_files(SCALE, name),

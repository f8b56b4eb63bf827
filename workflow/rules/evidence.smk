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
        "python -m sharpness runs --scale {params.scale:q} > {log:q} 2>&1"


rule table:
    input:
        lambda wildcards: paths.sources(STUDY, wildcards.table),
        CONFIGURATION,
        "config/published.yaml",
        "src/sharpness/evidence/tables.py",
        "src/sharpness/evidence/labels.py",
        "src/sharpness/evidence/runs.py",
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
        "python -m sharpness table {wildcards.table} --scale {params.scale:q} > {log:q} 2>&1"


rule figure:
    input:
        lambda wildcards: paths.sources(STUDY, wildcards.figure),
        CONFIGURATION,
        "src/sharpness/evidence/figures.py",
        "src/sharpness/evidence/labels.py",
        "src/sharpness/evidence/runs.py",
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
        "python -m sharpness figure {wildcards.figure} --scale {params.scale:q} > {log:q} 2>&1"


rule claims:
    input:
        [paths.run(SCALE, run_id) / "history.csv" for run_id in STUDY.runs],
        paths.sensing_files(STUDY),
        paths.neuron_files(STUDY),
        CONFIGURATION,
        "config/claims.yaml",
        "src/sharpness/evidence/claims.py",
        "src/sharpness/evidence/judgement.py",
        "src/sharpness/evidence/runs.py",
    output:
        paths.results(SCALE) / "claims.csv",
    log:
        paths.log(SCALE, "claims"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness claims --scale {params.scale:q} > {log:q} 2>&1"


# `snakemake figure3` builds that figure alone.
for name in STUDY.artifacts:

    rule:
        name:
            name
        input:
            paths.artifact_files(SCALE, name),
        localrule: True

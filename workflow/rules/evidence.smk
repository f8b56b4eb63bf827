# Tables and figures rest on the runs that they show, on their own code and on the configuration; runs.csv on every run.

CONFIGURATION = ["config/study.yaml", f"config/scales/{SCALE}.yaml"]


rule runs:
    input:
        [paths.run(SCALE, run_id) / "history.csv" for run_id in STUDY.runs],
        CONFIGURATION,
        "src/sharpness/evidence/runs.py",
    output:
        report(
            paths.results(SCALE) / "runs.csv",
            caption="../report/runs.rst",
            category="Runs",
            labels={"artifact": "runs", "scale": SCALE},
        ),
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
        report(
            paths.table(SCALE, "{table}", "csv"),
            caption="../report/table.rst",
            category="Tables",
            labels={"artifact": "{table}", "scale": SCALE},
        ),
        paths.table(SCALE, "{table}", "md"),
        paths.table(SCALE, "{table}", "tex"),
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
        report(
            paths.figure(SCALE, "{figure}", "svg"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"artifact": "{figure}", "scale": SCALE},
        ),
        [paths.figure(SCALE, "{figure}", suffix) for suffix in ("pdf", "png", "csv")],
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
        "src/sharpness/evidence/labels.py",
        "src/sharpness/evidence/runs.py",
        "src/sharpness/training/schedule.py",
    output:
        report(
            paths.results(SCALE) / "claims.csv",
            caption="../report/claims.rst",
            category="Findings",
            labels={"artifact": "claims", "scale": SCALE},
        ),
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

# Tables and figures depend on the jobs that they show, on their kind's code and what all kinds share, and on the configuration;
# runs.csv and claims.csv on every job that they collect.


rule runs:
    input:
        [job.data for job in STUDY.runs.values()],
        CONFIGURATION,
        SHARED_CODE,
    output:
        report(
            paths.runs(SCALE),
            caption="../report/runs.rst",
            category="Runs",
            labels={"artifact": "runs", "scale": SCALE},
        ),
        paths.record(paths.runs(SCALE)),
    log:
        paths.log(SCALE, "runs"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        logged("python -m sharpness runs --scale {params.scale:q}")


rule claims:
    input:
        [job.files for job in SHOWN.jobs.values()],
        CONFIGURATION,
        SHARED_CODE,
        JUDGING,
    output:
        report(
            paths.claims(SCALE),
            caption="../report/claims.rst",
            category="Findings",
            labels={"artifact": "claims", "scale": SCALE},
        ),
        paths.record(paths.claims(SCALE)),
    log:
        paths.log(SCALE, "claims"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        theory=PART_TWO,
    shell:
        logged("python -m sharpness claims --scale {params.scale:q} {params.theory}")


rule table:
    input:
        lambda wildcards: artifact_inputs(wildcards.table),
    output:
        report(
            f"results/{SCALE}/tables/{{table}}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"artifact": "{table}", "scale": SCALE},
        ),
        [
            f"results/{SCALE}/tables/{{table}}.{suffix}"
            for suffix in ("md", "tex", "json")
        ],
    log:
        paths.log(SCALE, "{table}"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        title=lambda wildcards: STUDY.artifacts[wildcards.table].title,
    shell:
        logged("python -m sharpness table {wildcards.table} --scale {params.scale:q}")


rule figure:
    input:
        lambda wildcards: artifact_inputs(wildcards.figure),
    output:
        report(
            f"figures/{SCALE}/{{figure}}.svg",
            caption="../report/figure.rst",
            category="Figures",
            labels={"artifact": "{figure}", "scale": SCALE},
        ),
        [
            f"figures/{SCALE}/{{figure}}.{suffix}"
            for suffix in ("pdf", "png", "csv", "json")
        ],
    log:
        paths.log(SCALE, "{figure}"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        title=lambda wildcards: STUDY.artifacts[wildcards.figure].title,
    shell:
        logged("python -m sharpness figure {wildcards.figure} --scale {params.scale:q}")


# `snakemake figure3` builds that figure alone.
for name, artifact in STUDY.artifacts.items():

    rule:
        name:
            name
        input:
            artifact.files(SCALE),
        localrule: True

rule report:
    input:
        [paths.artifact_files(SCALE, name) for name in STUDY.artifacts],
        paths.results(SCALE) / "runs.csv",
        paths.results(SCALE) / "claims.csv",
        "config/published.yaml",
        [
            f"src/sharpness/evidence/{part}.py"
            for part in ("facts", "hover", "manifest", "report", "verify", "wording")
        ],
        [
            f"workflow/report/{part}"
            for part in (
                "report.md",
                "report.html",
                "report.typ",
                "report.css",
                "report.js",
            )
        ],
    output:
        paths.report_files(SCALE),
    log:
        paths.log(SCALE, "report"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness report --scale {params.scale:q} > {log:q} 2>&1"

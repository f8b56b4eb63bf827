# The report depends on the tables, the figures, the verdicts and every job behind them; its templates and its code are its own.


rule report:
    input:
        [artifact.files(SCALE) for artifact in SHOWN.artifacts.values()],
        paths.runs(SCALE),
        paths.record(paths.runs(SCALE)),
        paths.claims(SCALE),
        paths.record(paths.claims(SCALE)),
        CONFIGURATION,
        "config/claims.yaml",
        "config/published.yaml",
        SHARED_CODE,
        code(
            "evidence/report",
            "evidence/publish",
            "evidence/quantities",
            "datasets",
            "problems",
            "optim/geometries",
        ),
        TREE / "src/sharpness/optim/laws.py",
        sorted(
            path
            for path in (TREE / "workflow/report").rglob("*")
            if path.suffix not in ("", ".rst")
        ),
        files_of_others(SCALE),
    output:
        report(
            paths.report(SCALE)[0],
            caption="../report/report.rst",
            category="Report",
            labels={"artifact": "report", "scale": SCALE},
        ),
        paths.report(SCALE)[1:],
        paths.manifest(SCALE),
        paths.config(SCALE),
    log:
        paths.log(SCALE, "report"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        theory=PART_TWO,
    shell:
        logged("python -m sharpness report --scale {params.scale:q} {params.theory}")

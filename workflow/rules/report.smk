# The report rests on the tables, the figures, the verdicts and every run behind them; its template and its code are its own.

from pathlib import Path


rule report:
    input:
        [paths.artifact_files(SCALE, name) for name in STUDY.artifacts],
        paths.results(SCALE) / "runs.csv",
        paths.results(SCALE) / "claims.csv",
        CONFIGURATION,
        "config/claims.yaml",
        "config/published.yaml",
        sorted(Path("src/sharpness/evidence").glob("*.py")),
        sorted(Path("workflow/report").glob("re*")),
    output:
        report(
            paths.results(SCALE) / "report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"artifact": "report", "scale": SCALE},
        ),
        [path for path in paths.report_files(SCALE) if path.suffix != ".html"],
    log:
        paths.log(SCALE, "report"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness report --scale {params.scale:q} > {log:q} 2>&1"

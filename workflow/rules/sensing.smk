rule sense:
    output:
        paths.sensing(SCALE, sensing_id(STUDY.sensing)) / "losses.csv",
        paths.sensing(SCALE, sensing_id(STUDY.sensing)) / "run.json",
    log:
        paths.results(SCALE) / "logs" / "matrix-sensing.log",
    shell:
        "{SHARPNESS} sense --scale {SCALE} > {log} 2>&1"

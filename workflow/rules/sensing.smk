rule sense:
    output:
        paths.sensing(SCALE, sensing_id(STUDY.sensing)) / "losses.csv",
        paths.sensing(SCALE, sensing_id(STUDY.sensing)) / "run.json",
    log:
        paths.log(SCALE, sensing_id(STUDY.sensing)),
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness sense --scale {params.scale} > {log} 2>&1"

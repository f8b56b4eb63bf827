# The training jobs prepare the data set themselves, under a lock. `snakemake data` does it ahead of them, on a machine
# with network access.


rule data:
    log:
        paths.log(SCALE, "data"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
        data_dir=config["data_dir"],
    shell:
        logged(
            "python -m sharpness data --scale {params.scale:q} --data-dir {params.data_dir:q}"
        )

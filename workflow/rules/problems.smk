# A toy problem, like a run, has no input: its settings decide it, and the id in its path holds their hash.


rule compute:
    output:
        f"results/{SCALE}/{{kind}}/{{problem_id}}/data.csv",
        f"results/{SCALE}/{{kind}}/{{problem_id}}/run.json",
    log:
        paths.log(SCALE, "{kind}/{problem_id}"),
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        logged(
            "python -m sharpness compute --scale {params.scale:q} --job {wildcards.problem_id}"
        )

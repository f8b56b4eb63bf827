# A run has no input: nothing but its spec decides it, and the id in its path holds the spec's hash. It is kept where the
# scale that it belongs to has its results.


rule train:
    output:
        "results/{owner}/training/{run_id}/history.csv",
        "results/{owner}/training/{run_id}/run.json",
    log:
        paths.log("{owner}", "{run_id}"),
    conda:
        "../../environment.yml"
    resources:
        gpu=0 if config["device"] == "cpu" else 1,
    params:
        scale=SCALE,
        data_dir=config["data_dir"],
        device=config["device"],
        runs_per_gpu=config["runs_per_gpu"],
        cuda_graph="--cuda-graph" if config["cuda_graph"] else "--no-cuda-graph",
        tracking=config["tracking"],
    shell:
        logged(
            "python -m sharpness train --scale {params.scale:q} --run {wildcards.run_id} --data-dir {params.data_dir:q}"
            " --device {params.device} --runs-per-gpu {params.runs_per_gpu} {params.cuda_graph}"
            " --tracking {params.tracking}"
        )

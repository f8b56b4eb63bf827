# A run has no input: nothing but its spec decides it, and the run_id in its path holds the spec's hash.


rule train:
    output:
        paths.run(SCALE, "{run_id}") / "history.csv",
        paths.run(SCALE, "{run_id}") / "run.json",
    log:
        paths.results(SCALE) / "logs" / "{run_id}.log",
    resources:
        gpu=1,
    shell:
        "{SHARPNESS} train --scale {SCALE} --run {wildcards.run_id} --data-dir {config[data_dir]:q}"
        " --device {config[device]} --runs-per-gpu {config[runs_per_gpu]} > {log} 2>&1"

rule sense:
    output:
        paths.sensing_files(STUDY),
    log:
        paths.log(SCALE, "sense"),
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness sense --scale {params.scale:q} > {log:q} 2>&1"


rule neuron:
    output:
        paths.neuron_files(STUDY),
    log:
        paths.log(SCALE, "neuron"),
    localrule: True
    conda:
        "../../environment.yml"
    params:
        scale=SCALE,
    shell:
        "python -m sharpness neuron --scale {params.scale:q} > {log:q} 2>&1"

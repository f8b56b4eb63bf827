# The training jobs prepare the data set themselves, under a lock. This rule does it ahead of them, on a machine with
# network access.


rule data:
    localrule: True
    shell:
        "{SHARPNESS} data --scale {SCALE} --data-dir {config[data_dir]:q}"

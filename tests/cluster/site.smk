# Jobs that say what they found on a site that is not as Snakemake's plugin expects it.
configfile: "config.yaml"


include: "rules/common.smk"


NUMBERS = range(3)


rule all:
    default_target: True
    input:
        "found/gpu.txt",
        expand("found/many-{number}.txt", number=NUMBERS),


rule on_gpu:
    output:
        "found/gpu.txt",
    resources:
        **nodes_and_gpus(1, 1, SITE),
        mem_mb=500,
        runtime=5,
    shell:
        "scontrol show job $SLURM_JOB_ID > {output};"
        " echo home $HOME cache $XDG_CACHE_HOME tmpdir $CHESTCT_TMPDIR >> {output}"


rule many:
    output:
        "found/many-{number}.txt",
    resources:
        mem_mb=500,
        runtime=5,
    shell:
        "scontrol show job $SLURM_JOB_ID > {output}; echo array ${{SLURM_ARRAY_JOB_ID:-none}} >> {output}"

# Jobs that say what Slurm gave them, with the helpers that the study's rules use.
configfile: "config.yaml"


include: "rules/common.smk"


rule all:
    default_target: True
    input:
        "asked/one.txt",
        "asked/nodes.txt",
        expand("asked/many-{number}.txt", number=range(2)),


rule one:
    output:
        "asked/one.txt",
    resources:
        **needs("predict"),
        **nodes_and_gpus(1, 2, SITE),
    shell:
        "scontrol show job $SLURM_JOB_ID > {output}; echo visible $CUDA_VISIBLE_DEVICES >> {output}"


# Two nodes train together, as the study's jobs do, and one alone does the same.
rule nodes:
    output:
        "asked/nodes.txt",
    resources:
        **needs("finetune"),
        **nodes_and_gpus(2, 0, SITE),
    shell:
        "python train_on_nodes.py {output}"


rule many:
    output:
        "asked/many-{number}.txt",
    resources:
        **needs("sample_subset"),
    shell:
        "echo ${{SLURM_ARRAY_JOB_ID:-none}} > {output}"

# Jobs to which something happens, with the helpers that the study's rules use.
configfile: "config.yaml"


include: "rules/common.smk"


from chestct.jobs.resource_requests import growing

NAMES = ["memory", "time", "cancelled", "preempted", "node"]


wildcard_constraints:
    name="|".join(NAMES),


rule all:
    default_target: True
    input:
        expand("faults/{name}.txt", name=NAMES),
        "faults/never.txt",


# Holds 450 MB, asks for 500 first, and Snakemake in the job has 150 itself. Slurm looks every second, if it can.
rule memory:
    output:
        "faults/memory.txt",
    resources:
        mem_mb=growing(500),
        runtime=5,
        slurm_partition="troubled",
        slurm_extra="'--nodelist=n3'",
    shell:
        "python -c 'import time; held = bytearray(450_000_000); time.sleep(15)' && echo {resources.mem_mb} > {output}"


# Sleeps too long at first, when it has a minute.
rule time:
    output:
        "faults/time.txt",
    resources:
        mem_mb=500,
        runtime=growing(1),
        slurm_partition="troubled",
        slurm_extra="'--nodelist=n3'",
    shell:
        "touch {output}; sleep $((580 - 290 * {resources.runtime})); echo {resources.runtime} > {output}"


# The first start waits to be ended; the next one succeeds, with the number of starts.
rule wait_for_fault:
    output:
        "faults/{name}.txt",
    resources:
        mem_mb=500,
        runtime=5,
        gpu=lambda wildcards: 2 * (wildcards.name == "preempted"),
        slurm_partition="troubled",
        slurm_extra=lambda wildcards: "--nodelist=n4" if wildcards.name == "node" else "--nodelist=n3",
    shell:
        "echo $SLURM_JOB_ID >> {wildcards.name}.started;"
        " [ $(wc -l < {wildcards.name}.started) -gt 1 ] || sleep 300; wc -l < {wildcards.name}.started > {output}"


rule always_fails:
    output:
        "faults/never.txt",
    resources:
        mem_mb=500,
        runtime=5,
        slurm_partition="troubled",
        slurm_extra="'--nodelist=n3'",
    shell:
        "echo $SLURM_JOB_ID >> never.started; exit 1"

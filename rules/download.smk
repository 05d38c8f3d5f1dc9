# A source to DICOM series on disk, a series table, label tables and weight files.

# How files are transferred is a resource: it changes no output, so that a change of it reruns nothing,
# and `--resources connections=16` bounds the transfers of all jobs together.
TRANSFER = {
    "connections": config["download"]["parallel"],
    "attempts": config["download"]["attempts"],
    "reserve_mb": round(1000 * config["download"]["reserve_gb"]),
}


checkpoint list_series:
    input:
        source=label_source,
    output:
        series=f"{DATA}/{{dataset}}/series.csv",
        left_out=f"{DATA}/{{dataset}}/left_out.csv",
        manifest=f"{DATA}/{{dataset}}/manifest.json",
    log:
        f"{RESULTS}/logs/list_series/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_series/{{dataset}}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        **TRANSFER,
        mem_mb=4000,
        runtime=60,
    params:
        entry=download_entry,
        root=lambda wildcards: f"{DATA}/{wildcards.dataset}",
        shard_size=config["download"]["shard_size"],
        code=code("download"),
    script:
        "../workflow_scripts/list_series.py"


rule download_series:
    input:
        series=f"{DATA}/{{dataset}}/series.csv",
    output:
        shard=f"{DATA}/{{dataset}}/shards/shard-{{shard}}.csv",
    log:
        f"{RESULTS}/logs/download_series/{{dataset}}-{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/download_series/{{dataset}}-{{shard}}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        **TRANSFER,
        mem_mb=1000,
        runtime=240,
    params:
        entry=download_entry,
        root=lambda wildcards: f"{DATA}/{wildcards.dataset}",
        code=code("download"),
    script:
        "../workflow_scripts/download_series.py"


rule extract_labels:
    input:
        series=f"{DATA}/{{dataset}}/series.csv",
        shards=lambda wildcards: [
            f"{DATA}/{wildcards.dataset}/shards/shard-{shard}.csv"
            for shard in shard_numbers(wildcards.dataset)
        ],
        source=label_source,
    output:
        labels=f"{DATA}/{{dataset}}/labels.csv",
        slice_labels=f"{DATA}/{{dataset}}/slice_labels.parquet",
    log:
        f"{RESULTS}/logs/extract_labels/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract_labels/{{dataset}}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        entry=download_entry,
        root=lambda wildcards: f"{DATA}/{wildcards.dataset}",
        code=code("download"),
    script:
        "../workflow_scripts/extract_labels.py"


rule download_weights:
    output:
        weights=f"{DATA}/weights/{{weights_id}}.weights",
    log:
        f"{RESULTS}/logs/download_weights/{{weights_id}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/download_weights/{{weights_id}}.tsv"
    wildcard_constraints:
        weights_id="|".join(weights_table()),
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        weights=lambda wildcards: weights_row(wildcards.weights_id),
        # Of this step weights.py alone: new phantoms are no reason to fetch weights again.
        code=digest_files([PACKAGE_DIR / "download" / "weights.py"]),
    script:
        "../workflow_scripts/download_weights.py"

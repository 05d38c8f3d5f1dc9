# From a source: DICOM series on disk, a table of series, tables of labels; and published weights.

from chestct.check_configuration import source_entry
from chestct.download.weights_table import file_facts, weights_row, weights_table

# How files are transferred is a resource and no parameter: it changes no output, and so reruns nothing.
# `--resources connections=16` bounds the transfers of all jobs together.
TRANSFER = {
    "connections": config["download"]["parallel"],
    "attempts": config["download"]["attempts"],
    "reserve_mb": round(1000 * config["download"]["reserve_gb"]),
    "limit_wait_min": config["download"].get("limit_wait_min", 120),
    **partition("download", SITE),
}

MANIFESTS = expand(f"{DATA}/{{dataset}}/manifest.json", dataset=DATASETS)
# Published weights that the study starts from: row of the weights table, and file.
STUDY_WEIGHTS = [
    (weights_row(weights_id), f"{DATA}/weights/{weights_id}.weights")
    for weights_id in run_grid.iter_weights_ids(config)
]
# The module of every dataset's source, which the scripts of this step import by its name.
SOURCE_MODULES = {name: f"chestct.download.sources.{entry['source']}" for name, entry in DATASETS.items()}


checkpoint list_series:
    input:
        source=label_source,
        shared=shared_with(f"{DATA}/{{base}}/series.csv"),
    output:
        series=f"{DATA}/{{dataset}}/series.csv",
        left_out=f"{DATA}/{{dataset}}/left_out.csv",
        manifest=f"{DATA}/{{dataset}}/manifest.json",
    log:
        f"{RESULTS}/logs/list_series/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_series/{{dataset}}.tsv"
    localrule: True
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        **TRANSFER,
        **needs("list_series"),
    params:
        entry=lambda wildcards: source_entry(dataset_entry(wildcards)),
        shard_size=config["download"]["shard_size"],
        code=lambda wildcards: code_of("list_series", SOURCE_MODULES[wildcards.dataset]),
    script:
        "../workflow_scripts/list_series.py"


rule download_series:
    input:
        series=f"{DATA}/{{dataset}}/series.csv",
        shared=shared_with(f"{DATA}/{{base}}/shards/shard-{{shard}}.csv"),
        source=checked_by,
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
        **needs("download_series"),
    params:
        entry=lambda wildcards: source_entry(dataset_entry(wildcards)),
        files=version_of_files,
        code=lambda wildcards: code_of("download_series", SOURCE_MODULES[wildcards.dataset]),
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
        findings=f"{DATA}/{{dataset}}/findings.csv",
    log:
        f"{RESULTS}/logs/extract_labels/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract_labels/{{dataset}}.tsv"
    conda:
        "../envs/download.yaml"
    threads: 1
    resources:
        **needs("extract_labels"),
    params:
        entry=lambda wildcards: source_entry(dataset_entry(wildcards), labels=True),
        code=lambda wildcards: code_of("extract_labels", SOURCE_MODULES[wildcards.dataset]),
    script:
        "../workflow_scripts/extract_labels.py"


rule download_weights:
    output:
        # Not deleted before a rerun: a right file stays, which may be hard to get again.
        weights=update(f"{DATA}/weights/{{weights_id}}.weights"),
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
        **TRANSFER,
        **needs("download_weights"),
        weights_folders=os.pathsep.join(config["download"].get("weights_folders", [])),
    params:
        weights=lambda wildcards: file_facts(weights_row(wildcards.weights_id)),
        code=lambda wildcards: code_of("download_weights"),
    script:
        "../workflow_scripts/download_weights.py"


rule write_data_manifest:
    input:
        manifests=MANIFESTS,
        weights=[path for _, path in STUDY_WEIGHTS],
    output:
        manifest=f"{RESULTS}/download/data_manifest.json",
    log:
        f"{RESULTS}/logs/write_data_manifest.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_data_manifest.tsv"
    localrule: True
    conda:
        "../envs/download.yaml"
    resources:
        **needs("write_data_manifest"),
    params:
        study=STUDY,
        weights=[row for row, _ in STUDY_WEIGHTS],
        code=lambda wildcards: code_of("write_data_manifest"),
    script:
        "../workflow_scripts/write_data_manifest.py"


rule write_citations:
    input:
        manifests=MANIFESTS,
    output:
        citations=f"{RESULTS}/download/citations.md",
    log:
        f"{RESULTS}/logs/write_citations.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_citations.tsv"
    localrule: True
    conda:
        "../envs/download.yaml"
    resources:
        **needs("write_citations"),
    params:
        weights=[row for row, _ in STUDY_WEIGHTS],
        code=lambda wildcards: code_of("write_citations"),
    script:
        "../workflow_scripts/write_citations.py"


rule write_download_plan:
    input:
        manifests=MANIFESTS,
    output:
        plan=f"{RESULTS}/download/plan.txt",
    log:
        f"{RESULTS}/logs/write_download_plan.log",
    benchmark:
        f"{RESULTS}/benchmarks/write_download_plan.tsv"
    localrule: True
    conda:
        "../envs/download.yaml"
    resources:
        **TRANSFER,
        **needs("write_download_plan"),
    params:
        weights=STUDY_WEIGHTS,
        size_px=config["volumes"]["size_px"],
        code=lambda wildcards: code_of("write_download_plan"),
    script:
        "../workflow_scripts/write_download_plan.py"


# Ends of the download step for people: snakemake plan_download, cite_data, download_all.


rule plan_download:
    input:
        plan=f"{RESULTS}/download/plan.txt",
    log:
        f"{RESULTS}/logs/plan_download.log",
    localrule: True
    conda:
        "../envs/download.yaml"
    shell:
        "tee {log} < {input.plan}"


rule cite_data:
    input:
        citations=f"{RESULTS}/download/citations.md",
    log:
        f"{RESULTS}/logs/cite_data.log",
    localrule: True
    conda:
        "../envs/download.yaml"
    shell:
        "tee {log} < {input.citations}"


rule download_all:
    input:
        f"{RESULTS}/download/data_manifest.json",
        expand(f"{DATA}/{{dataset}}/labels.csv", dataset=DATASETS),
    localrule: True

# DICOM series (or volume files) to HU volumes, one job per shard.

from chestct.dataset_entries import file_intensity_of

VOLUMES = f"{RESULTS}/volumes"
# Files of a shard, by suffix, beside its store.
SHARD_TABLES = {
    "index": "index.csv",
    "slices": "slices.parquet",
    "ledger": "ledger.csv",
    "acquisition": "acquisition.csv",
}


rule convert_series:
    input:
        **{f"shared_{name}": shared_volumes(suffix) for name, suffix in SHARD_TABLES.items()},
        series=f"{DATA}/{{dataset}}/series.csv",
        obtained=f"{DATA}/{{dataset}}/shards/shard-{{shard}}.csv",
        shared_store=ancient(shared_volumes("h5")),
    output:
        store=f"{VOLUMES}/{{dataset}}/shard-{{shard}}.h5",
        index=f"{VOLUMES}/{{dataset}}/shard-{{shard}}.index.csv",
        slices=f"{VOLUMES}/{{dataset}}/shard-{{shard}}.slices.parquet",
        ledger=f"{VOLUMES}/{{dataset}}/shard-{{shard}}.ledger.csv",
        acquisition=f"{VOLUMES}/{{dataset}}/shard-{{shard}}.acquisition.csv",
    log:
        f"{RESULTS}/logs/convert_series/{{dataset}}-{{shard}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/convert_series/{{dataset}}-{{shard}}.tsv"
    conda:
        "../envs/volumes.yaml"
    threads: 1
    resources:
        **needs("convert_series"),
    params:
        size_px=config["volumes"]["size_px"],
        spacing_z_mm=lambda wildcards: dataset_entry(wildcards).get("spacing_z_mm"),
        num_slices=lambda wildcards: dataset_entry(wildcards).get("num_slices"),
        intensity=lambda wildcards: file_intensity_of(dataset_entry(wildcards)),
        accept=lambda wildcards: sorted(dataset_entry(wildcards).get("accept", [])),
        code=lambda wildcards: code_of("convert_series"),
    script:
        "../workflow_scripts/convert_series.py"


rule combine_volumes:
    input:
        index=shard_files("index.csv"),
        slices=shard_files("slices.parquet"),
        ledger=shard_files("ledger.csv"),
        acquisition=shard_files("acquisition.csv"),
        stores=ancient(shard_files("h5")),
    output:
        index=f"{VOLUMES}/{{dataset}}/index.csv",
        slices=f"{VOLUMES}/{{dataset}}/slices.parquet",
        ledger=f"{VOLUMES}/{{dataset}}/ledger.csv",
        acquisition=f"{VOLUMES}/{{dataset}}/acquisition.csv",
    log:
        f"{RESULTS}/logs/combine_volumes/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/combine_volumes/{{dataset}}.tsv"
    conda:
        "../envs/volumes.yaml"
    resources:
        **needs("combine_volumes"),
    params:
        max_refused_percent=config["volumes"]["max_refused_percent"],
        on_duplicates=lambda wildcards: dataset_entry(wildcards).get("duplicates", "stop"),
        code=lambda wildcards: code_of("combine_volumes"),
    script:
        "../workflow_scripts/combine_volumes.py"


rule draw_thumbnails:
    input:
        series=f"{DATA}/{{dataset}}/series.csv",
        index=f"{VOLUMES}/{{dataset}}/index.csv",
        ledger=f"{VOLUMES}/{{dataset}}/ledger.csv",
        stores=ancient(shard_files("h5")),
    output:
        thumbnails=f"{VOLUMES}/{{dataset}}/thumbnails.csv",
    log:
        f"{RESULTS}/logs/draw_thumbnails/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_thumbnails/{{dataset}}.tsv"
    conda:
        "../envs/volumes.yaml"
    resources:
        **needs("draw_thumbnails"),
    params:
        display_window_hu=lambda wildcards: dataset_entry(wildcards)["display_window_hu"],
        burned_in_annotation=lambda wildcards: pictures.of_dataset(dataset_entry(wildcards)),
        num_tiles=12,
        seed=0,
        code=lambda wildcards: code_of("draw_thumbnails"),
    script:
        "../workflow_scripts/draw_thumbnails.py"

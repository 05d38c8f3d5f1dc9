# Pretraining, fine-tuning, prediction. rules/jobs.smk says how runs become jobs.


include: "jobs.smk"
include: "selection.smk"


rule pretrain:
    output:
        weights=f"{TRAINING}/pretraining/{{model}}/video/weights.safetensors",
        history=f"{TRAINING}/pretraining/{{model}}/video/history.csv",
    log:
        f"{RESULTS}/logs/pretrain/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain/{{model}}.tsv"
    conda:
        "../envs/training.yaml"
    threads: config["training"]["threads"]
    resources:
        **training_needs("pretrain"),
    params:
        settings=lambda wildcards: asdict(configuration.training_settings(config, wildcards.model)),
        catalogue=lambda wildcards: catalogue_entry(wildcards.model),
        pretraining=config["training"]["pretraining"],
        window_slices=config["subsets"]["window_slices"],
        gpus=config["training"]["gpus"],
        code=code("training", "models"),
    script:
        "../workflow_scripts/pretrain.py"


for job in finetune_jobs():

    rule:
        name:
            job.name
        input:
            **training_inputs(job),
            choices=of(job, choices_of),
        output:
            **job.outputs(),
        log:
            f"{RESULTS}/logs/finetune/{job.label}.log",
        benchmark:
            f"{RESULTS}/benchmarks/finetune/{job.label}.tsv"
        priority: job.priority
        conda:
            "../envs/training.yaml"
        threads: config["training"]["threads"]
        resources:
            **training_needs("finetune"),
        params:
            **training_params(job, run_specs),
        script:
            "../workflow_scripts/finetune.py"


rule predict:
    input:
        weights=lambda wildcards: [
            f"{run_folder(run)}/weights.safetensors" for run in RUNS_OF[wildcards.dataset, wildcards.model]
        ],
        index=f"{RESULTS}/volumes/{{dataset}}/index.csv",
        windows=f"{RESULTS}/subsets/{{dataset}}/windows.parquet",
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
    output:
        predictions=f"{TRAINING}/{{dataset}}/{{model}}/predictions.csv",
    log:
        f"{RESULTS}/logs/predict/{{dataset}}-{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/{{dataset}}-{{model}}.tsv"
    conda:
        "../envs/training.yaml"
    threads: config["training"]["threads"]
    resources:
        **training_needs("predict", nodes=1, gpus=min(1, config["training"]["gpus"])),
    params:
        runs=lambda wildcards: [run.asdict() for run in RUNS_OF[wildcards.dataset, wildcards.model]],
        settings=lambda wildcards: asdict(configuration.training_settings(config, wildcards.model)),
        catalogue=lambda wildcards: catalogue_entry(wildcards.model),
        display_window_hu=lambda wildcards: dataset_entry(wildcards)["display_window_hu"],
        window_slices=config["subsets"]["window_slices"],
        num_workers=config["training"]["num_workers"],
        gpus=config["training"]["gpus"],
        code=code("training", "models"),
    script:
        "../workflow_scripts/predict.py"


rule collect_runs:
    input:
        records=[f"{run_folder(run)}/run.csv" for run in RUNS],
    output:
        runs=f"{TRAINING}/runs.csv",
    log:
        f"{RESULTS}/logs/collect_runs.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_runs.tsv"
    localrule: True
    conda:
        "../envs/training.yaml"
    resources:
        **needs("collect_runs"),
    params:
        code=code("training"),
    script:
        "../workflow_scripts/collect_runs.py"


rule collect_histories:
    input:
        records=[f"{run_folder(run)}/run.csv" for run in RUNS],
        histories=[f"{run_folder(run)}/history.csv" for run in RUNS],
    output:
        histories=f"{TRAINING}/histories.csv",
    log:
        f"{RESULTS}/logs/collect_histories.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_histories.tsv"
    localrule: True
    conda:
        "../envs/training.yaml"
    resources:
        **needs("collect_histories"),
    params:
        code=code("training"),
    script:
        "../workflow_scripts/collect_histories.py"

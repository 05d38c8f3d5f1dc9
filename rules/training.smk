# Pretraining, fine-tuning and prediction. rules/probes.smk holds frozen probes, rules/selection.smk the search for
# learning rates.

from chestct.catalogue import LONGER
from chestct.jobs.starting_weights import starting_weights
from chestct.run import RUN_FILES, RUN_FOLDER, Run

TRAINING = f"{RESULTS}/training"
ARM = f"{TRAINING}/{{dataset}}/{{model}}/{{init}}"
RUN = f"{TRAINING}/{RUN_FOLDER}"

# Learning rates that every arm tries, as they are written in paths; none: the configured rate is taken.
RATES = {repr(float(rate)): float(rate) for rate in config["training"]["learning_rates"]}
TRIALS = [f"{TRAINING}/trials.csv"] if RATES else []

SETTINGS = {model: asdict(run_grid.training_settings(config, model)) for model in MODELS}
CATALOGUE_ENTRIES = {model: asdict(CATALOGUE[model]) for model in MODELS}
# Slices that a model sees at once.
SLICES_SEEN = {model: window_forms.slices_seen(config["subsets"], model) for model in MODELS}
# The module of every model, which the scripts of this step import by its name.
MODEL_MODULES = {model: f"chestct.models.{CATALOGUE[model].module}" for model in MODELS}
TRAINING_MACHINES = nodes_and_gpus(config["training"]["nodes"], config["training"]["gpus"], SITE)
# Processes that read windows beside the one that trains or scores.
READERS = config["training"]["num_workers"]


initial_of = cache(partial(starting_weights, config, training=TRAINING))
# What other runs start from is trained first, then full-size models and longer runs: none runs alone at the end.
STARTS_OF_OTHERS = {initial_of(run)["path"] for run in RUNS}
PRIORITIES = {
    run: 2 * (f"{TRAINING}/{run.folder}/weights.safetensors" in STARTS_OF_OTHERS)
    + (bool(CATALOGUE[run.model].weights) or run.init in LONGER)
    for run in RUNS
}
RUNS_OF = {(dataset, model): [] for dataset in DATASETS for model in MODELS}
for run in RUNS:
    RUNS_OF[run.dataset, run.model].append(run)
# Test sets and models with scores.
SCORED = [
    (name, model)
    for name, dataset in [*zip(TRAINED, TRAINED), *((one.name, one.trained) for one in OUTSIDE.values())]
    for model in MODELS
    if RUNS_OF[dataset, model]
]
# Models whose networks are trained, and frozen probes, of which heads alone are fitted; "(?!)" matches nothing.
NETWORKS = "|".join(model for model in MODELS if not CATALOGUE[model].frozen) or "(?!)"
PROBES = "|".join(model for model in MODELS if CATALOGUE[model].frozen) or "(?!)"


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
        **needs("pretrain", readers=READERS),
        **TRAINING_MACHINES,
    params:
        settings=lambda wildcards: SETTINGS[wildcards.model],
        catalogue=lambda wildcards: CATALOGUE_ENTRIES[wildcards.model],
        pretraining=config["training"]["pretraining"],
        window_slices=lambda wildcards: SLICES_SEEN[wildcards.model],
        gpus=config["training"]["gpus"],
        code=lambda wildcards: code_of("pretrain", MODEL_MODULES[wildcards.model]),
    script:
        "../workflow_scripts/pretrain.py"


rule finetune:
    input:
        index=f"{RESULTS}/volumes/{{dataset}}/index.csv",
        windows=window_table,
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
        subset=f"{RESULTS}/subsets/{{dataset}}/percent-{{percent}}/seed-{{seed}}/subset.csv",
        initial=lambda wildcards: initial_of(Run.of(wildcards))["path"] or [],
        choices=chosen_rate_of,
    output:
        **{name: f"{RUN}/{file}" for name, file in RUN_FILES.items()},
    log:
        f"{RESULTS}/logs/finetune/{{dataset}}/{{model}}/{{init}}-{{percent}}-{{seed}}-{{fold}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/finetune/{{dataset}}/{{model}}/{{init}}-{{percent}}-{{seed}}-{{fold}}.tsv"
    wildcard_constraints:
        model=NETWORKS,
    priority: lambda wildcards: PRIORITIES[Run.of(wildcards)]
    conda:
        "../envs/training.yaml"
    threads: config["training"]["threads"]
    resources:
        **needs("finetune", readers=READERS),
        **TRAINING_MACHINES,
    params:
        run=lambda wildcards: asdict(Run.of(wildcards)),
        initial=lambda wildcards: initial_of(Run.of(wildcards)),
        settings=settings_of,
        catalogue=lambda wildcards: CATALOGUE_ENTRIES[wildcards.model],
        display_window_hu=lambda wildcards: dataset_entry(wildcards)["display_window_hu"],
        intensity=lambda wildcards: intensity_of(dataset_entry(wildcards)),
        window_slices=lambda wildcards: SLICES_SEEN[wildcards.model],
        conversion=lambda wildcards: conversion_facts(config, Run.of(wildcards)),
        training_data=lambda wildcards: data_facts(config, Run.of(wildcards)),
        num_workers=config["training"]["num_workers"],
        gpus=config["training"]["gpus"],
        code=lambda wildcards: code_of("finetune", MODEL_MODULES[wildcards.model]),
    script:
        "../workflow_scripts/finetune.py"


rule predict:
    input:
        weights=lambda wildcards: [
            f"{TRAINING}/{run.folder}/weights.safetensors"
            for run in RUNS_OF[wildcards.dataset, wildcards.model]
        ],
        index=f"{RESULTS}/volumes/{{dataset}}/index.csv",
        windows=window_table,
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
    output:
        predictions=f"{TRAINING}/{{dataset}}/{{model}}/predictions.csv",
        window_scores=f"{TRAINING}/{{dataset}}/{{model}}/window_scores.parquet",
    log:
        f"{RESULTS}/logs/predict/{{dataset}}-{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict/{{dataset}}-{{model}}.tsv"
    wildcard_constraints:
        model=NETWORKS,
    conda:
        "../envs/training.yaml"
    threads: config["training"]["threads"]
    resources:
        **needs("predict", readers=READERS),
        **nodes_and_gpus(1, min(1, config["training"]["gpus"]), SITE),
    params:
        runs=lambda wildcards: [asdict(run) for run in RUNS_OF[wildcards.dataset, wildcards.model]],
        settings=lambda wildcards: SETTINGS[wildcards.model],
        catalogue=lambda wildcards: CATALOGUE_ENTRIES[wildcards.model],
        display_window_hu=lambda wildcards: dataset_entry(wildcards)["display_window_hu"],
        intensity=lambda wildcards: intensity_of(dataset_entry(wildcards)),
        window_slices=lambda wildcards: SLICES_SEEN[wildcards.model],
        num_workers=config["training"]["num_workers"],
        gpus=config["training"]["gpus"],
        code=lambda wildcards: code_of("predict", MODEL_MODULES[wildcards.model]),
    script:
        "../workflow_scripts/predict.py"


if OUTSIDE:

    rule predict_outside:
        input:
            weights=lambda wildcards: [
                f"{TRAINING}/{run.folder}/weights.safetensors" for run in tested_runs(wildcards)
            ],
            index=lambda wildcards: f"{RESULTS}/volumes/{OUTSIDE[wildcards.outside].tested}/index.csv",
            windows=lambda wildcards: window_table_of(OUTSIDE[wildcards.outside].tested, wildcards.model),
            splits=f"{RESULTS}/subsets/{{outside}}/splits.csv",
            own=lambda wildcards: (
                f"{TRAINING}/{OUTSIDE[wildcards.outside].trained}/{wildcards.model}/predictions.csv"
            ),
        output:
            predictions=f"{TRAINING}/{{outside}}/{{model}}/predictions.csv",
            window_scores=f"{TRAINING}/{{outside}}/{{model}}/window_scores.parquet",
        log:
            f"{RESULTS}/logs/predict_outside/{{outside}}-{{model}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/predict_outside/{{outside}}-{{model}}.tsv"
        wildcard_constraints:
            model=NETWORKS,
        conda:
            "../envs/training.yaml"
        threads: config["training"]["threads"]
        resources:
            **needs("predict_outside", readers=READERS),
            **nodes_and_gpus(1, min(1, config["training"]["gpus"]), SITE),
        params:
            runs=lambda wildcards: [asdict(run) for run in tested_runs(wildcards)],
            settings=lambda wildcards: SETTINGS[wildcards.model],
            catalogue=lambda wildcards: CATALOGUE_ENTRIES[wildcards.model],
            # Scans are shown as those that the models were trained on.
            display_window_hu=lambda wildcards: DATASETS[OUTSIDE[wildcards.outside].trained][
                "display_window_hu"
            ],
            intensity=lambda wildcards: intensity_of(DATASETS[OUTSIDE[wildcards.outside].tested]),
            window_slices=lambda wildcards: SLICES_SEEN[wildcards.model],
            num_workers=config["training"]["num_workers"],
            gpus=config["training"]["gpus"],
            code=lambda wildcards: code_of("predict", MODEL_MODULES[wildcards.model]),
        script:
            "../workflow_scripts/predict.py"


rule collect_runs:
    input:
        records=[f"{TRAINING}/{run.folder}/run.csv" for run in RUNS],
        histories=[f"{TRAINING}/{run.folder}/history.csv" for run in RUNS],
    output:
        runs=f"{TRAINING}/runs.csv",
        histories=f"{TRAINING}/histories.csv",
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
        code=lambda wildcards: code_of("collect_runs"),
    script:
        "../workflow_scripts/collect_runs.py"

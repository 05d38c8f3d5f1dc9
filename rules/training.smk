# Pretraining, fine-tuning and prediction. rules/selection.smk holds the search for learning rates.

TRAINING = f"{RESULTS}/training"
ARM = f"{TRAINING}/{{dataset}}/{{model}}/{{init}}"
RUN = f"{TRAINING}/{configuration.RUN_FOLDER}"

# Learning rates that every arm tries, as they are written in paths; none: the configured rate is taken.
RATES = {repr(float(rate)): float(rate) for rate in config["training"]["learning_rates"]}
TRIALS = [f"{TRAINING}/trials.csv"] if RATES else []

SETTINGS = {model: asdict(configuration.training_settings(config, model)) for model in MODELS}
CATALOGUE_ENTRIES = {model: asdict(CATALOGUE[model]) for model in MODELS}
TRAINING_MACHINES = nodes_and_gpus(config["training"]["nodes"], config["training"]["gpus"], SITE)
# Processes that read windows beside the one that trains or scores.
READERS = config["training"]["num_workers"]


def run_files(folder):
    """What the training of a run leaves in its folder."""
    return {
        "weights": f"{folder}/weights.safetensors",
        "history": f"{folder}/history.csv",
        "record": f"{folder}/run.csv",
        "resolved": f"{folder}/config.yaml",
    }


def runs_of(wildcards):
    """All runs of a model on a dataset."""
    return [run for run in RUNS if (run.dataset, run.model) == (wildcards.dataset, wildcards.model)]


def run_of(wildcards):
    """The run that is trained with a job's wildcards."""
    numbers = {name: int(wildcards[name]) for name in ("percent", "seed", "fold")}
    return configuration.Run(dataset=wildcards.dataset, model=wildcards.model, init=wildcards.init, **numbers)


def code_with_model(script):
    """Parameter: digest of a script's code together with that of its model."""
    return lambda wildcards: code_of(script, f"chestct.models.{CATALOGUE[wildcards.model].module}")


@cache
def initial_of(run):
    """The starting weights of a run."""
    return starting_weights(config, run, training=TRAINING)


def initial_file(run):
    """File of the starting weights of a run, if there is one."""
    path = initial_of(run)["path"]
    return [] if path is None else [path]


STARTS_OF_OTHERS = {path for run in RUNS for path in initial_file(run)}


def training_priority(wildcards):
    """What other runs start from is trained first, then full-size models, so that none runs alone at the end."""
    others_wait = f"{TRAINING}/{run_of(wildcards).folder}/weights.safetensors" in STARTS_OF_OTHERS
    return 2 * others_wait + bool(CATALOGUE[wildcards.model].weights)


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
        window_slices=config["subsets"]["window_slices"],
        gpus=config["training"]["gpus"],
        code=code_with_model("pretrain"),
    script:
        "../workflow_scripts/pretrain.py"


rule finetune:
    input:
        index=f"{RESULTS}/volumes/{{dataset}}/index.csv",
        windows=f"{RESULTS}/subsets/{{dataset}}/windows.parquet",
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
        subset=f"{RESULTS}/subsets/{{dataset}}/percent-{{percent}}/seed-{{seed}}/subset.csv",
        initial=lambda wildcards: initial_file(run_of(wildcards)),
        choices=f"{ARM}/choices.csv" if RATES else [],
    output:
        **run_files(RUN),
    log:
        f"{RESULTS}/logs/finetune/{{dataset}}/{{model}}/{{init}}-{{percent}}-{{seed}}-{{fold}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/finetune/{{dataset}}/{{model}}/{{init}}-{{percent}}-{{seed}}-{{fold}}.tsv"
    priority: training_priority
    conda:
        "../envs/training.yaml"
    threads: config["training"]["threads"]
    resources:
        **needs("finetune", readers=READERS),
        **TRAINING_MACHINES,
    params:
        run=lambda wildcards: asdict(run_of(wildcards)),
        initial=lambda wildcards: initial_of(run_of(wildcards)),
        settings=lambda wildcards: SETTINGS[wildcards.model],
        catalogue=lambda wildcards: CATALOGUE_ENTRIES[wildcards.model],
        display_window_hu=lambda wildcards: dataset_entry(wildcards)["display_window_hu"],
        window_slices=config["subsets"]["window_slices"],
        num_workers=config["training"]["num_workers"],
        gpus=config["training"]["gpus"],
        code=code_with_model("finetune"),
    script:
        "../workflow_scripts/finetune.py"


rule predict:
    input:
        weights=lambda wildcards: [
            f"{TRAINING}/{run.folder}/weights.safetensors" for run in runs_of(wildcards)
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
        **needs("predict", readers=READERS),
        **nodes_and_gpus(1, min(1, config["training"]["gpus"]), SITE),
    params:
        runs=lambda wildcards: [asdict(run) for run in runs_of(wildcards)],
        settings=lambda wildcards: SETTINGS[wildcards.model],
        catalogue=lambda wildcards: CATALOGUE_ENTRIES[wildcards.model],
        display_window_hu=lambda wildcards: dataset_entry(wildcards)["display_window_hu"],
        window_slices=config["subsets"]["window_slices"],
        num_workers=config["training"]["num_workers"],
        gpus=config["training"]["gpus"],
        code=code_with_model("predict"),
    script:
        "../workflow_scripts/predict.py"


rule collect_runs:
    input:
        records=[f"{TRAINING}/{run.folder}/run.csv" for run in RUNS],
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
        code=code_of("collect_runs"),
    script:
        "../workflow_scripts/collect_runs.py"


rule collect_histories:
    input:
        records=[f"{TRAINING}/{run.folder}/run.csv" for run in RUNS],
        histories=[f"{TRAINING}/{run.folder}/history.csv" for run in RUNS],
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
        code=code_of("collect_histories"),
    script:
        "../workflow_scripts/collect_histories.py"

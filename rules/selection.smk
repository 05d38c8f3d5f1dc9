# Learning-rate search: every arm tries the same rates on the same run, validation alone decides, and the
# chosen rate goes to all runs of the arm. No rule here sees a prediction of a test scan.

TRIAL = f"{ARM}/rate-{{rate}}"
# The run of every arm that its learning rates are tried on.
TRIED_RUNS = {arm: run_grid.selection_run(config, *arm) for arm in run_grid.list_searches(config)}


if RATES:
    TRIED_SUBSET = f"percent-{config['training']['selection_percent']}/seed-{config['seeds'][0]}"
    TRIED_INITS = "|".join(sorted({init for _, _, init in TRIED_RUNS}))

    wildcard_constraints:
        rate="|".join(re.escape(rate) for rate in RATES),

    # A trial with the chosen rate is one of the arm's runs already: it is adopted, not trained again.
    ruleorder: choose_learning_rate > finetune

    rule try_learning_rates:
        input:
            index=f"{RESULTS}/volumes/{{dataset}}/index.csv",
            windows=window_table,
            splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
            subset=f"{RESULTS}/subsets/{{dataset}}/{TRIED_SUBSET}/subset.csv",
            initial=lambda wildcards: initial_of(
                TRIED_RUNS[wildcards.dataset, wildcards.model, wildcards.init]
            )["path"]
            or [],
        output:
            **{name: f"{TRIAL}/{file}" for name, file in RUN_FILES.items()},
        log:
            f"{RESULTS}/logs/try_learning_rates/{{dataset}}/{{model}}/{{init}}-{{rate}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/try_learning_rates/{{dataset}}/{{model}}/{{init}}-{{rate}}.tsv"
        wildcard_constraints:
            init=TRIED_INITS,
            model=NETWORKS,
        priority: 4  # all other training of the arm waits for them
        conda:
            "../envs/training.yaml"
        threads: config["training"]["threads"]
        resources:
            **needs("try_learning_rates", readers=READERS),
            **TRAINING_MACHINES,
        params:
            run=lambda wildcards: asdict(TRIED_RUNS[wildcards.dataset, wildcards.model, wildcards.init]),
            initial=lambda wildcards: initial_of(
                TRIED_RUNS[wildcards.dataset, wildcards.model, wildcards.init]
            ),
            settings=lambda wildcards: SETTINGS[wildcards.model] | {"learning_rate": RATES[wildcards.rate]},
            catalogue=lambda wildcards: CATALOGUE_ENTRIES[wildcards.model],
            display_window_hu=lambda wildcards: dataset_entry(wildcards)["display_window_hu"],
            intensity=lambda wildcards: intensity_of(dataset_entry(wildcards)),
            window_slices=lambda wildcards: SLICES_SEEN[wildcards.model],
            conversion=lambda wildcards: conversion_facts(
                config, TRIED_RUNS[wildcards.dataset, wildcards.model, wildcards.init]
            ),
            training_data=lambda wildcards: data_facts(
                config, TRIED_RUNS[wildcards.dataset, wildcards.model, wildcards.init]
            ),
            num_workers=config["training"]["num_workers"],
            gpus=config["training"]["gpus"],
            code=lambda wildcards: code_of("try_learning_rates", MODEL_MODULES[wildcards.model]),
        script:
            "../workflow_scripts/try_learning_rates.py"

    rule choose_learning_rate:
        input:
            **{
                name: expand(f"{TRIAL}/{file}", rate=RATES, allow_missing=True)
                for name, file in RUN_FILES.items()
            },
        output:
            **{name: f"{ARM}/{TRIED_SUBSET}/fold-0/{file}" for name, file in RUN_FILES.items()},
            choices=f"{ARM}/choices.csv",
        log:
            f"{RESULTS}/logs/choose_learning_rate/{{dataset}}/{{model}}/{{init}}.log",
        benchmark:
            f"{RESULTS}/benchmarks/choose_learning_rate/{{dataset}}/{{model}}/{{init}}.tsv"
        wildcard_constraints:
            init=TRIED_INITS,
            model=NETWORKS,
        localrule: True
        conda:
            "../envs/training.yaml"
        resources:
            **needs("choose_learning_rate"),
        params:
            run=lambda wildcards: asdict(TRIED_RUNS[wildcards.dataset, wildcards.model, wildcards.init]),
            rates=list(RATES.values()),
            code=lambda wildcards: code_of("choose_learning_rate"),
        script:
            "../workflow_scripts/choose_learning_rate.py"

    rule collect_trials:
        input:
            choices=[
                f"{TRAINING}/{dataset}/{model}/{init}/choices.csv" for dataset, model, init in TRIED_RUNS
            ],
        output:
            trials=f"{TRAINING}/trials.csv",
        log:
            f"{RESULTS}/logs/collect_trials.log",
        benchmark:
            f"{RESULTS}/benchmarks/collect_trials.tsv"
        localrule: True
        conda:
            "../envs/training.yaml"
        resources:
            **needs("collect_trials"),
        params:
            code=lambda wildcards: code_of("collect_trials"),
        script:
            "../workflow_scripts/collect_trials.py"

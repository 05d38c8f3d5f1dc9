# Frozen probes: the features of a network once for all runs that start from it, then a linear head for every run.
# No rule here trains a network, and extract_features alone runs one.

from chestct.training.settings import FeatureSettings


rule extract_features:
    input:
        index=lambda wildcards: f"{RESULTS}/volumes/{scans_from(wildcards)}/index.csv",
        windows=lambda wildcards: window_table_of(scans_from(wildcards), wildcards.model),
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
        initial=lambda wildcards: initial_of(run_of_point(wildcards))["path"] or [],
    output:
        features=f"{ARM}/features-{{point}}.safetensors",
    log:
        f"{RESULTS}/logs/extract_features/{{dataset}}/{{model}}/{{init}}-{{point}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/extract_features/{{dataset}}/{{model}}/{{init}}-{{point}}.tsv"
    wildcard_constraints:
        dataset="|".join(TEST_SETS),
        model=PROBES,
        point="shared|seed-[0-9]+(-fold-[0-9]+)?",
    conda:
        "../envs/training.yaml"
    threads: config["training"]["threads"]
    resources:
        **needs("extract_features", readers=READERS),
        **nodes_and_gpus(1, min(1, config["training"]["gpus"]), SITE),
    params:
        trained_on=trained_on,
        outside=lambda wildcards: wildcards.dataset in OUTSIDE,
        initial=lambda wildcards: initial_of(run_of_point(wildcards)),
        seed=seed_of_network,
        settings=lambda wildcards: asdict(
            FeatureSettings.of(run_grid.training_settings(config, wildcards.model))
        ),
        catalogue=lambda wildcards: CATALOGUE_ENTRIES[wildcards.model],
        # Scans are shown as those that the probe is fitted on.
        display_window_hu=lambda wildcards: DATASETS[trained_on(wildcards)]["display_window_hu"],
        intensity=lambda wildcards: intensity_of(DATASETS[scans_from(wildcards)]),
        window_slices=lambda wildcards: SLICES_SEEN[wildcards.model],
        num_workers=config["training"]["num_workers"],
        gpus=config["training"]["gpus"],
        code=lambda wildcards: code_of("extract_features", MODEL_MODULES[wildcards.model]),
    script:
        "../workflow_scripts/extract_features.py"


rule fit_probes:
    input:
        features=lambda wildcards: [features_of(wildcards.dataset, run) for run in runs_of_arm(wildcards)],
        subsets=lambda wildcards: [
            f"{RESULTS}/subsets/{run.dataset}/percent-{run.percent}/seed-{run.seed}/subset.csv"
            for run in runs_of_arm(wildcards)
        ],
        index=f"{RESULTS}/volumes/{{dataset}}/index.csv",
        windows=window_table,
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
    output:
        # In the order of the arm's runs.
        **{
            name: [
                f"{ARM}/percent-{percent}/seed-{seed}/fold-{fold}/{file}"
                for percent in config["percents"]
                for seed in config["seeds"]
                for fold in range(config["subsets"]["folds"])
            ]
            for name, file in RUN_FILES.items()
        },
    log:
        f"{RESULTS}/logs/fit_probes/{{dataset}}/{{model}}/{{init}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_probes/{{dataset}}/{{model}}/{{init}}.tsv"
    wildcard_constraints:
        model=PROBES,
    conda:
        "../envs/training.yaml"
    threads: config["training"]["threads"]
    resources:
        **needs("fit_probes"),
    params:
        runs=lambda wildcards: [asdict(run) for run in runs_of_arm(wildcards)],
        negative_windows=config["training"]["negative_windows"],
        sees=lambda wildcards: CATALOGUE[wildcards.model].sees,
        window_slices=lambda wildcards: SLICES_SEEN[wildcards.model],
        code=lambda wildcards: code_of("fit_probes"),
    script:
        "../workflow_scripts/fit_probes.py"


rule predict_probes:
    input:
        weights=lambda wildcards: [
            f"{TRAINING}/{run.folder}/weights.safetensors" for run in scored_runs(wildcards)
        ],
        features=lambda wildcards: [features_of(wildcards.dataset, run) for run in scored_runs(wildcards)],
        windows=lambda wildcards: window_table_of(scans_from(wildcards), wildcards.model),
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
        own=lambda wildcards: (
            f"{TRAINING}/{trained_on(wildcards)}/{wildcards.model}/predictions.csv"
            if wildcards.dataset in OUTSIDE
            else []
        ),
    output:
        predictions=f"{TRAINING}/{{dataset}}/{{model}}/predictions.csv",
    log:
        f"{RESULTS}/logs/predict_probes/{{dataset}}-{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict_probes/{{dataset}}-{{model}}.tsv"
    wildcard_constraints:
        dataset="|".join(TEST_SETS),
        model=PROBES,
    conda:
        "../envs/training.yaml"
    threads: config["training"]["threads"]
    resources:
        **needs("predict_probes"),
    params:
        runs=lambda wildcards: [asdict(run) for run in scored_runs(wildcards)],
        outside=lambda wildcards: wildcards.dataset if wildcards.dataset in OUTSIDE else None,
        code=lambda wildcards: code_of("predict_probes"),
    script:
        "../workflow_scripts/predict_probes.py"

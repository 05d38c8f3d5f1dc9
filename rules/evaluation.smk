# Predictions of all runs -> metrics with bootstrap intervals, paired comparisons, means over models.


rule bootstrap_metrics:
    input:
        predictions=[f"{TRAINING}/{dataset}/{model}/predictions.csv" for dataset, model in RUNS_OF],
        cohorts=expand(f"{RESULTS}/subsets/{{dataset}}/cohort.csv", dataset=DATASETS),
        splits=expand(f"{RESULTS}/subsets/{{dataset}}/splits.csv", dataset=DATASETS),
    output:
        metrics=f"{RESULTS}/evaluation/metrics.csv",
        comparisons=f"{RESULTS}/evaluation/comparisons.csv",
        means=f"{RESULTS}/evaluation/means.csv",
    log:
        f"{RESULTS}/logs/bootstrap_metrics.log",
    benchmark:
        f"{RESULTS}/benchmarks/bootstrap_metrics.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        runs=sorted({(r.dataset, r.model, r.init, r.percent, r.seed) for r in RUNS}),
        families={name: (CATALOGUE[name].family, CATALOGUE[name].seven) for name in MODELS},
        metrics=config["evaluation"]["metrics"],
        num_resamples=config["evaluation"]["num_resamples"],
        confidence=config["evaluation"]["confidence"],
        seed=config["evaluation"]["seed"],
        code=code("evaluation"),
    script:
        "../workflow_scripts/bootstrap_metrics.py"

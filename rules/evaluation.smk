# Predictions of all runs -> metrics with intervals, paired comparisons, claims; checks of these methods.

from chestct.catalogue import rows_of
from chestct.dataset_entries import claimed_datasets

EVALUATION = f"{RESULTS}/evaluation"
# A test set outside the training set is evaluated like the test set of a dataset of its own.
TEST_SET = "|".join(TEST_SETS)
# What evaluation and figures read of the catalogue: a parameter, so that a row of another model reruns nothing.
STUDY_MODELS = rows_of(MODELS)
# Tables of a dataset, which collect_evaluation puts together.
VALIDITY_TABLES = ("coverage", "power", "permuted")
DATASET_TABLES = (
    "metrics",
    "means",
    "comparisons",
    "curves",
    "calibration",
    "multipliers",
    "same_arm",
    "simple_rivals",
    "subgroups",
    "localisation",
    "failures",
    "examples",
)
EVALUATION_TABLES = (*DATASET_TABLES, *VALIDITY_TABLES)


rule bootstrap_metrics:
    input:
        predictions=lambda wildcards: [
            f"{TRAINING}/{wildcards.dataset}/{model}/predictions.csv"
            for model in dict.fromkeys(run.model for run in RUNS if run.dataset == trained_on(wildcards))
        ],
        cohort=f"{RESULTS}/subsets/{{dataset}}/cohort.csv",
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
        acquisition=acquisition_of,
        findings=lambda wildcards: f"{DATA}/{scans_from(wildcards)}/findings.csv",
        subsets=lambda wildcards: expand(
            f"{RESULTS}/subsets/{trained_on(wildcards)}/percent-{{percent}}/seed-{{seed}}/subset.csv",
            percent=config["percents"],
            seed=config["seeds"],
        ),
    output:
        **{name: f"{EVALUATION}/{{dataset}}/{name}.csv" for name in DATASET_TABLES},
        draws=f"{EVALUATION}/{{dataset}}/draws.npz",
    log:
        f"{RESULTS}/logs/bootstrap_metrics/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/bootstrap_metrics/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=TEST_SET,
    conda:
        "../envs/evaluation.yaml"
    resources:
        **needs("bootstrap_metrics"),
    params:
        runs=lambda wildcards: sorted(
            {(r.model, r.init, r.percent, r.seed) for r in RUNS if r.dataset == trained_on(wildcards)}
        ),
        models=list(MODELS),
        validation_labels=config["subsets"]["validation_labels"],
        catalogue=STUDY_MODELS,
        metrics=config["evaluation"]["metrics"],
        specificity=config["evaluation"]["specificity"],
        prevalence=lambda wildcards: DATASETS[scans_from(wildcards)].get("prevalence"),
        num_resamples=config["evaluation"]["num_resamples"],
        confidence=config["evaluation"]["confidence"],
        seed=config["evaluation"]["seed"],
        code=lambda wildcards: code_of("bootstrap_metrics"),
    script:
        "../workflow_scripts/bootstrap_metrics.py"


# Needs no prediction, and so runs while models train.
rule simulate_coverage:
    input:
        cohort=f"{RESULTS}/subsets/{{dataset}}/cohort.csv",
        splits=f"{RESULTS}/subsets/{{dataset}}/splits.csv",
    output:
        coverage=f"{EVALUATION}/{{dataset}}/coverage.csv",
    log:
        f"{RESULTS}/logs/simulate_coverage/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/simulate_coverage/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=TEST_SET,
    conda:
        "../envs/evaluation.yaml"
    resources:
        **needs("simulate_coverage"),
    params:
        metrics=config["evaluation"]["metrics"],
        specificity=config["evaluation"]["specificity"],
        num_simulations=config["evaluation"]["simulations"],
        num_resamples=config["evaluation"]["num_resamples"],
        confidence=config["evaluation"]["confidence"],
        seed=config["evaluation"]["seed"],
        code=lambda wildcards: code_of("simulate_coverage"),
    script:
        "../workflow_scripts/simulate_coverage.py"


rule check_validity:
    input:
        draws=f"{EVALUATION}/{{dataset}}/draws.npz",
    output:
        power=f"{EVALUATION}/{{dataset}}/power.csv",
        permuted=f"{EVALUATION}/{{dataset}}/permuted.csv",
    log:
        f"{RESULTS}/logs/check_validity/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/check_validity/{{dataset}}.tsv"
    wildcard_constraints:
        dataset=TEST_SET,
    conda:
        "../envs/evaluation.yaml"
    resources:
        **needs("check_validity"),
    params:
        num_simulations=config["evaluation"]["simulations"],
        num_resamples=config["evaluation"]["num_resamples"],
        confidence=config["evaluation"]["confidence"],
        seed=config["evaluation"]["seed"],
        catalogue=STUDY_MODELS,
        code=lambda wildcards: code_of("check_validity"),
    script:
        "../workflow_scripts/check_validity.py"


rule collect_evaluation:
    input:
        **{
            name: expand(f"{EVALUATION}/{{dataset}}/{name}.csv", dataset=TEST_SETS)
            for name in EVALUATION_TABLES
        },
        # The claims are about the datasets' own test sets.
        draws=expand(f"{EVALUATION}/{{dataset}}/draws.npz", dataset=claimed_datasets(config["datasets"])),
        draws_by_dataset=expand(f"{EVALUATION}/{{dataset}}/draws.npz", dataset=TEST_SETS),
    output:
        **{name: f"{EVALUATION}/{name}.csv" for name in EVALUATION_TABLES},
        claims=f"{EVALUATION}/claims.csv",
        claims_by_dataset=f"{EVALUATION}/claims_by_dataset.csv",
    log:
        f"{RESULTS}/logs/collect_evaluation.log",
    benchmark:
        f"{RESULTS}/benchmarks/collect_evaluation.tsv"
    conda:
        "../envs/evaluation.yaml"
    resources:
        **needs("collect_evaluation"),
    params:
        confidence=config["evaluation"]["confidence"],
        margin=config["evaluation"]["margin"],
        catalogue=STUDY_MODELS,
        code=lambda wildcards: code_of("collect_evaluation"),
    script:
        "../workflow_scripts/collect_evaluation.py"

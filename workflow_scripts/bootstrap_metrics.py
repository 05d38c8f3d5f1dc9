"""Rule bootstrap_metrics: score a dataset's runs with intervals and compare them on the same resamples."""

from chestct.evaluation.dataset import TABLES, evaluate_dataset
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
evaluate_dataset(
    predictions=snakemake.input.predictions,
    cohort=snakemake.input.cohort,
    splits=snakemake.input.splits,
    subsets=snakemake.input.subsets,
    acquisition=snakemake.input.acquisition,
    findings=snakemake.input.findings,
    runs=[tuple(run) for run in snakemake.params.runs],
    models=snakemake.params.models,
    validation_labels=snakemake.params.validation_labels,
    tables={name: snakemake.output[name] for name in TABLES},
    draws_path=snakemake.output.draws,
    metrics=snakemake.params.metrics,
    specificity=snakemake.params.specificity,
    prevalence=snakemake.params.prevalence,
    num_resamples=snakemake.params.num_resamples,
    confidence=snakemake.params.confidence,
    seed=snakemake.params.seed,
)

"""Rule simulate_coverage: how often intervals hold the true value, at the size of a dataset's test set."""

from chestct.evaluation.validity.dataset import simulate_coverage
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
simulate_coverage(
    cohort=snakemake.input.cohort,
    splits=snakemake.input.splits,
    coverage_path=snakemake.output.coverage,
    metrics=snakemake.params.metrics,
    specificity=snakemake.params.specificity,
    num_simulations=snakemake.params.num_simulations,
    num_resamples=snakemake.params.num_resamples,
    confidence=snakemake.params.confidence,
    seed=snakemake.params.seed,
)

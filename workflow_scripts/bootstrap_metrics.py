"""Rule bootstrap_metrics: score all runs with bootstrap intervals and compare them on the same resamples."""

from chestct.evaluation.study import evaluate
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
evaluate(
    predictions=snakemake.input.predictions,
    cohorts=snakemake.input.cohorts,
    splits=snakemake.input.splits,
    runs=[tuple(run) for run in snakemake.params.runs],
    metrics_path=snakemake.output.metrics,
    comparisons_path=snakemake.output.comparisons,
    means_path=snakemake.output.means,
    metrics=snakemake.params.metrics,
    num_resamples=snakemake.params.num_resamples,
    confidence=snakemake.params.confidence,
    seed=snakemake.params.seed,
)

"""Rule check_validity: power, and the control with permuted labels."""

from chestct.evaluation.validity.dataset import check_validity
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
check_validity(
    draws=snakemake.input.draws,
    power_path=snakemake.output.power,
    permuted_path=snakemake.output.permuted,
    num_simulations=snakemake.params.num_simulations,
    num_resamples=snakemake.params.num_resamples,
    confidence=snakemake.params.confidence,
    seed=snakemake.params.seed,
)

"""Rule split_patients: train, validation and test by patient."""

from chestct.log import set_up_log
from chestct.subsets.splits import write_splits

set_up_log(snakemake.log[0])
write_splits(
    cohort=snakemake.input.cohort,
    output=snakemake.output.splits,
    shares=snakemake.params.shares,
    folds=snakemake.params.folds,
    seed=snakemake.params.seed,
)

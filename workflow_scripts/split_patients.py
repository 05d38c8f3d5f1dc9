"""Rule split_patients: train, validation and test by patient."""

from chestct.log import set_up_log
from chestct.subsets.assign_splits import write_splits

set_up_log(snakemake.log[0])
write_splits(
    cohort=snakemake.input.cohort,
    acquisition=snakemake.input.acquisition or None,
    output=snakemake.output.splits,
    use=snakemake.params.use,
    shares=snakemake.params.shares,
    folds=snakemake.params.folds,
    seed=snakemake.params.seed,
)

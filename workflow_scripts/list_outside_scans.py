"""Rule list_outside_scans: cohort, splits and acquisition of a test set outside the training set."""

from chestct.log import set_up_log
from chestct.subsets.outside import write_outside_set

set_up_log(snakemake.log[0])
write_outside_set(
    name=snakemake.wildcards.outside,
    tested=snakemake.input.tested,
    tested_index=snakemake.input.tested_index,
    seen_index=dict(zip(snakemake.params.seen, snakemake.input.seen_index, strict=True)),
    splits=snakemake.input.splits,
    acquisition=snakemake.input.acquisition,
    cohort_path=snakemake.output.cohort,
    splits_path=snakemake.output.splits,
    acquisition_path=snakemake.output.acquisition,
)

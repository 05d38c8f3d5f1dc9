"""Rule select_cohort: what became of every scan of a dataset."""

from chestct.log import set_up_log
from chestct.subsets.cohort import write_cohort

set_up_log(snakemake.log[0])
write_cohort(
    series=snakemake.input.series,
    labels=snakemake.input.labels,
    ledger=snakemake.input.ledger,
    index=snakemake.input.index,
    left_out=snakemake.input.left_out,
    output=snakemake.output.cohort,
)

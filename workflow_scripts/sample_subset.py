"""Rule sample_subset: a nested share of the training patients, and the validation patients with it."""

from chestct.log import set_up_log
from chestct.subsets.splits import write_subset

set_up_log(snakemake.log[0])
write_subset(
    splits=snakemake.input.splits,
    output=snakemake.output.subset,
    percent=int(snakemake.wildcards.percent),
    seed=int(snakemake.wildcards.seed),
    validation_labels=snakemake.params.validation_labels,
)

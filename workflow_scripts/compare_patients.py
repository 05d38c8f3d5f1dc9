"""Rule compare_patients: no patient of an outside test set is one that models are trained on."""

from chestct.log import set_up_log
from chestct.subsets.outside import compare_patients

set_up_log(snakemake.log[0])
compare_patients(
    name=snakemake.wildcards.outside,
    tested=snakemake.input.tested,
    seen=dict(zip(snakemake.params.seen, snakemake.input.seen, strict=True)),
    output=snakemake.output.compared,
)

"""Rule combine_volumes: the tables of a dataset's shards joined; stops where too many scans were refused."""

from chestct.log import set_up_log
from chestct.volumes.combine_shards import combine_volumes

set_up_log(snakemake.log[0])
combine_volumes(
    dataset=snakemake.wildcards.dataset,
    index_paths=snakemake.input.index,
    slices_paths=snakemake.input.slices,
    ledger_paths=snakemake.input.ledger,
    acquisition_paths=snakemake.input.acquisition,
    max_refused_percent=snakemake.params.max_refused_percent,
    on_duplicates=snakemake.params.on_duplicates,
    index_path=snakemake.output.index,
    slices_path=snakemake.output.slices,
    ledger_path=snakemake.output.ledger,
    acquisition_path=snakemake.output.acquisition,
)

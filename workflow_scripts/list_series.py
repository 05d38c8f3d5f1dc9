"""List the series of a dataset and describe where they come from."""

from pathlib import Path

from chestct.download.sources import list_dataset
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
list_dataset(
    snakemake.params.entry,
    Path(snakemake.params.root),
    snakemake.params.shard_size,
    Path(snakemake.output.series),
    Path(snakemake.output.manifest),
)

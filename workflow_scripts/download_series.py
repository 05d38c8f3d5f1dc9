"""Obtain the series of one shard."""

from pathlib import Path

from chestct.download.sources import obtain_shard
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
obtain_shard(
    snakemake.params.entry,
    Path(snakemake.params.root),
    Path(snakemake.input.series),
    int(snakemake.wildcards.shard),
    Path(snakemake.output.shard),
)

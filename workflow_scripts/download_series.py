"""Rule download_series: obtains the series of one shard."""

from pathlib import Path

from chestct.download.datasets import obtain_shard
from chestct.download.shared_scans import share_shard
from chestct.download.transfer.retries import transfer_settings
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
if snakemake.input.shared:
    share_shard(snakemake.params.entry, Path(snakemake.input.shared), Path(snakemake.output.shard))
else:
    obtain_shard(
        snakemake.params.entry,
        Path(snakemake.input.series).parent,
        Path(snakemake.input.series),
        int(snakemake.wildcards.shard),
        transfer_settings(snakemake.resources),
        Path(snakemake.output.shard),
        version=snakemake.params.files,
    )

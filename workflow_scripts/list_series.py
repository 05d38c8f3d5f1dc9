"""Rule list_series: the series of a dataset, what is left out of it, and where the data come from."""

from pathlib import Path

from chestct.download.datasets import list_dataset
from chestct.download.shared_scans import share_listing
from chestct.download.transfer.retries import transfer_settings
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
paths = {
    "series_path": Path(snakemake.output.series),
    "left_out_path": Path(snakemake.output.left_out),
    "manifest_path": Path(snakemake.output.manifest),
}
if snakemake.input.shared:
    share_listing(snakemake.params.entry, Path(snakemake.input.shared).parent, **paths)
else:
    list_dataset(
        snakemake.params.entry,
        Path(snakemake.output.series).parent,
        snakemake.params.shard_size,
        transfer_settings(snakemake.resources),
        **paths,
    )

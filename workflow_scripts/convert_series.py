"""Rule convert_series: one shard of HU volumes, with its tables."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.tables import read_table
from chestct.volumes.convert_shard import convert_shard

set_up_log(snakemake.log[0])
series = read_table(snakemake.input.series, "series")
convert_shard(
    series[series["shard"] == int(snakemake.wildcards.shard)],
    obtained=read_table(snakemake.input.obtained, "shard"),
    root=Path(snakemake.input.series).parent,
    dataset=snakemake.wildcards.dataset,
    size_px=snakemake.params.size_px,
    store_path=snakemake.output.store,
    index_path=snakemake.output.index,
    slices_path=snakemake.output.slices,
    ledger_path=snakemake.output.ledger,
    acquisition_path=snakemake.output.acquisition,
    code_digest=snakemake.params.code,
    num_threads=snakemake.threads,
)

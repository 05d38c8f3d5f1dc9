"""Rule convert_series: one shard of HU volumes, with its tables."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.obtained_files import read_states
from chestct.tables import read_table
from chestct.volumes.convert_shard import convert_shard
from chestct.volumes.share_shard import TABLES, share_shard

set_up_log(snakemake.log[0])
inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
if inputs.shared_store:
    share_shard(
        snakemake.wildcards.dataset,
        store=inputs.shared_store,
        tables={name: inputs[f"shared_{name}"] for name in TABLES},
        store_path=outputs.store,
        table_paths={name: outputs[name] for name in TABLES},
    )
else:
    series = read_table(inputs.series, "series")
    convert_shard(
        series[series["shard"] == int(snakemake.wildcards.shard)],
        obtained=read_table(inputs.obtained, "shard"),
        states=read_states(inputs.obtained),
        root=Path(inputs.series).parent,
        dataset=snakemake.wildcards.dataset,
        size_px=params.size_px,
        spacing_z_mm=params.spacing_z_mm,
        num_slices=params.num_slices,
        intensity=params.intensity,
        accept=params.accept,
        store_path=outputs.store,
        index_path=outputs.index,
        slices_path=outputs.slices,
        ledger_path=outputs.ledger,
        acquisition_path=outputs.acquisition,
        code_digest=params.code,
        num_threads=snakemake.threads,
    )

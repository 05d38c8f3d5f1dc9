"""Rule write_download_plan: files, bytes and room of everything that the study downloads."""

from pathlib import Path

from chestct.download.download_plan import write_download_plan
from chestct.download.transfer.retries import transfer_settings
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
write_download_plan(
    [Path(path) for path in snakemake.input.manifests],
    [(row, Path(path)) for row, path in snakemake.params.weights],
    size_px=snakemake.params.size_px,
    reserve_bytes=transfer_settings(snakemake.resources).reserve_bytes,
    path=Path(snakemake.output.plan),
)

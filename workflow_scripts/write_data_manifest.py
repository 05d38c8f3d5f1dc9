"""Rule write_data_manifest: where all data of the study come from."""

from pathlib import Path

from chestct.download.manifest import write_data_manifest
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
write_data_manifest(
    snakemake.params.study,
    [Path(path) for path in snakemake.input.manifests],
    list(zip(snakemake.params.weights, map(Path, snakemake.input.weights), strict=True)),
    Path(snakemake.output.manifest),
)

"""Rule plot_quality: what became of the scans, their spacing and length."""

from pathlib import Path

from chestct.figures.scan_quality import plot_quality
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
plot_quality(
    snakemake.params.datasets,
    indexes=snakemake.input.indexes,
    ledgers=snakemake.input.ledgers,
    manifests=snakemake.input.manifests,
    folder=Path(snakemake.output.figures).parent,
    formats=snakemake.params.formats,
    dpi=snakemake.params.dpi,
)

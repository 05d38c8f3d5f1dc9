"""Rule plot_quality: what became of the scans, their spacing and length, and the flow of the cohort."""

from pathlib import Path

from chestct.figures.flow_figure import plot_flow
from chestct.figures.scan_quality import plot_quality
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
folder, formats, dpi = (
    Path(snakemake.output.figures).parent,
    snakemake.params.formats,
    snakemake.params.dpi,
)
plot_quality(
    snakemake.params.datasets,
    indexes=snakemake.input.indexes,
    ledgers=snakemake.input.ledgers,
    manifests=snakemake.input.manifests,
    folder=folder,
    formats=formats,
    dpi=dpi,
)
plot_flow(
    snakemake.params.datasets,
    cohorts=snakemake.input.cohorts,
    splits=snakemake.input.splits,
    ledgers=snakemake.input.ledgers,
    manifests=snakemake.input.manifests,
    folder=folder,
    formats=formats,
    dpi=dpi,
)

"""Rule plot_figures: all figures of the study in all formats."""

from pathlib import Path

from chestct.figures.names import TABLES
from chestct.figures.render import plot_figures
from chestct.figures.study_tables import read_study
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
study = read_study(
    **{name: snakemake.input[name] for name in TABLES},
    manifests=snakemake.input.manifests,
    datasets=snakemake.params.datasets,
    outside=snakemake.params.outside,
    confidence=snakemake.params.confidence,
)
plot_figures(
    study,
    folder=Path(snakemake.output.index).parent,
    formats=snakemake.params.formats,
    dpi=snakemake.params.dpi,
    processes=snakemake.threads,
    points=snakemake.output.get("points"),
)

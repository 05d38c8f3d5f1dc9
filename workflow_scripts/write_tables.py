"""Rule write_tables: arms, contrasts and claims as CSV, Markdown and LaTeX."""

from pathlib import Path

from chestct.figures.names import TABLES
from chestct.figures.publication_tables import write_tables
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
write_tables(study, Path(snakemake.output.csv[0]).parent)

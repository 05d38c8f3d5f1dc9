"""Rule write_report: the self-contained report of the study."""

from pathlib import Path

from chestct.figures.report import write_report
from chestct.figures.study_tables import read_study
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
study = read_study(
    means=snakemake.input.means,
    comparisons=snakemake.input.comparisons,
    runs=snakemake.input.runs,
    manifests=snakemake.input.manifests,
    datasets=snakemake.params.datasets,
    confidence=snakemake.params.confidence,
)
write_report(
    study=study,
    study_name=snakemake.params.study,
    metrics_path=snakemake.input.metrics,
    tables={
        "evaluation/metrics.csv": snakemake.input.metrics,
        "evaluation/comparisons.csv": snakemake.input.comparisons,
        "evaluation/means.csv": snakemake.input.means,
        "training/runs.csv": snakemake.input.runs,
    },
    figures_folder=Path(snakemake.input.index).parent,
    cohorts=snakemake.input.cohorts,
    splits=snakemake.input.splits,
    ledgers=snakemake.input.ledgers,
    thumbnails=snakemake.input.thumbnails,
    data_manifest=snakemake.input.data_manifest,
    configuration=snakemake.params.configuration,
    provenance=snakemake.params.provenance,
    dpi=snakemake.params.dpi,
    path=snakemake.output.report,
)

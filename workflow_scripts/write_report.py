"""Rule write_report: the self-contained report of the study."""

from pathlib import Path

from chestct.figures.names import TABLES
from chestct.figures.report import write_report
from chestct.figures.report_contents import DatasetFiles
from chestct.figures.report_head import made_of
from chestct.figures.study_tables import read_study
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
paths = {name: snakemake.input[name] for name in TABLES}
study = read_study(
    **paths,
    manifests=snakemake.input.manifests,
    datasets=snakemake.params.datasets,
    outside=snakemake.params.outside,
    confidence=snakemake.params.confidence,
)
trials = snakemake.input.get("trials")
write_report(
    study=study,
    study_name=snakemake.params.study,
    tables={f"{step}/{name}.csv": paths[name] for name, step in TABLES.items()},
    figures_folder=Path(snakemake.input.index).parent,
    dataset_files=DatasetFiles(
        cohorts=snakemake.input.cohorts,
        splits=snakemake.input.splits,
        ledgers=snakemake.input.ledgers,
        indexes=snakemake.input.indexes,
        acquisitions=snakemake.input.acquisitions,
        thumbnails=snakemake.input.thumbnails,
    ),
    data_manifest=snakemake.input.data_manifest,
    trials=trials[0] if trials else None,
    configuration=snakemake.params.configuration,
    provenance=snakemake.params.provenance,
    dpi=snakemake.params.dpi,
    path=snakemake.output.report,
    made=made_of(),
    points=snakemake.input.get("points"),
)

"""Rule extract_labels: the labels of a dataset's scans and slices."""

from pathlib import Path

from chestct.download.datasets import extract_labels
from chestct.download.shared_scans import data_root
from chestct.log import set_up_log

set_up_log(snakemake.log[0])
extract_labels(
    snakemake.params.entry,
    data_root(snakemake.params.entry, Path(snakemake.input.series).parent),
    Path(snakemake.input.series),
    [Path(path) for path in snakemake.input.shards],
    Path(snakemake.output.labels),
    Path(snakemake.output.slice_labels),
    Path(snakemake.output.findings),
)

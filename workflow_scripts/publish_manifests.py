"""Rule publish_manifests: case ledger, splits and subsets of a dataset, fit for publication."""

from pathlib import Path

from chestct.log import set_up_log
from chestct.subsets.publication import publish_manifests

set_up_log(snakemake.log[0])
key_path = snakemake.params.key_path
publish_manifests(
    cohort=snakemake.input.cohort,
    splits=snakemake.input.splits,
    subsets=snakemake.input.subsets,
    key_path=None if key_path is None else Path(key_path),
    public_ids=snakemake.params.public_ids or {},
    with_labels=snakemake.params.with_labels,
    cases_path=snakemake.output.cases,
    splits_path=snakemake.output.splits,
    subsets_path=snakemake.output.subsets,
)

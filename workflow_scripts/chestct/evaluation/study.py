"""Evaluation of all datasets of a study: joint tables, and the verdicts on the paper's claims."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from chestct.evaluation.claims import DatasetDraws, claims_table
from chestct.evaluation.dataset import TABLES
from chestct.evaluation.validity.dataset import VALIDITY_TABLES
from chestct.tables import read_table, write_table

_log = logging.getLogger(__name__)


def collect(
    *,
    tables: Mapping[str, Sequence[str | Path]],
    draws: Sequence[str | Path],
    draws_by_dataset: Sequence[str | Path],
    collected: Mapping[str, str | Path],
    claims_path: str | Path,
    by_dataset_path: str | Path,
    confidence: float,
    margin: float,
) -> None:
    """Concatenate the tables of all datasets and decide the claims.

    Args:
        tables: paths of every table in ``TABLES`` and ``VALIDITY_TABLES`` by name, one per dataset.
        draws: files that ``evaluate_dataset`` wrote beside them, of the datasets that decide the claims.
        draws_by_dataset: the same files of all datasets and test sets.
        collected: where to write the joint tables, by name.
        claims_path: where to write the table claims.
        by_dataset_path: where to write the claims of every dataset alone, a table of the same columns.
            They stand beside the verdicts and decide nothing: datasets that share scans are not independent.
        confidence: of the claims' intervals and verdicts.
        margin: difference in AUROC below which a difference is not relevant.
    """
    for name in (*TABLES, *VALIDITY_TABLES):
        parts = [read_table(path, name) for path in tables[name]]
        filled = [part for part in parts if len(part)]
        write_table(pd.concat(filled, ignore_index=True) if filled else parts[0], collected[name], name)
    table = claims_table([DatasetDraws.load(path) for path in draws], confidence, margin)
    for row in table.itertuples():
        _log.info("claim %s: %s (%s, p_holm %s)", row.claim, row.verdict, row.difference, row.p_holm)
    write_table(table, claims_path, "claims")
    alone = [claims_table([DatasetDraws.load(path)], confidence, margin) for path in draws_by_dataset]
    write_table(_of_tested(alone), by_dataset_path, "claims")


def _of_tested(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The rows of claims that a dataset tests, of all datasets."""
    parts = [table[table["verdict"] != "not_tested"] for table in tables]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]

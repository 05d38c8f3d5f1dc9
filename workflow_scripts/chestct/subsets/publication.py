"""Manifests for publication: which scans were used, split and sampled how, and nothing else of them.

Public datasets keep their published identifiers, so that others can take the same scans. Identifiers of a
user's own data are replaced by keyed pseudonyms: without the key, which stays in the data folder, nobody
can tell which scan is meant; with it, the user can.
"""

import hmac
import secrets
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pandas as pd

from chestct.tables import column_types, read_table, write_table

_KEY_BYTES = 32
_PSEUDONYM_DIGITS = 16


def read_or_make_key(path: Path) -> bytes:
    """The dataset's secret key; made on first use, readable by its owner alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            path.chmod(0o600)
            file.write(secrets.token_bytes(_KEY_BYTES))
    except FileExistsError:
        pass
    return path.read_bytes()


def pseudonyms(identifiers: pd.Series, key: bytes, kind: str) -> pd.Series:
    """Keyed pseudonyms (HMAC-SHA-256, cut to 64 bits) of identifiers.

    Args:
        identifiers: as in the study's tables.
        key: secret of the dataset.
        kind: patient or scan; the same identifier of another kind has another pseudonym.
    """
    names = {
        name: hmac.new(key, f"{kind}:{name}".encode(), sha256).hexdigest()[:_PSEUDONYM_DIGITS]
        for name in identifiers.unique()
    }
    return identifiers.map(names)


def publish_manifests(
    *,
    cohort: str | Path,
    splits: str | Path,
    subsets: Sequence[str | Path],
    key_path: Path | None,
    with_labels: bool,
    cases_path: str | Path,
    splits_path: str | Path,
    subsets_path: str | Path,
) -> None:
    """Write the case ledger, the splits and the training subsets of a dataset for publication.

    No path, date, name or free text is written: reasons are codes, without the numbers behind them.

    Args:
        cohort, splits: tables of the dataset.
        subsets: tables ``subset`` of all percents and seeds.
        key_path: secret key for pseudonyms; None keeps the identifiers, which are public then.
        with_labels: whether the data's licence lets labels be passed on.
        cases_path, splits_path, subsets_path: CSV to write.

    Raises:
        InputError: a table is missing or broken.
    """
    key = read_or_make_key(key_path) if key_path is not None else None

    def published(table: pd.DataFrame) -> pd.DataFrame:
        table = table.rename(columns={"patient_id": "patient", "study_id": "scan"})
        if key is not None:
            for kind in ("patient", "scan"):
                table[kind] = pseudonyms(table[kind], key, kind)
        if "label" in table and not with_labels:
            table["label"] = None
        return table

    cases = published(read_table(cohort, "cohort")).drop(columns="baseline")
    # Sorted by pseudonym: the order of the original identifiers would give something of them away.
    write_table(cases.sort_values(["patient", "scan"]), cases_path, "published_cases")
    rows = published(read_table(splits, "splits"))
    write_table(rows.sort_values(["fold", "split", "patient", "scan"]), splits_path, "published_splits")
    tables = [read_table(path, "subset") for path in subsets]
    none = pd.DataFrame(columns=list(column_types("subset")))  # of a dataset that no model is trained on
    sampled = published(pd.concat(tables) if tables else none)
    order = ["percent", "seed", "fold", "patient", "scan"]
    write_table(sampled.sort_values(order), subsets_path, "published_subsets")

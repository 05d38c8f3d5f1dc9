"""Manifests for publication: which scans were used, split and sampled how, and nothing else of them.

Public datasets keep their published identifiers, so that others can take the same scans. Any other
identifier is replaced by a keyed pseudonym, a user's own as well as one that a folder in the layout of a
public dataset holds: without the key, which stays in the data folder, nobody can tell which scan is meant;
with it, the user can.
"""

import hmac
import logging
import os
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import pandas as pd

from chestct.errors import InputError
from chestct.files import cannot_write, make_folder, sync_folder
from chestct.tables import column_types, read_table, write_table

log = logging.getLogger(__name__)

_KEY_BYTES = 32
#: Different bytes that 32 random ones have at least, but for a chance of 10^-24.
_MIN_DIFFERENT = 8
_PSEUDONYM_DIGITS = 16
#: Matches no text, in the expressions of re and of pyarrow alike.
_NOTHING = r"[^\s\S]"


def read_or_make_key(path: Path) -> bytes:
    """The dataset's secret key; made on first use, whole or not at all, never readable by others.

    Raises:
        InputError: what is there is no key: cut, empty or zeros, as a power cut may leave. Whoever guesses it
            could tell from the pseudonyms which patients are meant. Or a new one cannot be written.
    """
    if not path.exists():
        _make_key(path)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES or len(set(key)) < _MIN_DIFFERENT:
        raise InputError(
            f"the key of the pseudonyms is not a valid key: {len(key)} bytes, {len(set(key))} different ones",
            where=path,
            expected=f"{_KEY_BYTES} random bytes, as the study made them at first",
            remedy="put a copy of the key back; if there is none, rename this file, and a new key is made, "
            "with other pseudonyms than those that were published before",
        )
    if path.stat().st_mode & 0o077:
        log.warning("%s was readable by others, and is its owner's alone now", path.name)
        path.chmod(0o600)
    return key


def _make_key(path: Path) -> None:
    """Write a new key beside ``path`` and give it its name, unless another process was first.

    Raises:
        InputError: it cannot be written.
    """
    make_folder(path.parent)
    # mkstemp creates the file for its owner alone: the key is never readable by others.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except OSError:
            if not path.exists():  # by another process
                Path(name).replace(path)  # a disk without hard links
        # Or a power cut loses it, and another key gives other pseudonyms than those that are published.
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        Path(name).unlink(missing_ok=True)


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


def _with_pseudonyms(table: pd.DataFrame, key_path: Path, public_ids: Mapping[str, str]) -> pd.DataFrame:
    """The table with pseudonyms for all identifiers that are not public; no key is made where all are."""
    private = pd.Series(False, index=table.index)
    for kind in ("patient", "scan"):
        private = private | ~table[kind].str.fullmatch(public_ids.get(kind, _NOTHING)).astype(bool)
        if private.any():
            hidden = pseudonyms(table.loc[private, kind], read_or_make_key(key_path), kind)
            table = table.assign(**{kind: table[kind].mask(private, hidden)})
    return table


def publish_manifests(
    *,
    cohort: str | Path,
    splits: str | Path,
    subsets: Sequence[str | Path],
    key_path: Path | None,
    public_ids: Mapping[str, str],
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
        public_ids: patterns of identifiers that are public, by kind (patient, scan), and keep their form;
            none of a kind that is not named. A scan is public only if its patient is.
        with_labels: whether the data's licence lets labels be passed on.
        cases_path, splits_path, subsets_path: CSV to write.

    Raises:
        InputError: a table is missing or broken.
    """

    def published(table: pd.DataFrame) -> pd.DataFrame:
        table = table.rename(columns={"patient_id": "patient", "study_id": "scan"})
        if key_path is not None:
            table = _with_pseudonyms(table, key_path, public_ids)
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
    sampled = published(pd.concat(tables, ignore_index=True) if tables else none)
    order = ["percent", "seed", "fold", "patient", "scan"]
    write_table(sampled.sort_values(order), subsets_path, "published_subsets")

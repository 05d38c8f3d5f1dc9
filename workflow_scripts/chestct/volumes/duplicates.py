"""Scans that are there twice: equal voxels under other paths, links, headers or identifiers.

A scan in training and, under another identifier, in the test set makes a result look better than it is. Two
scans of living patients never have equal voxels, so that equality is no chance.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from chestct.errors import InputError

#: What happens where scans have equal voxels (key ``duplicates`` of a dataset).
OnDuplicates = Literal["stop", "join", "keep"]
#: Planes that are looked at, at most: mirrored about the middle, so that a stack turned over has the same.
_NUM_PLANES = 8
#: Volumes of fewer different values are nearly constant, and equal by chance.
_LEAST_VALUES = 16
_SHOWN = 5


def content_digest(hu: np.ndarray) -> str | None:
    """A digest of voxels that turning, mirroring or exchanging axes in plane does not change.

    It is one of how often every value occurs in a few planes, of which follow-up scans, other
    reconstructions and other phases differ. Headers have no part in it.

    Args:
        hu: int16, shape (z, y, x).

    Returns:
        32 hexadecimal digits; None of nearly constant volumes, which are not compared.
    """
    depth = len(hu)
    half = np.unique(np.linspace(0, (depth - 1) // 2, min(_NUM_PLANES // 2, (depth + 1) // 2)).astype(int))
    planes = np.unique(np.concatenate([half, depth - 1 - half]))
    counts = np.bincount(hu[planes].ravel().view(np.uint16), minlength=1 << 16)
    if np.count_nonzero(counts) < _LEAST_VALUES:
        return None
    shape = f"{depth} {sorted(hu.shape[1:])} "
    return hashlib.sha256(shape.encode() + counts.astype("<i8").tobytes()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Combined:
    """The joined tables of a dataset.

    Attributes:
        index, ledger: of these schemas.
        refused: study_id of the scans that are in the ledger alone.
    """

    index: pd.DataFrame
    ledger: pd.DataFrame
    refused: list[str]

    def without_refused(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table that belong to the other scans."""
        return table[~table["study_id"].isin(self.refused)] if self.refused else table


def refuse_duplicates(
    index: pd.DataFrame, ledger: pd.DataFrame, *, dataset: str, on_duplicates: OnDuplicates, where: str
) -> Combined:
    """Keep the first of scans with equal voxels; the others are refused in the ledger as ``duplicate``.

    Args:
        index, ledger: joined tables of all shards.
        dataset: for the message.
        on_duplicates: where such scans belong to two patients: stop the study, or (join) refuse the second,
            so that the cohort makes one patient of both (``same_as``). keep: as stop, but those of one
            patient stay, which no split can part.
        where: for the message.

    Raises:
        InputError: equal voxels under two patients, and ``on_duplicates`` is not join.
    """
    known = index[index["content"].notna()]
    firsts = known.drop_duplicates("content").set_index("content")
    later = known[known["content"].duplicated()]
    same = firsts.loc[later["content"], ["study_id", "patient_id"]].reset_index(drop=True)
    pairs = later[["study_id", "patient_id"]].reset_index(drop=True).join(same.add_prefix("same_"))
    others = pairs[pairs["patient_id"] != pairs["same_patient_id"]]
    if len(others) and on_duplicates != "join":
        shown = "; ".join(
            f"scan {row['study_id']} of patient {row['patient_id']} has those of scan "
            f"{row['same_study_id']} of patient {row['same_patient_id']}"
            for _, row in others.head(_SHOWN).iterrows()
        )
        raise InputError(
            f"{len(others)} scan(s) of dataset '{dataset}' have the voxels of another patient's: {shown}",
            where=where,
            expected="every scan once, under one patient, whatever its file is called: else a patient may be "
            "in training and test at once",
            remedy="correct the dataset's table; or, if these patients are the same people, set "
            "duplicates: join for the dataset: they then count as one patient, and each scan is used once",
        )
    if on_duplicates == "keep":
        pairs = pairs.iloc[:0]
    same_as = pairs.set_index("study_id")["same_study_id"]
    is_copy = ledger["study_id"].isin(same_as.index)
    named = ledger["study_id"].map(same_as).astype("string")
    ledger = ledger.assign(
        status=ledger["status"].mask(is_copy, "refused"),
        reason=ledger["reason"].mask(is_copy, "duplicate"),
        detail=ledger["detail"].mask(is_copy, "the same voxels as scan " + named),
        same_as=named,
    )
    index = index[~index["study_id"].isin(same_as.index)]
    return Combined(index=index, ledger=ledger, refused=same_as.index.tolist())

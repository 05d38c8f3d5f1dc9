"""Splits that leave one group out of training: all scans of a manufacturer, a slice thickness, a sex.

The group is a value of a column of the table ``acquisition``. Its scans are the test set, so that no model
has seen a patient, nor a scan, of the group.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from chestct.errors import InputError
from chestct.subsets.splits import check_classes, cut_by_shares, shuffled_strata

log = logging.getLogger(__name__)

_SHOWN = 5
#: Numbers of headers are compared to this relative difference.
_TOLERANCE = 1e-6

#: One value, several, or for numbers a range: at_least (included), below (not included).
Group = str | float | bool | Sequence[Any] | Mapping[str, float]


def _problem(what: str, column: str, group: Group, expected: str, remedy: str) -> InputError:
    return InputError(
        what, where=f"split_by: {column}, test_group: {group}", expected=expected, remedy=remedy
    )


def in_group(values: pd.Series, column: str, group: Group) -> pd.Series:
    """Which values belong to the group; missing ones do not.

    Args:
        values: of a column of the table ``acquisition``; texts are compared without regard to case.
        column: its name, for messages.
        group: see ``Group``.

    Raises:
        InputError: the group is no number though the column is one of numbers, or a range of texts.
    """
    if is_numeric_dtype(values):
        numbers = pd.Series(values.to_numpy(dtype=float, na_value=np.nan), index=values.index)
        if isinstance(group, Mapping):
            low, high = group.get("at_least", -np.inf), group.get("below", np.inf)
            return (numbers >= low) & (numbers < high)
        try:
            wanted = [float(value) for value in _several(group)]
        except ValueError as error:
            raise _problem(
                f"'{column}' holds numbers, test_group is none: {error}",
                column,
                group,
                "a number, several, or a range {at_least: x, below: y}",
                f"choose one of {_counts(values)}",
            ) from error
        near = [np.isclose(numbers, value, rtol=_TOLERANCE, atol=_TOLERANCE) for value in wanted]
        return pd.Series(np.any(near, axis=0), index=values.index)
    if isinstance(group, Mapping):
        raise _problem(
            f"'{column}' holds texts, test_group is a range of numbers",
            column,
            group,
            "a text, or several",
            f"choose one of {_counts(values)}",
        )
    wanted_words = {str(value).strip().casefold() for value in _several(group)}
    return values.astype("string").str.strip().str.casefold().isin(wanted_words).fillna(False).astype(bool)


def _several(group: Group) -> list[Any]:
    return list(group) if isinstance(group, list | tuple) else [group]


def _counts(values: pd.Series) -> str:
    """The most frequent values with their numbers of scans."""
    counts = values.value_counts().head(10)
    return ", ".join(f"{value} ({number} scans)" for value, number in counts.items()) or "no value at all"


def split_by_group(
    cohort: pd.DataFrame,
    acquisition: pd.DataFrame,
    *,
    column: str,
    group: Group,
    shares: dict[str, float],
    seed: int,
) -> pd.DataFrame:
    """Make a group the test set, and split the other patients into training and validation.

    A patient with a scan of the group is a test patient, whose other scans are in no split. A patient with a
    scan of which the column is not known is in no split, unless a test patient by another scan: nobody
    knows whether that scan is one of the group. The log names them.

    Args:
        cohort, acquisition: tables of these schemas, of one dataset.
        column: of ``acquisition``.
        group: see ``Group``.
        shares: of patients by split; that of test is not used, validation is set against train by the others.
        seed: of the shuffling.

    Returns:
        Table of schema ``splits``, with one fold.

    Raises:
        InputError: the column does not exist or is empty, no scan is of the group or all are, or a split
            lacks one of the classes.
    """
    used = cohort.loc[cohort["status"] == "used", ["dataset", "patient_id", "study_id", "label"]]
    if column not in acquisition:
        raise _problem(
            f"the table acquisition has no column '{column}'",
            column,
            group,
            f"one of {[name for name in acquisition if name not in used]}",
            "correct split_by",
        )
    values = acquisition.set_index("study_id")[column].reindex(used["study_id"]).set_axis(used.index)
    unknown = values.isna()
    if unknown.all():
        raise _problem(
            f"the column '{column}' is empty for all {len(used)} usable scans",
            column,
            group,
            "a column that the scans' headers fill",
            "choose another column, or remove split_by",
        )
    member = in_group(values, column, group)
    if not member.any() or member.all():
        raise _problem(
            f"{'every' if member.all() else 'no'} usable scan is of the group",
            column,
            group,
            f"a group among {_counts(values)}",
            "correct test_group",
        )
    tested = used["patient_id"].isin(used.loc[member, "patient_id"])
    lost = used["patient_id"].isin(used.loc[unknown, "patient_id"]) & ~tested
    _report(used, column, beside=tested & ~member, unknown=unknown, lost=lost)
    rest = used[~tested & ~lost]
    split_of: dict[str, str] = {}
    validation = shares["validation"] / (shares["train"] + shares["validation"])
    for patients in shuffled_strata(rest, np.random.default_rng(seed)):
        parts = cut_by_shares(patients, [1 - validation, validation])
        for name, part in zip(("train", "validation"), parts, strict=True):
            split_of.update(dict.fromkeys(part, name))
    splits = pd.concat(
        [
            rest.assign(fold=0, split=rest["patient_id"].map(split_of)),
            used[member].assign(fold=0, split="test"),
        ]
    )
    splits = splits.sort_values(["patient_id", "study_id"], ignore_index=True)
    where = f"the group {column} = {group} of {int(member.sum())} scans, and {len(rest)} others"
    check_classes(splits, where=where, remedy="choose another group or column, or add scans")
    return splits


def _report(
    used: pd.DataFrame, column: str, *, beside: pd.Series, unknown: pd.Series, lost: pd.Series
) -> None:
    """Log which scans are in no split, and why."""
    if unknown.any():
        ids = used.loc[unknown, "study_id"]
        log.warning(
            "%s is not known of %d scan(s) of %d patient(s): %s. "
            "%d patient(s), with %d scan(s), are in no split",
            column,
            len(ids),
            used.loc[unknown, "patient_id"].nunique(),
            ", ".join(ids.head(_SHOWN)) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""),
            used.loc[lost, "patient_id"].nunique(),
            int(lost.sum()),
        )
    if beside.any():
        text = "%d scan(s) outside the group are of %d test patient(s), and in no split: %s"
        ids = used.loc[beside, "study_id"]
        log.warning(text, len(ids), used.loc[beside, "patient_id"].nunique(), ", ".join(ids.head(_SHOWN)))

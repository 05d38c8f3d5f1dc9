"""AUROC within subgroups of the test scans, with intervals over patients.

Groups are those of scanner (manufacturer, slice thickness, slice spacing), patient (sex, age) and finding
(diameter of the largest nodule, kind of embolism). Negative scans have no finding: the positive scans of
such a group are compared with all negative scans. A group with few scans of a class is named and gets no
number. The table describes; with so many groups some will look different by chance, and no p value is
computed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from chestct.evaluation.contrasts import Quantity, arms_of, values_by_seed
from chestct.evaluation.fold_values import MetricSettings, fold_values
from chestct.evaluation.folds import LEFT_OUT, class_strata
from chestct.evaluation.intervals import student_intervals
from chestct.evaluation.matching import RunKey
from chestct.evaluation.resampling import Draws, patient_strata
from chestct.evaluation.scans import TestSet

#: Scans of either class that a group needs for a number.
MIN_SCANS = 10
#: Intervals that decide nothing use this many resamples, the first ones.
MAX_RESAMPLES = 2000
NOT_STATED = "not stated"
#: Upper bounds of groups of numbers: slice thickness and spacing in mm, age in years, diameter in mm
#: (the last as in the guidelines of the Fleischner Society: MacMahon et al., Radiology 284(1), 2017).
BOUNDS = {
    "slice_thickness_mm": (1.5, 2.5),
    "spacing_z_mm": (1.5, 2.5),
    "age_years": (49, 64),
    "diameter_mm": (6.0, 8.0),
}
_UNITS = {"slice_thickness_mm": " mm", "spacing_z_mm": " mm", "age_years": " years", "diameter_mm": " mm"}
#: Columns that a small group leaves empty.
_VALUES = ("model", "init", "percent", "value", "patients_low", "patients_high", "num_resamples")
#: Columns of the table findings that are kinds of embolism, by group.
_KINDS = {"central_pe": "central", "chronic_pe": "chronic", "right_heart_strain": "right-heart strain"}


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """Some of the test scans.

    Attributes:
        attribute: what the group is formed by.
        group: its value.
        members: shape (num_scans,); with ``positives_only`` all negative scans are among them.
        positives_only: whether the attribute is one of positive scans alone.
    """

    attribute: str
    group: str
    members: np.ndarray
    positives_only: bool = False


def number_groups(values: pd.Series, bounds: Sequence[float], unit: str) -> pd.Series:
    """The group of every number, by upper bounds that belong to the group below; empty where it is missing.

    >>> number_groups(pd.Series([1.0, 2.0, 3.0]), (1.5, 2.5), " mm").tolist()
    ['up to 1.5 mm', 'above 1.5 to 2.5 mm', 'above 2.5 mm']
    """
    texts = [f"{bound:g}" for bound in bounds]
    names = [f"up to {texts[0]}{unit}"]
    names += [f"above {low} to {high}{unit}" for low, high in pairwise(texts)]
    names.append(f"above {texts[-1]}{unit}")
    edges = [-np.inf, *bounds, np.inf]
    return pd.Series(pd.cut(values.astype(float), edges, labels=names), index=values.index)


def list_subgroups(facts: pd.DataFrame, labels: np.ndarray) -> list[Subgroup]:
    """The subgroups of the test scans.

    Args:
        facts: columns of the tables ``acquisition`` and ``findings``, a row a test scan, in their order.
        labels: 0 or 1, shape (num_scans,).

    Returns:
        Groups by attribute, each with at least one scan (of a finding: positive scan). Scans of which an
        attribute is not stated are a group of their own where others state it; an attribute that no scan
        states is left out.
    """
    columns = {
        "manufacturer": facts["manufacturer"],
        "slice thickness": _bounded(facts, "slice_thickness_mm"),
        "slice spacing": _bounded(facts, "spacing_z_mm"),
        "sex": facts["sex"].map({"F": "female", "M": "male", "O": "other"}),
        "age": _bounded(facts, "age_years"),
    }
    groups = [
        Subgroup(attribute=attribute, group=group, members=members)
        for attribute, values in columns.items()
        if values.notna().any()
        for group, members in _members(values)
    ]
    diameters = _bounded(facts, "diameter_mm")
    if diameters.notna().any():
        groups += _of_positives("nodule diameter", _members(diameters), labels)
    kinds = facts[list(_KINDS)].astype(float)
    is_kind = kinds == 1
    named = [(name, is_kind[column].to_numpy()) for column, name in _KINDS.items()]
    named.append(("none of these", (kinds.notna().any(axis=1) & ~is_kind.any(axis=1)).to_numpy()))
    return groups + _of_positives("kind of embolism", named, labels)


def _of_positives(
    attribute: str, groups: Iterable[tuple[str, np.ndarray]], labels: np.ndarray
) -> list[Subgroup]:
    """The positive scans of every group that has any, each with all negative scans."""
    positive = labels == 1
    return [
        Subgroup(
            attribute=attribute, group=group, members=(members & positive) | ~positive, positives_only=True
        )
        for group, members in groups
        if (members & positive).any()
    ]


def _bounded(table: pd.DataFrame, column: str) -> pd.Series:
    return number_groups(table[column], BOUNDS[column], _UNITS[column])


def _members(values: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Groups in their order (categories) or by name, then the scans without a value."""
    known = values.dropna()
    ordered = isinstance(values.dtype, pd.CategoricalDtype)
    names = list(values.cat.categories) if ordered else sorted(known.unique())
    for name in names:
        members = (values == name).fillna(False).to_numpy(dtype=bool)
        if members.any():
            yield str(name), members
    missing = values.isna().to_numpy()
    if missing.any():
        yield NOT_STATED, missing


def subgroup_rows(
    groups: Sequence[Subgroup],
    quantities: Sequence[Quantity],
    scores: Mapping[RunKey, np.ndarray],
    test_set: TestSet,
    draws: Draws,
    confidence: float,
) -> Iterator[dict[str, Any]]:
    """Rows of the table "subgroups": AUROC within every group, on the resamples of the whole test set.

    Args:
        groups: of ``list_subgroups``.
        quantities: arms and means over models.
        scores: by run, shape (num_scans,).
        test_set: test scans.
        draws: of the dataset.
        confidence: of the intervals, which are over patients alone.

    Yields:
        A row a group and quantity; of a group with fewer than ``MIN_SCANS`` scans of a class, or without a
        fold that has both, one row without a model and a value.
    """
    fewer = draws.first(MAX_RESAMPLES)
    arms = {arm for quantity in quantities for part in quantity.parts for arm in part if arm is not None}
    needed = {key: values for key, values in scores.items() if key[:3] in arms}
    for group in groups:
        members = group.members
        labels, folds = test_set.labels[members], test_set.folds[members]
        num_positive = int(labels.sum())
        row = {
            "attribute": group.attribute,
            "group": group.group,
            "positives_only": int(group.positives_only),
            "num_scans": len(labels),
            "num_positive": num_positive,
        }
        if min(num_positive, len(labels) - num_positive) < MIN_SCANS or _unranked(labels, folds):
            yield row | dict.fromkeys(_VALUES)
            continue
        part, counts = _part(test_set, members), fewer.counts.T[members].T
        stratum = patient_strata(part.patient_ids, labels, folds)[1]
        own_draws = Draws(counts=counts, num_resamples=fewer.num_resamples, stratum=stratum)
        own_scores = {key: values[members] for key, values in needed.items()}
        settings = MetricSettings(specificity=0.5, prevalence=0.5)  # AUROC needs neither
        own_arms = arms_of(fold_values("auroc", own_scores, part, own_draws, settings))
        values_KR = np.stack([values_by_seed(one, own_arms).mean(axis=(0, 1, 2)) for one in quantities])
        low, high, _ = student_intervals(
            values_KR[:, 0], own_draws.resampled(values_KR), own_draws.freedom, confidence, of_share=True
        )
        for number, quantity in enumerate(quantities):
            yield row | {
                "model": quantity.model,
                "init": quantity.label,
                "percent": quantity.percent,
                "value": values_KR[number, 0],
                "patients_low": low[number],
                "patients_high": high[number],
                "num_resamples": fewer.num_resamples,
            }


def _unranked(labels: np.ndarray, folds: np.ndarray) -> bool:
    return bool((class_strata(labels, folds) == LEFT_OUT).all())


def _part(test_set: TestSet, members: np.ndarray) -> TestSet:
    """Some scans of a test set."""
    return replace(
        test_set,
        study_ids=test_set.study_ids[members],
        patient_ids=test_set.patient_ids[members],
        labels=test_set.labels[members],
        folds=test_set.folds[members],
        baseline=None,
    )

"""The report's section on other test sets."""

import dataclasses

import pandas as pd
import pytest

from chestct.figures.report_outside import dataset_words, outside_of
from chestct.figures.wording import contrast_title

OWN = {"name": "lidc_phantom", "source": "phantom_lidc", "test_on": ["clinic"]}


def test_what_is_special_about_a_dataset_is_said_in_words():
    assert dataset_words({"name": "d"}) == []
    assert dataset_words(OWN) == ["its models are tested on clinic too (all usable scans)"]
    group = {"name": "d", "split_by": "slice_thickness_mm", "test_group": {"at_least": 2, "below": 3.5}}
    assert dataset_words(group) == [
        "left out of training and tested on: slice_thickness_mm at least 2 and below 3.5"
    ]
    changed = {"name": "d", "scans_of": "e", "consensus": 2, "spacing_z_mm": 1.25, "train": False}
    assert dataset_words(changed) == [
        "no training: all usable scans are test scans",
        "the scans of e",
        "positive by 2 readers",
        "slices 1.25 mm apart",
    ]


def test_a_study_without_other_test_sets_has_none(tables):
    found = outside_of(tables("default"), [{"name": "lidc_phantom"}, {"name": "rspect_phantom"}])
    assert found == {"sentences": [], "table": None, "sensitivity": None}


def test_an_outside_test_set_stands_beside_the_own_one(tables):
    whole, name = tables("default"), "lidc_phantom_on_clinic"
    rows = whole.means[whole.means["dataset"] == "lidc_phantom"]
    theirs = rows.assign(dataset=name, value=rows["value"] - 0.1, num_scans=50, num_positive=20)
    study = dataclasses.replace(
        whole,
        datasets=(*whole.datasets, name),
        means=pd.concat([whole.means, theirs], ignore_index=True),
        outside={name: ("lidc_phantom", "clinic")},
    )
    found = outside_of(study, [OWN])
    assert found["sentences"] == [
        "Models trained on lidc_phantom are also tested on clinic, whose patients are others: 50 scans, 20 "
        "positive (lidc_phantom_on_clinic)."
    ]
    columns = found["table"].columns
    own = rows[rows["metric"] == "auroc"]
    assert len(found["table"].rows) == len(own)
    assert {row[list(columns).index("Outside minus own")] for row in found["table"].rows} == {
        "\N{MINUS SIGN}0.100"
    }


def test_analyses_of_the_same_scans_stand_side_by_side(tables):
    whole = tables("default")
    entries = [
        {"name": "lidc_phantom"},
        {"name": "rspect_phantom", "scans_of": "lidc_phantom", "consensus": 4},
    ]
    assert outside_of(whole, entries)["sentences"] == [
        "rspect_phantom holds the scans of lidc_phantom once more: positive by 4 readers."
    ]
    found = outside_of(whole, entries)["sensitivity"]
    columns = list(found.columns)
    rows = [dict(zip(columns, row, strict=True)) for row in found.rows]
    pairs = [(row["Contrast"], row["Model"], row["%"], row["Dataset"]) for row in rows]
    assert len(set(pairs)) == len(pairs)
    first = [row for row in rows if row["Dataset"] == "rspect_phantom"]
    assert {row["What differs"] for row in first} == {"positive by 4 readers"}
    video = [row for row in rows if row["Contrast"] == contrast_title("video - scratch")]
    assert [(row["%"], row["Dataset"]) for row in video] == [
        ("10", "lidc_phantom"),
        ("10", "rspect_phantom"),
        ("100", "lidc_phantom"),
        ("100", "rspect_phantom"),
    ]
    assert all(int(row["Positive"]) < int(row["Scans"]) for row in rows)


@pytest.mark.parametrize("group", ["SIEMENS", ["SIEMENS", "GE"]])
def test_a_left_out_group_is_named(tables, group):
    entry = {"name": "lidc_phantom", "split_by": "manufacturer", "test_group": group}
    (sentence,) = outside_of(tables("default"), [entry])["sentences"]
    assert sentence.endswith(
        f"test set: manufacturer {'SIEMENS' if group == 'SIEMENS' else 'SIEMENS or GE'}."
    )

"""Datasets that share scans, are tested on others, or leave a group out: what cannot be stops."""

import copy
from pathlib import Path

import pytest
import yaml

from chestct import run_grid
from chestct.check_configuration import check_configuration, source_entry
from chestct.dataset_entries import (
    claimed_datasets,
    outside_sets,
    resolve_entries,
    shares_volumes,
    trained_datasets,
)
from chestct.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
LUNG = {"centre": -600, "width": 1500}
OWN = {
    "name": "mine",
    "source": "own_data",
    "table": "t.csv",
    "columns": {"patient_id": "p", "study_id": "s", "path": "f", "label": "l"},
    "display_window_hu": LUNG,
    "train": False,
}
ELSEWHERE = {
    "name": "elsewhere",
    "source": "phantom_lidc",
    "scanner": "b",
    "num_patients": 20,
    "seed": 3,
    "display_window_hu": LUNG,
    "train": False,
}


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def with_datasets(config, *more, **changes):
    """The default study with further datasets and changed keys of its second one, lidc_phantom."""
    changed = copy.deepcopy(config)
    changed["datasets"][1] |= changes
    changed["datasets"] += more
    return changed


@pytest.mark.parametrize(
    ("more", "changes", "message"),
    [
        (
            [],
            {"test_on": ["nowhere"]},
            r"'nowhere' is not a dataset of this[\s\S]*lidc_phantom.test_on",
        ),
        ([], {"test_on": ["lidc_phantom"]}, r"'lidc_phantom' is to be tested on itself"),
        ([], {"test_on": ["rspect_phantom"]}, r"scans that the CT pretraining of 'lidc_phantom' takes"),
        (
            [OWN],
            {"test_on": ["mine"]},
            r"positive label of 'mine' means is not known[\s\S]*add the key label",
        ),
        ([OWN | {"label": "tumour"}], {"test_on": ["mine"]}, r"'nodule' \('lidc_phantom'\) and 'tumour'"),
        (
            [{"name": "again", "scans_of": "lidc_phantom", "consensus": 2}],
            {"test_on": ["again"]},
            r"'again' has the scans of 'lidc_phantom', on which the models were trained",
        ),
        ([ELSEWHERE | {"test_on": ["lidc_phantom"]}], {}, r"'elsewhere' has no models that could be tested"),
        (
            [ELSEWHERE, ELSEWHERE | {"name": "lidc_phantom_on_elsewhere"}],
            {"test_on": ["elsewhere"]},
            r"are called 'lidc_phantom_on_elsewhere', as a dataset is",
        ),
        ([ELSEWHERE], {"ct_source": "elsewhere"}, r"ct_source 'elsewhere' is not trained on"),
        ([], {"split_by": "manufacturer"}, r"split_by without test_group"),
        ([], {"test_group": "SIEMENS"}, r"test_group without split_by"),
        ([], {"split_by": "manufactrer", "test_group": "A"}, r"did you mean 'manufacturer'"),
        ([ELSEWHERE | {"split_by": "sex", "test_group": "M"}], {}, r"split_by without training"),
        ([], {"indeterminate": "positive"}, r"'phantom_lidc' has no choice of `indeterminate`"),
        ([], {"consensus": 5}, r"5 is greater than the maximum of 4"),
        ([], {"spacing_z_mm": 0}, r"less than the minimum[\s\S]*spacing_z_mm"),
        ([{"name": "x", "scans_of": "nowhere"}], {}, r"scans_of 'nowhere' is not another dataset"),
        ([{"name": "x", "scans_of": "x"}], {}, r"scans_of 'x' is not another dataset"),
        (
            [{"name": "x", "scans_of": "lidc_phantom"}, {"name": "y", "scans_of": "x"}],
            {},
            r"scans_of 'x' is not another dataset with scans of its own",
        ),
        ([{"name": "x", "scans_of": "lidc_phantom", "seed": 9}], {}, r"\['seed'\] would change the scans"),
        ([{"name": "x"}], {}, r"missing key\(s\) \['source', 'display_window_hu'\]"),
    ],
)
def test_what_cannot_be_stops_with_key_and_remedy(config, more, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        check_configuration(with_datasets(config, *more, **changes))
    assert "remedy:" in str(caught.value)


def test_a_study_trains_on_something(config):
    config["datasets"] = [ELSEWHERE]
    with pytest.raises(InputError, match="no dataset is trained on"):
        check_configuration(config)


def test_a_group_is_left_out_of_one_test_set_not_of_folds(config):
    config["subsets"]["folds"] = 5
    with pytest.raises(InputError, match=r"split_by leaves one group out, but subsets.folds is 5"):
        check_configuration(with_datasets(config, split_by="sex", test_group="M"))


@pytest.mark.parametrize("group", ["SIEMENS", 2.5, True, [1.0, 1.25], {"at_least": 2, "below": 3}])
def test_a_group_is_a_value_several_or_a_range(config, group):
    check_configuration(with_datasets(config, split_by="slice_thickness_mm", test_group=group))


def test_datasets_for_testing_have_no_runs(config):
    config = with_datasets(config, ELSEWHERE, OWN | {"label": " Nodule "}, test_on=["elsewhere", "mine"])
    check_configuration(config)
    entries = resolve_entries(config["datasets"])
    assert trained_datasets(entries) == ["rspect_phantom", "lidc_phantom"]
    assert {run.dataset for run in run_grid.list_runs(config)} == {"rspect_phantom", "lidc_phantom"}
    found = [(outside.name, outside.trained, outside.tested) for outside in outside_sets(entries)]
    assert found == [
        ("lidc_phantom_on_elsewhere", "lidc_phantom", "elsewhere"),
        ("lidc_phantom_on_mine", "lidc_phantom", "mine"),
    ]


def test_a_dataset_with_the_scans_of_another_takes_over_its_keys(config):
    more = [
        {"name": "two", "scans_of": "lidc_phantom", "consensus": 2},
        {"name": "thick", "scans_of": "lidc_phantom", "spacing_z_mm": 3},
    ]
    config = with_datasets(config, *more)
    check_configuration(config)
    entries = resolve_entries(config["datasets"])
    base, two, thick = entries[1:]
    assert two == base | more[0]
    # How labels are read concerns the labels alone, and how slices lie the volumes alone.
    assert source_entry(two) == source_entry(base) | {"name": "two", "scans_of": "lidc_phantom"}
    assert source_entry(two, labels=True) == source_entry(two) | {"consensus": 2}
    assert source_entry(thick, labels=True) == source_entry(base) | {
        "name": "thick",
        "scans_of": "lidc_phantom",
    }
    assert [shares_volumes(entry, entries) for entry in entries] == [False, False, True, False]
    # Claims average over independent patients.
    assert claimed_datasets(entries) == ["rspect_phantom", "lidc_phantom"]

"""What the weights of a run will say of its scans: conversion, label, what was learned from before."""

import json

import pytest
import yaml

from chestct.dataset_entries import resolve_entries
from chestct.jobs.data_facts import conversion_facts, data_facts
from chestct.run import Run
from chestct.run_grid import list_runs

RUN = {"dataset": "lidc_phantom", "model": "slow_narrow", "init": "ct", "percent": 10, "seed": 0, "fold": 0}


@pytest.fixture
def config(root):
    """The default study's configuration."""
    config = yaml.safe_load((root / "config.yaml").read_text())
    return config | {"datasets": resolve_entries(config["datasets"])}


def test_conversion_is_that_of_the_study_and_of_the_model_s_windows(config):
    config["datasets"][1] |= {"spacing_z_mm": 2.5, "accept": ["gantry_tilt"]}
    facts = conversion_facts(config, Run(**RUN))
    assert facts == {
        "size_px": config["volumes"]["size_px"],
        "spacing_z_mm": 2.5,
        "num_slices": None,
        "intensity": "hu",
        "accept": ["gantry_tilt"],
        "window_stride": config["subsets"]["window_stride"],
    }
    strides = {
        model: conversion_facts(config, Run(**RUN | {"model": model}))["window_stride"]
        for model in ("efficientnet_lite0_slices", "lrcn_efficientnet_lite0_scan")
    }
    assert strides == {"efficientnet_lite0_slices": 1, "lrcn_efficientnet_lite0_scan": None}


def test_everything_that_was_learned_from_is_named(config):
    facts = data_facts(config, Run(**RUN))
    assert facts["label"] == "nodule" and facts["phantoms"] and facts["num_folds"] == 1
    assert [earlier["dataset"] for earlier in facts["earlier_datasets"]] == ["rspect_phantom"]
    assert facts["published_weights"] == []
    # The features of an LRCN began with published weights, and were fine-tuned on the same scans.
    lrcn = data_facts(config, Run(**RUN | {"model": "lrcn_efficientnet_lite0", "init": "imagenet"}))
    assert lrcn["published_weights"] == ["efficientnet_lite0_imagenet"] and not lrcn["earlier_datasets"]
    both = data_facts(config, Run(**RUN | {"model": "i3d", "init": "video_ct"}))
    assert both["published_weights"] == ["i3d_kinetics400"]
    assert [earlier["source"] for earlier in both["earlier_datasets"]] == ["phantom_rspect"]


def test_a_user_s_own_label_is_named_by_its_column_unless_words_are_given(root):
    config = yaml.safe_load((root / "config.yaml").read_text())
    config |= {"datasets": yaml.safe_load((root / "studies/own_data.yaml").read_text())["datasets"]}
    (entry,) = config["datasets"]
    run = Run(**RUN | {"dataset": entry["name"], "init": "scratch"})
    assert data_facts(config, run)["label"] == 'positive by the column "nodule" of the table'
    entry["label"] = "Any  nodule"
    assert data_facts(config, run)["label"] == "any nodule"
    assert entry["table"] not in json.dumps(data_facts(config, run)), "no path"


@pytest.mark.parametrize("phantoms", [True, False])
def test_own_data_that_are_phantoms_are_called_so(root, phantoms):
    config = yaml.safe_load((root / "config.yaml").read_text())
    config |= {"datasets": yaml.safe_load((root / "studies/own_data.yaml").read_text())["datasets"]}
    config["datasets"][0]["phantoms"] = phantoms
    run = Run(**RUN | {"dataset": config["datasets"][0]["name"], "init": "scratch"})
    assert data_facts(config, run)["phantoms"] is phantoms


def test_every_run_of_the_default_study_has_facts_in_plain_data(config):
    for run in list_runs(config):
        facts = {"conversion": conversion_facts(config, run), "training_data": data_facts(config, run)}
        assert json.loads(json.dumps(facts)) == facts

import copy
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from chestct.configuration import (
    check_configuration,
    initial_weights,
    iter_weights_ids,
    list_runs,
    model_inits,
    training_settings,
)
from chestct.errors import InputError

RSPECT = {"name": "rspect", "source": "rspect", "display_window_hu": {"centre": 400, "width": 1000}}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def change(config, path, value):
    """Set one key, given as a dotted path with list positions."""
    changed = copy.deepcopy(config)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target = changed
    for part in parents:
        target = target[part]
    target[last] = value
    return changed


def test_the_default_configuration_is_valid(config):
    check_configuration(config)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("percentz", [10], r"unknown key.*percentz[\s\S]*did you mean 'percents'"),
        ("training.batchsize", 8, r"batchsize[\s\S]*training[\s\S]*did you mean 'batch_size'"),
        ("percents", [0, 100], r"0 is less than the minimum[\s\S]*percents.0"),
        ("percents", [10.5], r"not of type 'integer'[\s\S]*percents.0"),
        ("training.batch_size", "8", r"'8' is not of type 'integer'[\s\S]*training.batch_size"),
        ("models.0.name", "slow_narow", r"unknown model 'slow_narow'[\s\S]*did you mean 'slow_narrow'"),
        ("models.1.name", "slow_narrow", r"models repeat"),
        ("models.0.inits", ["imagenet"], r"no init \['imagenet'\][\s\S]*models.slow_narrow"),
        ("models.9.name", "i3d", r"needs 'efficientnet_lite0', which lacks"),
        ("subsets.split.train", 0.6, r"sum to 1.2, so splits would overlap[\s\S]*subsets.split"),
        ("subsets.split.train", 0.2, r"patients would be left out"),
        ("datasets.0.source", "phantom_rspct", r"did you mean 'phantom_rspect'"),
        ("datasets.0.source", "own_data", r"needs \['table', 'columns'\]"),
        ("datasets.1.ct_source", "elsewhere", r"no other dataset"),
        ("datasets.0.ct_source", "lidc_phantom", r"runs in a circle[\s\S]*one_job_per"),
        ("datasets.1.name", "rspect_phantom", r"dataset names repeat"),
        ("datasets.0.from", "idc", r"has no choice of `from`[\s\S]*datasets.rspect_phantom"),
        ("datasets.0", RSPECT, r"from: folder, needs \['folder'\][\s\S]*kaggle, archive"),
        ("datasets.0", RSPECT | {"from": "idc"}, r"not had from 'idc'[\s\S]*folder, kaggle, archive"),
        ("datasets.0", RSPECT | {"from": "archive"}, r"needs \['archive_url'\]"),
        ("datasets.0", RSPECT | {"from": "archive", "archive_url": "x.zip"}, r"does not match"),
        ("download.parallel", 0, r"0 is less than the minimum of 1"),
        ("models.7.name", "slow_r50", r"8 models would go into the mean of the seven"),
        ("subsets.window_slices", 40, r"40 does not fit model 'slow_narrow'[\s\S]*8 to 32"),
        ("percents", [10, 50], r"percents lacks 100"),
        ("training.crop_px", 50, r"50 exceeds volumes.size_px \(40\)"),
        ("subsets.min_positive_slices", 17, r"17 exceeds window_slices"),
        ("study", "Default Study", r"does not match"),
        ("inits", [], r"non-empty[\s\S]*'inits'"),
    ],
)
def test_what_cannot_be_stops_with_key_and_remedy(config, path, value, message):
    with pytest.raises(InputError, match=message) as caught:
        check_configuration(change(config, path, value))
    assert "remedy:" in str(caught.value)


def test_the_default_grid_has_every_model_and_its_inits(config):
    runs = list_runs(config)
    assert {run.model for run in runs} == {entry["name"] for entry in config["models"]}
    assert len(runs) == len(set(runs))
    assert model_inits(config, "slow_narrow", "rspect_phantom") == ["scratch", "video"]
    assert model_inits(config, "slow_narrow", "lidc_phantom") == ["scratch", "video", "ct"]
    assert model_inits(config, "i3d", "lidc_phantom") == ["scratch", "video"]
    assert model_inits(config, "efficientnet_lite0", "lidc_phantom") == ["scratch", "imagenet"]


@pytest.mark.parametrize("study", ["paper", "pilot", "smoke", "own_data"])
def test_every_study_is_valid(config, study):
    update_config(config, yaml.safe_load((ROOT / "studies" / f"{study}.yaml").read_text()))
    check_configuration(config)


def test_an_address_may_hold_a_variable(config):
    for address in ("https://example.org/a.zip?${SIGNATURE}", "${ARCHIVE}"):
        entry = RSPECT | {"name": "rspect_phantom", "from": "archive", "archive_url": address}
        check_configuration(change(config, "datasets.0", entry))


def test_ct_pretraining_is_the_source_run_with_all_patients(config):
    run = next(r for r in list_runs(config) if r.init == "ct" and r.percent == 10)
    source = initial_weights(config, run)["run"]
    assert (source.dataset, source.init, source.percent) == ("rspect_phantom", "scratch", 100)
    assert source in list_runs(config)


def test_starting_weights_come_from_where_the_catalogue_says(config):
    kinds = {(r.model, r.init): initial_weights(config, r)["kind"] for r in list_runs(config)}
    assert kinds["slow_narrow", "scratch"] == "none"
    assert kinds["slow_narrow", "video"] == "pretraining"
    assert kinds["i3d", "video"] == "published"
    assert kinds["efficientnet_lite0", "imagenet"] == "published"
    assert kinds["lrcn_efficientnet_lite0", "scratch"] == "run"
    assert list(iter_weights_ids(config)) == ["efficientnet_lite0_imagenet", "i3d_kinetics400"]


def test_a_models_own_settings_override_the_training_block(config):
    assert training_settings(config, "i3d")["learning_rate"] == 0.001
    assert training_settings(config, "slow_narrow")["learning_rate"] == config["training"]["learning_rate"]
    assert "pretraining" not in training_settings(config, "i3d")

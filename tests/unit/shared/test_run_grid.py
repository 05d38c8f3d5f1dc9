"""The runs that a configuration spans: arms, starting weights, learning rates, frozen probes."""

from dataclasses import replace

import pytest

from chestct import run_grid
from chestct.catalogue import MODELS
from chestct.check_configuration import check_configuration
from chestct.errors import InputError
from tests.unit.shared.configurations import change


def test_the_default_grid_has_every_model_and_its_inits(config):
    runs = run_grid.list_runs(config)
    assert {run.model for run in runs} == {entry["name"] for entry in config["models"]}
    assert len(runs) == len(set(runs))
    assert run_grid.model_inits(config, "slow_narrow", "rspect_phantom") == ["scratch", "video"]
    assert run_grid.model_inits(config, "slow_narrow", "lidc_phantom") == ["scratch", "video", "ct"]
    longer = ["scratch", "scratch_long", "video"]
    assert run_grid.model_inits(config, "swin_narrow", "rspect_phantom") == longer
    assert run_grid.model_inits(config, "i3d", "lidc_phantom") == ["scratch", "video"]
    assert run_grid.model_inits(config, "efficientnet_lite0", "lidc_phantom") == ["scratch", "imagenet"]


def test_ct_pretraining_is_the_source_run_with_all_patients(config):
    run = next(r for r in run_grid.list_runs(config) if r.init == "ct" and r.percent == 10)
    source = run_grid.initial_weights(config, run)["run"]
    assert (source.dataset, source.init, source.percent) == ("rspect_phantom", "scratch", 100)
    assert source in run_grid.list_runs(config)


def test_starting_weights_come_from_where_the_catalogue_says(config):
    runs = run_grid.list_runs(config)
    kinds = {(run.model, run.init): run_grid.initial_weights(config, run)["kind"] for run in runs}
    assert kinds["slow_narrow", "scratch"] == "none"
    assert kinds["slow_narrow", "video"] == "pretraining"
    assert kinds["i3d", "video"] == "published"
    assert kinds["efficientnet_lite0", "imagenet"] == "published"
    assert kinds["lrcn_efficientnet_lite0", "imagenet"] == "run"
    assert list(run_grid.iter_weights_ids(config)) == ["efficientnet_lite0_imagenet", "i3d_kinetics400"]


def test_a_models_own_settings_override_the_training_block(config):
    own, shared = (run_grid.training_settings(config, name) for name in ("i3d", "slow_narrow"))
    assert (own.learning_rate, shared.learning_rate) == (0.001, config["training"]["learning_rate"])


def test_runs_get_every_key_that_is_theirs(config):
    settings = run_grid.training_settings(change(config, "models.0.accumulate", 2), "slow_narrow")
    assert (settings.patience, settings.compile, settings.tensorboard, settings.nodes) == (
        None,
        "auto",
        False,
        1,
    )
    assert settings.accumulate == 2


def test_longer_training_differs_in_its_length_alone(config):
    usual, longer = (
        run_grid.training_settings(config, "slow_narrow", init) for init in ("scratch", "scratch_long")
    )
    assert (usual.budget_factor, longer.budget_factor) == (1, config["training"]["long_factor"])
    assert replace(longer, budget_factor=1) == usual == run_grid.training_settings(config, "slow_narrow")
    long = [run for run in run_grid.list_runs(config) if run.init == "scratch_long"]
    assert {run.model for run in long} == {"swin_narrow"}, "one fast model of the default study"
    assert all(run_grid.initial_weights(config, run) == {"kind": "none"} for run in long)


def test_an_lrcn_that_trains_longer_takes_features_that_were_trained_longer(config):
    config["inits"] = ["scratch", "scratch_long"]
    config["models"] = [{"name": name} for name in ("efficientnet_lite0", "lrcn_efficientnet_lite0")]
    check_configuration(config)
    run = next(
        run for run in run_grid.list_runs(config) if run.model.startswith("lrcn") and "long" in run.init
    )
    assert run_grid.initial_weights(config, run)["run"] == replace(run, model="efficientnet_lite0")


@pytest.fixture
def searching(config):
    return change(config, "training.learning_rates", [0.01, 0.001])


def test_rates_are_tried_on_a_subset_that_the_study_has(searching):
    check_configuration(searching)
    with pytest.raises(InputError, match="50 % of the training patients, no share of this study"):
        check_configuration(change(searching, "training.selection_percent", 50))


def test_every_arm_tries_rates_on_the_same_run_of_its_own(searching):
    searching["seeds"], searching["subsets"]["folds"] = [3, 4], 2
    runs = set(run_grid.list_runs(searching))
    arms = run_grid.list_searches(searching)
    tried = {run_grid.selection_run(searching, *arm) for arm in arms}
    assert tried <= runs
    assert len(tried) == len(arms) == len(run_grid.list_arms(searching)) - 2
    assert not any(run.init == "scratch_long" for run in tried)
    assert {(run.percent, run.seed, run.fold) for run in tried} == {(100, 3, 0)}


@pytest.fixture
def both(config):
    """Two directions of CT pretraining, all arms, two folds, with a probe of a model of each kind."""
    config["datasets"][0]["ct_source"] = "lidc_phantom"
    config["inits"] = ["scratch", "video", "ct", "video_ct", "imagenet"]
    config["subsets"]["folds"] = 2
    names = ["slow_narrow", "i3d", "efficientnet_lite0"]
    config["models"] = [{"name": name} for base in names for name in (base, f"{base}_probe")]
    check_configuration(config)
    return config


def test_the_full_size_models_have_every_arm_in_both_directions(both):
    both["models"] = [
        {"name": name} for name, entry in MODELS.items() if entry.weights and entry.family == "3d"
    ]
    both["subsets"]["window_slices"], both["volumes"]["size_px"] = 32, 256
    both["training"]["crop_px"] = 224
    check_configuration(both)
    runs = set(run_grid.list_runs(both))
    starts = {(run.dataset, run.model, run.init): run_grid.initial_weights(both, run) for run in runs}
    assert len(starts) == 2 * 4 * len(both["models"])
    other = {"rspect_phantom": "lidc_phantom", "lidc_phantom": "rspect_phantom"}
    for run in runs:
        start = run_grid.initial_weights(both, run)
        kind = {"scratch": "none", "video": "published", "ct": "run", "video_ct": "run"}[run.init]
        assert start["kind"] == kind
        if kind == "run":
            source = start["run"]
            assert source in runs
            assert source.dataset == other[run.dataset]
            assert source.init == {"ct": "scratch", "video_ct": "video"}[run.init]
            assert (source.percent, source.seed, source.fold) == (100, run.seed, run.fold)
            assert source.model == (MODELS[run.model].probe_of or run.model)


def test_a_probe_starts_as_its_model_does(both):
    runs = set(run_grid.list_runs(both))
    for run in runs:
        base = MODELS[run.model].probe_of
        if base is not None:
            of_model = next(r for r in runs if r == replace(run, model=base))
            assert run_grid.initial_weights(both, run) == run_grid.initial_weights(both, of_model)


def test_a_probe_differs_from_its_model_in_what_is_trained_alone():
    probes = {name: entry for name, entry in MODELS.items() if entry.frozen}
    assert set(probes) == {
        f"{name}_probe" for name, e in MODELS.items() if not e.frozen and not e.features_from
    }
    for entry in probes.values():
        base = MODELS[entry.probe_of]
        assert not base.frozen
        assert not entry.seven
        assert entry.inits == tuple(init for init in base.inits if init != "scratch_long")
        same = ["family", "module", "build", "mean", "std", "weights", "slices", "size_px", "head"]
        assert all(getattr(entry, name) == getattr(base, name) for name in same)
        assert entry.title == f"{base.title} (frozen probe)"


def test_arms_share_every_setting(both):
    by_model = {run.model: run_grid.training_settings(both, run.model) for run in run_grid.list_runs(both)}
    assert by_model["slow_narrow"] == by_model["slow_narrow_probe"]


def test_a_probe_tries_no_learning_rates_and_trains_no_longer(both):
    both["inits"].append("scratch_long")
    arms = run_grid.list_searches(both)
    assert arms and not any(MODELS[model].frozen for _, model, _ in arms)
    longer = {run.model for run in run_grid.list_runs(both) if run.init == "scratch_long"}
    assert longer == {"slow_narrow", "i3d", "efficientnet_lite0"}


def test_runs_of_a_probe_share_networks(both):
    points = {}
    for run in run_grid.list_runs(both):
        if MODELS[run.model].frozen:
            points.setdefault((run.model, run.init), set()).add(run_grid.starting_point(both, run))
    assert points["slow_narrow_probe", "scratch"] == {"seed-0"}
    assert points["slow_narrow_probe", "video"] == points["i3d_probe", "video"] == {"shared"}
    assert points["slow_narrow_probe", "ct"] == {"seed-0-fold-0", "seed-0-fold-1"}

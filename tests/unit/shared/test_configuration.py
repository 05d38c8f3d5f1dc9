import copy
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from chestct import run_grid
from chestct.catalogue import MODELS
from chestct.check_configuration import check_configuration, source_entry
from chestct.dataset_entries import claimed_datasets
from chestct.errors import InputError
from chestct.evaluation.metric_table import METRICS
from chestct.window_forms import check_marks

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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("percentz", [10], r"unknown key.*percentz[\s\S]*did you mean 'percents'"),
        ("training.batchsize", 8, r"batchsize[\s\S]*training[\s\S]*did you mean 'batch_size'"),
        ("datasets.0.prevalence", 1, r"1 is greater than or equal to the maximum[\s\S]*prevalence"),
        ("evaluation.metrics", ["auroc", "f1"], r"unknown value 'f1'[\s\S]*sensitivity_validation"),
        ("percents", [0, 100], r"0 is less than the minimum[\s\S]*percents.0"),
        ("percents", [10.5], r"not of type 'integer'[\s\S]*percents.0"),
        ("training.batch_size", "8", r"'8' is not of type 'integer'[\s\S]*training.batch_size"),
        ("models.0.name", "slow_narow", r"unknown model 'slow_narow'[\s\S]*did you mean 'slow_narrow'"),
        ("models.1.name", "slow_narrow", r"models repeat"),
        ("models.0.inits", ["imagenet"], r"no init \['imagenet'\][\s\S]*models.slow_narrow"),
        ("models.8.name", "resnet18", r"needs 'efficientnet_lite0', which lacks"),
        (
            "models.0",
            {"name": "slow_narrow_probe", "inits": ["video"]},
            r"video pretraining of 'slow_narrow'[\s\S]*add 'slow_narrow'",
        ),
        ("models.7", {"name": "i3d_probe", "inits": ["ct"]}, r"run of 'i3d', whose features it probes, on"),
        ("models.0", {"name": "slow_narrow", "inits": ["ct"]}, r"rspect_phantom' from scratch, which the"),
        ("subsets.split.train", 0.6, r"sum to 1.2, so splits would overlap[\s\S]*subsets.split"),
        ("subsets.split.train", 0.2, r"patients would be left out"),
        ("datasets.0.source", "phantom_rspct", r"did you mean 'phantom_rspect'"),
        ("datasets.0.source", "own_data", r"needs \['table', 'columns'\]"),
        ("datasets.1.ct_source", "elsewhere", r"no other dataset"),
        ("datasets.1.name", "rspect_phantom", r"dataset names repeat"),
        ("datasets.0.from", "idc", r"has no choice of `from`[\s\S]*datasets.rspect_phantom"),
        ("datasets.0", RSPECT, r"from: folder, needs \['folder'\][\s\S]*folder, archive"),
        ("datasets.0", RSPECT | {"from": "idc"}, r"no files from: idc[\s\S]*folder, archive"),
        ("datasets.0", RSPECT | {"from": "archive"}, r"needs \['archive'\]"),
        ("datasets.0", RSPECT | {"from": "archive", "archive": ""}, r"non-empty"),
        ("download.parallel", 0, r"0 is less than the minimum of 1"),
        ("models.7.name", "slow_r50", r"8 models would go into the mean of the seven"),
        ("subsets.window_slices", 40, r"40 does not fit model 'slow_narrow'[\s\S]*8 to 32"),
        ("percents", [10, 50], r"percents lacks 100"),
        ("training.crop_px", 50, r"50 exceeds volumes.size_px \(40\)"),
        ("subsets.min_positive_slices", 17, r"17 exceeds window_slices"),
        ("training.learning_rates", [0.1, 0.1], r"non-unique[\s\S]*training.learning_rates"),
        ("training.learning_rates", [0], r"0 is less than or equal[\s\S]*training.learning_rates.0"),
        ("training.learning_rates", ["1e-3"], r"not of type 'number'"),
        ("training.selection_percent", 0, r"0 is less than the minimum[\s\S]*selection_percent"),
        ("training.patience", 5, r"5 is not of type 'object', 'null'[\s\S]*training.patience"),
        ("training.budget.windows_per_scan", 0, r"0 is less than or equal[\s\S]*budget.windows_per_scan"),
        ("training.max_epochs", 5, r"unknown key.*max_epochs[\s\S]*budget"),
        ("training.long_factor", 0.5, r"0.5 times as long[\s\S]*training.long_factor[\s\S]*at least 1"),
        ("models.0.inits", ["scratch_long", "video"], r"has scratch_long without scratch[\s\S]*add scratch"),
        ("training.compile", "yes", r"not of type 'boolean'[\s\S]*training.compile"),
        ("training.accumulate", 3, r"8 windows of 'slow_narrow' do not divide into 3 parts"),
        ("training.accumulate", 2, r"'slow_narrow' has BatchNorm: 2 parts[\s\S]*set accumulate: 1 for this"),
        ("models.3.accumulate", 2, r"'csn_narrow' has BatchNorm"),
        ("training.nodes", 2, r"'slow_narrow' has BatchNorm, whose statistics 2 processes share on GPUs"),
        ("training.precision", "16-mixed", r"16-mixed needs a GPU"),
        ("models.0.patience", 3, r"unknown key.*patience"),
        ("study", "Default Study", r"does not match"),
        ("inits", [], r"non-empty[\s\S]*'inits'"),
    ],
)
def test_what_cannot_be_stops_with_key_and_remedy(config, path, value, message):
    with pytest.raises(InputError, match=message) as caught:
        check_configuration(change(config, path, value))
    assert "remedy:" in str(caught.value)


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


@pytest.mark.parametrize(
    "overlay",
    [
        "config",
        *(
            f"studies/{name}"
            for name in ("paper", "pilot", "smoke", "own_data", "sensitivity", "lidc_nodules")
        ),
    ],
)
def test_every_study_is_valid(config, overlay):
    update_config(config, yaml.safe_load((ROOT / f"{overlay}.yaml").read_text()))
    check_configuration(config)


@pytest.mark.parametrize("path", sorted(ROOT.glob("studies/*.yaml")), ids=lambda path: path.stem)
def test_no_key_of_a_study_stands_twice(path):
    """YAML would take the second without a word."""
    keys = [line.partition(":")[0] for line in path.read_text().splitlines() if line[:1].isalpha()]
    assert len(keys) == len(set(keys))


def test_the_quick_study_of_nodules_is_a_part_of_the_whole(config):
    quick = copy.deepcopy(config)
    for changed, names in ((config, ["lidc_nodules"]), (quick, ["lidc_nodules", "lidc_nodules_quick"])):
        for name in names:
            update_config(changed, yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text()))
        check_configuration(changed)
    assert quick["study"] != config["study"]
    assert set(run_grid.list_runs(quick)) < set(run_grid.list_runs(config))
    assert quick["datasets"] == config["datasets"][:1]
    assert claimed_datasets(config["datasets"]) == ["agreement"]
    # Nothing of the configuration knows CT pretraining, and 3D models from video are not the paper's.
    assert {run.init for run in run_grid.list_runs(config)} == {
        "scratch",
        "scratch_long",
        "video",
        "imagenet",
    }


def test_the_lean_study_is_the_papers_with_a_smaller_budget(config):
    lean = copy.deepcopy(config)
    for changed, names in ((config, ["paper"]), (lean, ["paper", "paper_lean"])):
        for name in names:
            update_config(changed, yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text()))
        check_configuration(changed)
    assert lean["study"] != config["study"]
    assert run_grid.list_runs(lean) == run_grid.list_runs(config)
    settings = [run_grid.training_settings(part, "penet", "video") for part in (config, lean)]
    # 4,985 training scans of RSPECT: 1.8 million windows and 182,000 of patience in the published code.
    paper, small = ([part.budget.of(4985), part.patience.of(4985)] for part in settings)
    assert paper == pytest.approx([1.82e6, 182_000], rel=0.01)
    assert small == [50 * 4985, 10 * 4985]


def test_an_archive_is_a_path_an_address_or_a_variable(config):
    for archive in ("/data/a.zip", "https://example.org/a.zip?${SIGNATURE}", "${ARCHIVE}"):
        entry = RSPECT | {"name": "rspect_phantom", "from": "archive", "archive": archive}
        check_configuration(change(config, "datasets.0", entry))


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
        False,
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


def test_models_without_batchnorm_in_training_may_accumulate(config):
    config["models"] = [
        {"name": name, "accumulate": 1 if MODELS[name].batchnorm else 4}
        for name in ("slow_narrow", "slow_narrow_probe", "penet_narrow", "mvit_narrow", "swin_narrow")
    ]
    check_configuration(config)


def test_gpus_of_several_nodes_share_the_statistics_of_batchnorm(config):
    config["training"] |= {"gpus": 2, "nodes": 2}
    check_configuration(config)


# --- What models see at once


def test_models_of_whole_scans_have_a_size_of_their_own(config):
    with pytest.raises(InputError, match=r"600 does not fit model 'lrcn_\w+_scan'[\s\S]*subsets.scan_slices"):
        check_configuration(change(config, "subsets.scan_slices", 600))


def test_models_of_slices_need_marked_slices(config):
    own = {
        "name": "mine",
        "source": "own_data",
        "table": "labels.csv",
        "columns": {name: name for name in ("patient_id", "study_id", "path", "label")},
        "display_window_hu": {"centre": -600, "width": 1500},
    }
    config["datasets"].append(own)
    words = r"dataset 'mine' marks no slices[\s\S]*models.efficientnet_lite0_slices[\s\S]*see windows"
    with pytest.raises(InputError, match=words):
        check_configuration(config)
    config["models"] = [entry for entry in config["models"] if MODELS[entry["name"]].sees == "window"]
    check_configuration(config)


def test_scans_that_are_only_tested_on_need_no_marks():
    own = {"name": "mine", "source": "own_data"}
    check_marks([own | {"train": False}], "resnet18_slices")
    check_marks([own], "resnet18")
    with pytest.raises(InputError, match="'mine' marks no slices"):
        check_marks([own], "resnet18_slices_probe")


# --- Learning-rate search


@pytest.fixture
def searching(config):
    return change(config, "training.learning_rates", [0.01, 0.001])


def test_rates_are_tried_on_a_subset_that_the_study_has(searching):
    check_configuration(searching)
    with pytest.raises(InputError, match="50 % of the training patients, no percent of this study"):
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


# --- Arms: one configuration, and starting weights alone make the difference


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


@pytest.mark.parametrize("key", ["learning_rate", "budget"])
def test_a_probe_takes_no_key_of_training_that_means_nothing_for_it(config, key):
    value = {"learning_rate": 0.01, "budget": {"windows_per_scan": 2, "min_windows": 100}}[key]
    probe = {"name": "i3d_probe", "inits": ["video"]}
    config["models"].append(probe)
    check_configuration(config)
    probe[key] = value
    with pytest.raises(InputError, match=rf"'i3d_probe' is a frozen probe, which has no {key}"):
        check_configuration(config)


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


def test_a_probe_on_published_weights_needs_no_other_model(config):
    config["models"] = [{"name": "i3d_probe", "inits": ["scratch", "video"]}]
    check_configuration(config)


def test_how_a_dataset_is_used_says_nothing_of_its_source(config):
    check_configuration(change(config, "datasets.0.prevalence", 0.1))
    for entry in config["datasets"]:
        of_source = source_entry(entry | {"prevalence": 0.1}).keys()
        assert of_source == entry.keys() - {"display_window_hu", "ct_source"}


def test_the_schema_knows_the_metrics_of_the_evaluation(config):
    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    known = schema["properties"]["evaluation"]["properties"]["metrics"]["items"]["enum"]
    assert known == list(METRICS) == config["evaluation"]["metrics"]

"""What a configuration may not say, and the words with which it is refused."""

import pytest
import yaml

from chestct.catalogue import MODELS
from chestct.check_configuration import check_configuration, source_entry
from chestct.errors import InputError
from chestct.evaluation.metric_table import METRICS
from chestct.window_forms import check_marks
from tests.unit.shared.configurations import ROOT, RSPECT, change


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
        ("datasets.1.ct_source", "elsewhere", r"not another dataset"),
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
        ("training.compile", "yes", r"'yes'[\s\S]*training.compile"),
        ("training.compile_form", "all", r"'all'[\s\S]*training.compile_form"),
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


def test_an_archive_is_a_path_an_address_or_a_variable(config):
    for archive in ("/data/a.zip", "https://example.org/a.zip?${SIGNATURE}", "${ARCHIVE}"):
        entry = RSPECT | {"name": "rspect_phantom", "from": "archive", "archive": archive}
        check_configuration(change(config, "datasets.0", entry))


def test_models_without_batchnorm_in_training_may_accumulate(config):
    config["models"] = [
        {"name": name, "accumulate": 1 if MODELS[name].batchnorm else 4}
        for name in ("slow_narrow", "slow_narrow_probe", "penet_narrow", "mvit_narrow", "swin_narrow")
    ]
    check_configuration(config)


def test_gpus_of_several_nodes_share_the_statistics_of_batchnorm(config):
    config["training"] |= {"gpus": 2, "nodes": 2}
    check_configuration(config)


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


@pytest.mark.parametrize("key", ["learning_rate", "budget"])
def test_a_probe_takes_no_key_of_training_that_means_nothing_for_it(config, key):
    value = {"learning_rate": 0.01, "budget": {"windows_per_scan": 2, "min_windows": 100}}[key]
    probe = {"name": "i3d_probe", "inits": ["video"]}
    config["models"].append(probe)
    check_configuration(config)
    probe[key] = value
    with pytest.raises(InputError, match=rf"'i3d_probe' is a frozen probe, which has no {key}"):
        check_configuration(config)


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

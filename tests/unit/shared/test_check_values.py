"""Secrets, control characters and numbers beyond reason in a configuration; no message repeats a secret."""

import math

import pytest

from chestct.check_configuration import check_configuration
from chestct.check_values import check_values
from chestct.errors import InputError
from tests.unit.shared.configurations import RSPECT, change

SECRET = "ZQSECRET1"


def with_archive(config, archive):
    entry = RSPECT | {"name": "rspect_phantom", "from": "archive", "archive": archive}
    return change(config, "datasets.0", entry)


@pytest.mark.parametrize(
    "address",
    [
        "https://user:{}@example.org/a.zip",
        "https://{}@example.org/a.zip",
        "https://:{}@example.org/a.zip",
        "HTTPS://u:{}@example.org/a.zip?x=1",
        "https://user:${{PASSWORD}}{}@example.org/a.zip",
        "https://example.org/a.zip?X-Amz-Credential={}",
        "https://example.org/a.zip?x=1&x-amz-signature={}",
        "https://example.org/a.zip?X%2DAmz%2DSignature={}",
        "https://example.org/a.zip?sv=1&sig={}",
        "https://example.org/a.zip?access_token={}",
        "https://example.org/a.zip?apiKey={}",
        "https://example.org/a.zip?PASSWORD={}",
        "https://example.org/a.zip#token={}",
        "https://example.org/a.zip?u={}4f0c9a7be2d14c6f8a3b",
        "https://example.org/a.zip?{}4f0c9a7be2d14c6f8a3b",
        "s3://AKIA:{}@bucket/a.zip",
        "https://[{}/a.zip",
    ],
)
def test_addresses_with_a_secret_are_refused_and_the_message_keeps_it(config, address):
    with pytest.raises(
        InputError, match=r"holds a credential[\s\S]*datasets.0.archive[\s\S]*VARIABLE"
    ) as caught:
        check_configuration(with_archive(config, address.format(SECRET)))
    assert SECRET not in str(caught.value)


def test_an_endpoint_with_a_password_is_refused_before_its_pattern_is_shown(config):
    lidc = {"name": "rspect_phantom", "source": "lidc_idri", "from": "idc"}
    lidc |= {
        "display_window_hu": {"centre": 0, "width": 1},
        "endpoint_url": f"ftp://u:{SECRET}@storage.example",
    }
    with pytest.raises(InputError, match="AWS_ENDPOINT_URL") as caught:
        check_configuration(change(config, "datasets.0", lidc))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "archive",
    [
        "https://example.org/a.zip?download=1&version=2",
        "https://example.org/a.zip?file=RSNA-STR-pulmonary-embolism-detection.zip",
        "https://${USER}:${PASSWORD}@example.org/a.zip",
        "https://example.org/a.zip?X-Amz-Signature=${SIGNATURE}",
        "https://example.org/a.zip?${QUERY}",
        "/data/user:name@host/a.zip",
    ],
)
def test_addresses_without_a_secret_and_variables_pass(config, archive):
    check_configuration(with_archive(config, archive))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "path",
    [
        "evaluation.confidence",
        "evaluation.specificity",
        "training.learning_rate",
        "training.weight_decay",
        "training.batchnorm_momentum",
        "training.max_rotation_degrees",
        "volumes.max_refused_percent",
        "download.reserve_gb",
        "subsets.split.train",
        "datasets.0.display_window_hu.centre",
        "datasets.0.display_window_hu.width",
        "training.learning_rates",
    ],
)
def test_no_number_is_refused_wherever_it_stands(config, path, value):
    given = [value] if path.endswith("s") and not path.endswith("degrees") else value
    with pytest.raises(InputError, match=rf"is not a number[\s\S]*{path}"):
        check_configuration(change(config, path, given))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("study", "smoke\n", "control character .U.000A"),
        ("study", "a\0", "control character .U.0000"),
        ("study", "a" * 65, "too long"),
        ("datasets.0.name", "a\n", "control character"),
        ("datasets.0.name", "a" * 300, "too long"),
        ("datasets.0.name", "weights", "folder of the workflow's own"),
        ("datasets.0.name", "pretraining", "folder of the workflow's own"),
        ("data_dir", "a\0b", "control character"),
        ("data_dir", "a\x7fb", "control character"),
        ("data_dir", "{dataset}", "stands for others"),
        ("data_dir", "data*", "stands for others"),
        ("seeds", [10**30], "greater than the maximum"),
        ("seeds", [1.0], "not of type 'integer'"),
        ("percents", [100.0], "not of type 'integer'"),
        ("percents", [True], "not of type 'integer'"),
        ("training.flip", 1, "not of type 'boolean'"),
        ("training.batch_size", 10**9, "greater than the maximum"),
        ("evaluation.num_resamples", 10**12, "greater than the maximum"),
        ("volumes.size_px", 10**6, "greater than the maximum"),
        ("datasets.0.num_patients", 10**9, "greater than the maximum"),
        ("datasets.0.display_window_hu.width", 1e300, "greater than the maximum"),
        ("datasets.0.display_window_hu.width", 1e-320, "less than the minimum"),
        ("training.learning_rate", 10**400, "greater than the maximum"),
        ("training.num_workers", 10**9, "greater than the maximum"),
        ("download.reserve_gb", 1e300, "greater than the maximum"),
        ("data_dir", "a\u202eb", "control character .U.202E"),
        ("data_dir", "a\x85b", "control character .U.0085"),
    ],
)
def test_what_would_fail_later_is_refused_at_once(config, path, value, message):
    with pytest.raises(InputError, match=message):
        check_configuration(change(config, path, value))


@pytest.mark.parametrize("name", ["{x}", "{ patient, [0-9]+}", "{dataset}"])
def test_a_path_that_snakemake_would_change_is_refused_at_once(config, name):
    own = {"name": "mine", "source": "own_data", "table": f"/data/{name}/scans.csv"}
    with pytest.raises(InputError, match="stands for others"):
        check_values(change(config, "datasets.0", own))
    check_values(change(config, "datasets.0", own | {"table": "/data/odd }{ #'/scans.csv"}))


def test_the_longest_names_make_names_of_files_that_every_disk_takes(config):
    longest = 64
    config = change(change(config, "study", "s" * longest), "datasets.0.name", "d" * longest)
    for entry in config["datasets"]:
        entry.pop("ct_source", None)
    config["inits"] = ["scratch"]
    for entry in config["models"]:
        entry.pop("inits", None)
    config["models"] = [{"name": "x3d_narrow"}]
    check_configuration(config)
    outside = "d" * longest + "_on_" + "d" * longest
    # The longest name of a log, with the hidden forms that files have while they are written.
    assert len(f".{outside}-efficientnet_lite0_slices_probe.log.sha256.12345678.partial".encode()) < 255


@pytest.mark.parametrize("key", ["datasets.0.label", "datasets.0.title", "data_dir"])
def test_a_secret_in_any_text_is_refused(config, key):
    with pytest.raises(InputError, match=rf"holds a credential[\s\S]*{key}") as caught:
        check_configuration(change(config, key, f"nodule, see https://user:{SECRET}@example.org/x"))
    assert SECRET not in str(caught.value)


def _nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def _multiplied():
    value = ["x"]
    for _ in range(9):
        value = [value] * 10
    return value


def _circle():
    value = {}
    value["again"] = value
    return value


@pytest.mark.parametrize("value", [_nested(3000), _multiplied(), _circle()], ids=["deep", "many", "circle"])
def test_values_without_an_end_are_refused_at_once(config, value):
    with pytest.raises(InputError, match="too deeply, or are too many"):
        check_configuration(change(config, "study", "a") | {"seeds": value})


def test_a_label_in_words_may_have_several_lines(config):
    check_configuration(change(config, "datasets.0.label", "nodule of\n 6 mm or more\n"))

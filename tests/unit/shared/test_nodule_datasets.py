"""Keys of datasets of display images and of the nodules' tasks: what cannot be stops."""

from pathlib import Path

import pytest
import yaml

from chestct.check_configuration import check_configuration, source_entry
from chestct.dataset_entries import (
    claimed_datasets,
    intensity_of,
    meaning_of,
    resolve_entries,
    shares_volumes,
)
from chestct.errors import InputError
from chestct.plan.scans import count_scans

ROOT = Path(__file__).resolve().parents[3]
GREY = {"centre": 127.5, "width": 255}
AGREEMENT = {
    "name": "agreement",
    "source": "lidc_nodules",
    "task": "agreement",
    "num_slices": 8,
    "display_window_hu": GREY,
}
MALIGNANCY = {"name": "malignancy", "scans_of": "agreement", "task": "malignancy"}
OWN = {
    "name": "mine",
    "source": "own_data",
    "table": "t.csv",
    "columns": {"patient_id": "p", "study_id": "s", "path": "f", "label": "l"},
    "label": "nodule outlined by at least three of four readers",
    "display_window_hu": GREY,
}


@pytest.fixture
def config():
    read = yaml.safe_load((ROOT / "config.yaml").read_text())
    models = [{"name": "i3d", "inits": ["scratch", "video"]}, {"name": "efficientnet_lite0_slices"}]
    return read | {"models": models}


def test_tasks_share_scans_and_volumes(config):
    check_configuration(config | {"datasets": [AGREEMENT, MALIGNANCY]})
    entries = resolve_entries([AGREEMENT, MALIGNANCY])
    assert [intensity_of(entry) for entry in entries] == ["display", "display"]
    assert shares_volumes(entries[1], entries)
    assert claimed_datasets(entries) == ["agreement"]
    # The scans are the same; what the labels ask is not.
    assert source_entry(entries[1]).keys() == source_entry(entries[0]).keys() | {"scans_of"}
    assert source_entry(entries[1], labels=True)["task"] == "malignancy"
    assert meaning_of(entries[0]) != meaning_of(entries[1])
    fewer = resolve_entries([AGREEMENT, MALIGNANCY | {"num_slices": 12}])
    assert not shares_volumes(fewer[1], fewer)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{key: value for key, value in AGREEMENT.items() if key != "task"}], r"needs \['task'\]"),
        ([AGREEMENT | {"task": "spiculation"}], r"unknown value 'spiculation'[\s\S]*agreement"),
        ([AGREEMENT | {"intensity": "hu"}], r"'lidc_nodules' are not of intensity: hu"),
        ([AGREEMENT | {"spacing_z_mm": 1}], r"to a spacing or to a number, not to both"),
        ([AGREEMENT | {"num_slices": 1}], r"less than the minimum of 2"),
        ([AGREEMENT | {"from": "folder"}], r"has no choice of `from`"),
        ([AGREEMENT | {"packed": "p.npz", "folder": "f"}], r"both packed and folder"),
        ([AGREEMENT, MALIGNANCY | {"packed": "p.npz"}], r"\['packed'\] would change the scans"),
        ([OWN | {"task": "texture"}], r"'own_data' has no choice of `task`"),
        ([OWN | {"packed": "p.npz"}], r"'own_data' has no key `packed`"),
        ([AGREEMENT | {"phantoms": True}], r"'lidc_nodules' has no key `phantoms`"),
        (
            [AGREEMENT | {"test_on": ["mine"]}, OWN | {"train": False}],
            r"the values of 'mine' are hu, those that the models of 'agreement' were trained on display",
        ),
        ([AGREEMENT | {"test_on": ["malignancy"]}, MALIGNANCY], r"has the scans of 'agreement'"),
    ],
)
def test_what_cannot_be_stops(config, entries, message):
    with pytest.raises(InputError, match=message) as caught:
        check_configuration(config | {"models": config["models"][:1], "datasets": entries})
    assert "remedy:" in str(caught.value)


def test_phantoms_are_hu(config):
    config["datasets"][0]["intensity"] = "display"
    with pytest.raises(InputError, match=r"'phantom_rspect' are not of intensity: display"):
        check_configuration(config)


def test_own_data_may_be_display_images(config):
    own = OWN | {"intensity": "display", "train": False}
    check_configuration(
        config | {"models": config["models"][:1], "datasets": [AGREEMENT | {"test_on": ["mine"]}, own]}
    )


def test_a_plan_knows_how_many_there_are(config, tmp_path):
    config = config | {"data_dir": str(tmp_path)}
    scans = count_scans(config, AGREEMENT)
    assert (scans.num_scans, scans.slices) == (2_604, 8)
    assert count_scans(config, {k: v for k, v in AGREEMENT.items() if k != "num_slices"}).slices > 5.9

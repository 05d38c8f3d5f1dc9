"""Where runs start, and whether the data behind their weights are generated."""

import pytest
import yaml

from chestct.download.weights_table import weights_row
from chestct.jobs.starting_weights import starting_weights
from chestct.run import Run

RUN = {"dataset": "lidc_phantom", "model": "slow_narrow", "init": "ct", "percent": 10, "seed": 0, "fold": 0}
CT = "training/rspect_phantom/slow_narrow/scratch/percent-100/seed-0/fold-0/weights.safetensors"


@pytest.fixture
def start(root):
    """The starting weights of a run of the default study that differs from RUN as said."""
    config = yaml.safe_load((root / "config.yaml").read_text())
    return lambda **changes: starting_weights(config, Run(**(RUN | changes)), training="training")


def test_every_kind_of_start_has_its_file(start):
    assert start(init="scratch")["path"] is None
    assert start(init="video")["path"] == "training/pretraining/slow_narrow/video/weights.safetensors"
    assert start()["path"] == CT
    assert start(model="i3d", init="video")["path"] == "data/weights/i3d_kinetics400.weights"


def test_a_published_file_is_held_to_its_digest_or_to_the_first_file_seen(start):
    known = start(model="i3d", init="video")
    row = weights_row("i3d_kinetics400")
    assert known["sha256"] == (row["sha256"] or None)
    assert bool(known["sha256"]) != bool(known["trusted_as"])


def test_weights_of_generated_data_are_stand_ins(start):
    assert start(init="video")["stand_in"] and start()["stand_in"]
    assert not start(model="i3d", init="video")["stand_in"]
    features = start(model="lrcn_efficientnet_lite0", init="imagenet")
    assert features["words"] == "lidc_phantom, efficientnet_lite0 imagenet, 10 % (this study)"
    assert not features["stand_in"], "features of the run's own dataset are no foreign data"

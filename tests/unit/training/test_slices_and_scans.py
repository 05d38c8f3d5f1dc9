"""Models that see single slices, and the LRCN that sees whole scans on their features."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_data import (
    RUN,
    SCRATCH,
    SETTINGS,
    WINDOW,
    history,
    make_job,
    record,
    train,
    windows,
    write_data,
)

from chestct.catalogue import MODELS
from chestct.errors import InputError
from chestct.intensity import HU
from chestct.models import build_model
from chestct.models.load_weights import parse_own
from chestct.subsets.windows import list_windows
from chestct.tables import read_table, write_table
from chestct.training.predict import predict
from chestct.training.windows.dataset import TrainingWindows
from chestct.training.windows.device_input import score_windows
from chestct.training.windows.display_window import InputSettings
from chestct.volume_store import read_slices
from chestct.window_forms import TABLES, window_rule

SLICES, SCANS = "efficientnet_lite0_slices", "lrcn_efficientnet_lite0_scan"
SUBSETS = {"window_slices": 8, "window_stride": 4, "min_positive_slices": 2, "scan_slices": 8}
FINDING = (5, 8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Scans of which positive ones are bright in three slices; the tables of all forms lie beside them."""
    folder = tmp_path_factory.mktemp("marked")
    paths = write_data(folder, finding=FINDING)
    splits = read_table(paths["splits"], "splits")
    cohort = splits[["dataset", "patient_id", "study_id", "label"]].assign(num_slices=12, status="used")
    marks = {study_id: np.arange(*FINDING) for study_id in cohort.loc[cohort["label"] == 1, "study_id"]}
    for sees, name in TABLES.items():
        table = list_windows(cohort, marks, window_rule(SUBSETS, sees))
        write_table(table, folder / f"{name}.parquet", "windows")
    return paths


def of_form(data: dict[str, str], model: str) -> dict[str, str]:
    return data | {"windows": str(Path(data["windows"]).with_name(f"{TABLES[MODELS[model].sees]}.parquet"))}


def train_model(
    data: dict[str, str], folder: Path, model: str, num_slices: int, *, num_windows: int, initial=SCRATCH
) -> Path:
    job = make_job(of_form(data, model), learning_rate=0.002, batch_size=8, budget=windows(num_windows))
    return train(job, folder, run=replace(RUN, model=model), window_slices=num_slices, initial=initial)


@pytest.fixture(scope="module")
def on_slices(data: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the slice model."""
    return train_model(data, tmp_path_factory.mktemp("slices"), SLICES, 1, num_windows=480)


def scores_of(data: dict[str, str], folder: Path, model: str, num_slices: int, output: Path):
    predict(
        runs=[replace(RUN, model=model)],
        weights=[str(folder / "weights.safetensors")],
        settings=SETTINGS,
        display_window_hu=WINDOW,
        intensity=HU,
        window_slices=num_slices,
        **{name: path for name, path in of_form(data, model).items() if name != "subset"},
        output=str(output),
        threads=1,
        num_workers=0,
        gpus=0,
    )
    return read_table(output, "predictions")


def test_a_scan_scores_the_largest_of_all_its_slices(data, on_slices, tmp_path):
    table = scores_of(data, on_slices, SLICES, 1, tmp_path / "predictions.csv")
    assert set(table["num_windows"]) == {12}
    model = build_model(SLICES, num_slices=1, size_px=32, seed=0).eval()
    model.load_state_dict(parse_own((on_slices / "weights.safetensors").read_bytes(), "w"))
    settings = InputSettings.of_model(SLICES, SETTINGS, WINDOW, HU)
    store = read_table(data["index"], "index")["store"].iloc[0]
    for row in table.head(3).itertuples():
        hu_THW = torch.from_numpy(read_slices(store, row.study_id))
        with torch.no_grad():
            logits = score_windows(model, hu_THW[:, None], settings)
        assert row.score == pytest.approx(float(logits.max().double().sigmoid()), rel=1e-4)


def test_it_learns_which_slices_are_bright(data, on_slices):
    row = record(on_slices)
    assert row["num_scans"] == 12 and row["num_positive"] == 6
    assert row["validation_auroc"] == pytest.approx(history(on_slices)["validation_auroc"].max())
    assert row["validation_auroc"] > 0.9


def test_the_lrcn_reads_whole_scans_on_the_slice_models_features(data, on_slices, tmp_path):
    initial = SCRATCH | {"path": str(on_slices / "weights.safetensors"), "words": "slices"}
    # How well it learns is no matter here: a few steps change all that they may change.
    folder = train_model(data, tmp_path / "scan", SCANS, 8, num_windows=48, initial=initial)
    first, last = (
        parse_own((place / "weights.safetensors").read_bytes(), "w") for place in (on_slices, folder)
    )
    backbone = [name for name in last if name.startswith("backbone.")]
    assert backbone and all(torch.equal(first[name], last[name]) for name in backbone)
    table = scores_of(data, folder, SCANS, 8, tmp_path / "predictions.csv")
    assert set(table["num_windows"]) == {1}
    assert MODELS[SCANS].features_from == SLICES


def test_slices_without_marks_are_no_training_data(data, tmp_path):
    unmarked = tmp_path / "slices.parquet"
    table = read_table(of_form(data, SLICES)["windows"], "windows")
    write_table(table.assign(num_positive_slices=0), unmarked, "windows")
    job = make_job(of_form(data, SLICES) | {"windows": str(unmarked)})
    with pytest.raises(InputError, match=r"no slice of the training subset is marked[\s\S]*without _slices"):
        train(job, tmp_path / "run", run=replace(RUN, model=SLICES), window_slices=1)


@pytest.mark.parametrize(("negative_windows", "from_all"), [("negative_scans", False), ("all_scans", True)])
def test_negative_windows_come_from_the_scans_that_the_configuration_names(
    data, tmp_path, monkeypatch, negative_windows, from_all
):
    drawn = []
    read = TrainingWindows.__getitem__

    def recorded(self, key):
        window, label = read(self, key)
        drawn.append((self.scans[key[1]].study_id, label))
        return window, label

    monkeypatch.setattr(TrainingWindows, "__getitem__", recorded)
    table = read_table(data["windows"], "windows")
    write_table(
        table.assign(label=table["label"].where(table["start"] > 0, 0)), tmp_path / "w.parquet", "windows"
    )
    changed = data | {"windows": str(tmp_path / "w.parquet")}
    train(make_job(changed, negative_windows=negative_windows), tmp_path / "run")
    splits = read_table(data["splits"], "splits")
    positive = set(splits.loc[splits["label"] == 1, "study_id"])
    assert {study_id in positive for study_id, label in drawn if label == 1} == {True}
    assert any(study_id in positive for study_id, label in drawn if label == 0) == from_all

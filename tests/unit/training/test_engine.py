"""The training engine on a tiny dataset in which bright scans are positive."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from chestct import tables
from chestct.errors import InputError
from chestct.store import Volume, write_shard
from chestct.training import collect, finetune, predict, pretrain

SETTINGS = {
    "precision": "32-true",
    "batch_size": 4,
    "max_epochs": 2,
    "min_steps": 12,
    "num_validations": 3,
    "learning_rate": 0.003,
    "weight_decay": 1e-6,
    "crop_px": 32,
    "max_rotation_degrees": 20,
    "flip": True,
    "batchnorm_momentum": 0.1,
}
WINDOW = {"centre": -600, "width": 1500}
RUN = {"dataset": "d", "model": "swin_narrow", "init": "scratch", "percent": 100, "seed": 0, "fold": 0}
SCRATCH = {"path": None, "sha256": None, "words": None, "stand_in": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Tables and a shard of 24 scans; returns their paths."""
    folder = tmp_path_factory.mktemp("engine")
    rng = np.random.default_rng(0)
    names = [f"s{i:02d}" for i in range(24)]
    labels = {name: i % 2 for i, name in enumerate(names)}
    volumes = [
        Volume(
            patient_id=f"p-{name}",
            study_id=name,
            series_id="1",
            hu=(rng.normal(-900, 40, (12, 36, 36)) + 300 * labels[name]).astype(np.int16),
            spacing_mm=(1.5, 1.5, 1.5),
            z_mm=np.arange(12) * 1.5,
        )
        for name in names
    ]
    write_shard(folder / "shard.h5", volumes)
    keys = pd.DataFrame({"dataset": "d", "patient_id": [f"p-{n}" for n in names], "study_id": names})
    index = keys.assign(
        series_id="1",
        store=str(folder / "shard.h5"),
        num_slices=12,
        rows=36,
        columns=36,
        spacing_z_mm=1.5,
        spacing_y_mm=1.5,
        spacing_x_mm=1.5,
        sha256=[volume.sha256() for volume in volumes],
    )
    windows = pd.concat(
        keys.assign(start=start, stop=start + 8, num_positive_slices=0, label=keys["study_id"].map(labels))
        for start in (0, 4)
    )
    splits = keys.assign(
        label=keys["study_id"].map(labels),
        fold=0,
        split=["train"] * 12 + ["validation"] * 6 + ["test"] * 6,
    )
    subset = keys[:12].assign(percent=100, seed=0, fold=0)
    paths = {
        "index": "index.csv",
        "windows": "windows.parquet",
        "splits": "splits.csv",
        "subset": "subset.csv",
    }
    paths = {name: str(folder / path) for name, path in paths.items()}
    for name, table in zip(paths, (index, windows, splits, subset), strict=True):
        tables.write_table(table, paths[name], name)
    return paths


def job(data, **settings):
    return finetune.Job(
        settings=SETTINGS | settings,
        display_window_hu=WINDOW,
        window_slices=8,
        index=data["index"],
        windows=data["windows"],
        splits=data["splits"],
        subsets={(100, 0): data["subset"]},
        code_digest="code",
        gpus=0,
        num_workers=0,
    )


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Folder of one finished run."""
    folder = tmp_path_factory.mktemp("run")
    finetune.finetune(job(data), [{"run": RUN, "initial": SCRATCH}], [str(folder)], threads=1)
    return folder


def test_a_run_leaves_weights_curve_record_and_configuration(trained):
    assert {path.name for path in trained.iterdir()} == {
        "weights.safetensors",
        "history.csv",
        "run.csv",
        "config.yaml",
    }
    history = tables.read_table(trained / "history.csv", "history")
    assert history["step"].tolist() == [4, 8, 12]
    record = tables.read_table(trained / "run.csv", "runs").iloc[0]
    assert record["num_steps"] == 12
    assert record["num_scans"] == 12
    assert record["validation_auroc"] == pytest.approx(history["validation_auroc"].max())
    assert pd.isna(record["initial_weights"])


def test_it_learns_what_can_be_learnt(trained):
    assert tables.read_table(trained / "run.csv", "runs")["validation_auroc"].item() > 0.9


def test_the_same_run_gives_the_same_weights(data, trained, tmp_path):
    finetune.finetune(job(data), [{"run": RUN, "initial": SCRATCH}], [str(tmp_path)], threads=1)
    one, other = (load_file(folder / "weights.safetensors") for folder in (trained, tmp_path))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_another_seed_gives_other_weights(data, trained, tmp_path):
    run = RUN | {"model": "swin_narrow", "fold": 0, "percent": 100}
    assert finetune.run_seed(run | {"init": "video"}) == finetune.run_seed(run)
    assert finetune.run_seed(run | {"seed": 1}) != finetune.run_seed(run)


def test_starting_weights_are_used_and_recorded(data, trained, tmp_path):
    start = SCRATCH | {"path": str(trained / "weights.safetensors"), "words": "the run before"}
    run = RUN | {"init": "ct"}
    finetune.finetune(job(data), [{"run": run, "initial": start}], [str(tmp_path)], threads=1)
    record = tables.read_table(tmp_path / "run.csv", "runs").iloc[0]
    first = tables.read_table(trained / "run.csv", "runs").iloc[0]
    assert record["initial_weights_sha256"] == first["final_weights_sha256"]
    assert record["final_weights_sha256"] != first["final_weights_sha256"]
    assert record["data_digest"] == first["data_digest"]
    assert record["config_digest"] != ""


def test_a_wrong_digest_of_the_starting_weights_stops_and_writes_nothing(data, trained, tmp_path):
    start = SCRATCH | {"path": str(trained / "weights.safetensors"), "sha256": "0" * 64, "words": "w"}
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        finetune.finetune(
            job(data), [{"run": RUN | {"init": "ct"}, "initial": start}], [str(tmp_path)], threads=1
        )
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_no_number_stops_with_the_remedy(data, tmp_path):
    with pytest.raises(InputError, match="lower learning_rate"):
        finetune.finetune(
            job(data, learning_rate=1e30), [{"run": RUN, "initial": SCRATCH}], [str(tmp_path)], threads=1
        )
    assert list(tmp_path.iterdir()) == []


def test_small_subsets_get_the_minimum_of_steps():
    assert finetune.num_training_steps(4, SETTINGS) == 12
    assert finetune.num_training_steps(40, SETTINGS) == 21, "20, rounded up to three equal parts"


def test_the_last_step_is_validated(data, tmp_path):
    finetune.finetune(job(data, min_steps=13), [{"run": RUN, "initial": SCRATCH}], [str(tmp_path)], threads=1)
    history = tables.read_table(tmp_path / "history.csv", "history")
    assert history["step"].tolist() == [5, 10, 15]
    assert tables.read_table(tmp_path / "run.csv", "runs")["num_steps"].item() == 15


def test_predictions_score_validation_and_test_scans_once(data, trained, tmp_path):
    predict.predict(
        runs=[RUN],
        weights=[str(trained / "weights.safetensors")],
        settings=SETTINGS,
        display_window_hu=WINDOW,
        window_slices=8,
        index=data["index"],
        windows=data["windows"],
        splits=data["splits"],
        output=str(tmp_path / "predictions.csv"),
        threads=1,
        num_workers=0,
        gpus=0,
    )
    table = tables.read_table(tmp_path / "predictions.csv", "predictions")
    assert table.groupby("split").size().to_dict() == {"test": 6, "validation": 6}
    assert table["study_id"].is_unique
    assert (table["num_windows"] == 2).all()
    bright = table.groupby("label")["score"].mean()
    assert bright[1] > bright[0]
    # The stored validation AUROC is that of these very scores.
    valid = table[table["split"] == "validation"]
    higher = np.subtract.outer(
        valid.loc[valid["label"] == 1, "score"].to_numpy(), valid.loc[valid["label"] == 0, "score"].to_numpy()
    )
    auroc = ((higher > 0) + 0.5 * (higher == 0)).mean()
    recorded = tables.read_table(trained / "run.csv", "runs")["validation_auroc"].item()
    assert auroc == pytest.approx(recorded)


def test_records_are_collected(trained, tmp_path):
    collect.collect_runs([str(trained / "run.csv")] * 2, str(tmp_path / "runs.csv"))
    assert len(tables.read_table(tmp_path / "runs.csv", "runs")) == 2


def test_pretraining_on_clips_gives_weights_that_fine_tuning_takes(data, tmp_path):
    pretrain.pretrain(
        model_name="swin_narrow",
        settings=SETTINGS,
        pretraining={"num_clips": 80, "epochs": 1, "seed": 0},
        window_slices=8,
        weights=str(tmp_path / "video.safetensors"),
        history=str(tmp_path / "history.csv"),
        threads=1,
        gpus=0,
    )
    history = tables.read_table(tmp_path / "history.csv", "history")
    assert history["step"].max() == 20
    start = {"path": str(tmp_path / "video.safetensors"), "sha256": None, "words": "clips", "stand_in": True}
    run = RUN | {"init": "video"}
    finetune.finetune(job(data), [{"run": run, "initial": start}], [str(tmp_path / "run")], threads=1)
    assert tables.read_table(tmp_path / "run" / "run.csv", "runs")["initial_stand_in"].item() == 1

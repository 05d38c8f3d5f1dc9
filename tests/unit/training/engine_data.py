"""A tiny dataset in which bright scans are positive, and jobs that train on it."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from chestct import tables
from chestct.intensity import AIR_HU, HU
from chestct.run import Run
from chestct.training import finetune, predict, pretrain
from chestct.training.job import TrainingJob
from chestct.training.settings import PretrainingSettings, TrainingSettings, WindowsSeen
from chestct.training.windows.display_window import InputSettings
from chestct.volume_store import Volume, write_shard

SETTINGS = TrainingSettings(
    precision="32-true",
    batch_size=4,
    accumulate=1,
    budget=WindowsSeen(windows_per_scan=2, min_windows=48),
    num_validations=3,
    patience=None,
    learning_rate=0.003,
    weight_decay=1e-6,
    crop_px=32,
    max_rotation_degrees=20,
    max_shift_px=None,
    flip=True,
    interpolation="bilinear",
    negative_windows="negative_scans",
    batchnorm_momentum=0.1,
    compile="auto",
    compile_form="blocks",
    fast_forms="on_gpus",
    tensorboard=False,
    nodes=1,
)
WINDOW = {"centre": -600, "width": 1500}
#: The same as models of Kinetics see it, at the paper's size.
LUNG = InputSettings(
    crop_px=224,
    max_rotation_degrees=20.0,
    max_shift_px=None,
    flip=True,
    interpolation="bilinear",
    centre_hu=-600.0,
    width_hu=1500.0,
    fill=AIR_HU,
    mean=(0.45, 0.45, 0.45),
    std=(0.225, 0.225, 0.225),
)
RUN = Run(dataset="d", model="swin_narrow", init="scratch", percent=100, seed=0, fold=0)
CONVERSION = {"size_px": 36, "spacing_z_mm": None, "num_slices": None, "intensity": HU, "accept": []}
CONVERSION["window_stride"] = 4
DATA = {
    "dataset": "d",
    "source": "own_data",
    "phantoms": False,
    "label": "bright",
    "num_folds": 1,
    "earlier_datasets": [],
    "published_weights": [],
}
SCRATCH = {"path": None, "sha256": None, "words": None, "stand_in": False}


def windows(number: int) -> WindowsSeen:
    """So many windows, however few scans there are."""
    return WindowsSeen(windows_per_scan=1e-9, min_windows=number)


def write_data(folder: Path, num_scans: int = 24, finding: tuple[int, int] = (0, 12)) -> dict[str, str]:
    """A shard of scans of 12 slices and its tables; half train, a quarter validate, a quarter test.

    The slices of ``finding`` are bright in positive scans.
    """
    rng = np.random.default_rng(0)
    names = [f"s{i:02d}" for i in range(num_scans)]
    labels = {name: i % 2 for i, name in enumerate(names)}
    bright = np.zeros((12, 1, 1))
    bright[slice(*finding)] = 300
    volumes = [
        Volume(
            patient_id=f"p-{name}",
            study_id=name,
            series_id="1",
            hu=(rng.normal(-900, 40, (12, 36, 36)) + bright * labels[name]).astype(np.int16),
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
        sha256=[volume.sha256 for volume in volumes],
    )
    windows = pd.concat(
        keys.assign(
            start=start,
            stop=start + 8,
            num_positive_slices=keys["study_id"].map(labels) * (3 if start else 0),
            label=keys["study_id"].map(labels),
        )
        for start in (0, 4)
    )
    train, rest = num_scans // 2, num_scans // 4
    splits = keys.assign(
        label=keys["study_id"].map(labels),
        fold=0,
        split=["train"] * train + ["validation"] * rest + ["test"] * (num_scans - train - rest),
    )
    seen = splits[splits["split"] != "test"].drop(columns="label")
    subset = seen.assign(percent=100, seed=0)
    written = {"index": index, "windows": windows, "splits": splits, "subset": subset}
    paths = {}
    for name, table in written.items():
        paths[name] = str(folder / f"{name}{'.parquet' if name == 'windows' else '.csv'}")
        tables.write_table(table, paths[name], name)
    return paths


def make_job(data: dict[str, str], *, processes: int = 1, num_workers: int = 0, **settings) -> TrainingJob:
    """A job on the data, with changed settings."""
    return TrainingJob(
        run=RUN,
        initial=SCRATCH,
        settings=replace(SETTINGS, **settings),
        display_window_hu=WINDOW,
        intensity=HU,
        window_slices=8,
        conversion=CONVERSION,
        training_data=DATA,
        **data,
        code_digest="code",
        gpus=0,
        num_workers=num_workers,
        processes=processes,
    )


def train(job: TrainingJob, folder: Path, *, threads: int = 1, **changes) -> Path:
    """Train the run of a job, with what is changed of the job; returns its folder."""
    finetune.finetune(replace(job, **changes), str(folder), threads=threads)
    return folder


def score(
    data: dict[str, str],
    folder: Path,
    output: Path,
    *,
    gpus: int = 0,
    window_scores: Path | None = None,
    **settings,
) -> pd.DataFrame:
    """Predictions of the run in a folder, with changed settings."""
    predict.predict(
        runs=[RUN],
        weights=[str(folder / "weights.safetensors")],
        settings=replace(SETTINGS, **settings),
        display_window_hu=WINDOW,
        intensity=HU,
        window_slices=8,
        **{name: path for name, path in data.items() if name != "subset"},
        output=str(output),
        threads=1,
        num_workers=0,
        gpus=gpus,
        window_scores=window_scores and str(window_scores),
    )
    return tables.read_table(output, "predictions")


def pretrain_on_clips(folder: Path, num_clips: int) -> Path:
    """Pretrain for two passes over generated clips; returns the folder of weights and learning curve."""
    job = pretrain.PretrainingJob(
        model_name=RUN.model,
        settings=SETTINGS,
        pretraining=PretrainingSettings(num_clips=num_clips, epochs=2, seed=0),
        window_slices=8,
        gpus=0,
    )
    pretrain.pretrain(job, str(folder), threads=1)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The final weights of a run."""
    return load_file(folder / "weights.safetensors")


def record(folder: Path) -> pd.Series:
    """The record of a run."""
    return tables.read_table(folder / "run.csv", "runs").iloc[0]


def history(folder: Path) -> pd.DataFrame:
    """The learning curve of a run."""
    return tables.read_table(folder / "history.csv", "history")


def assert_equal_runs(one: Path, other: Path) -> None:
    """Weights to the bit, and all numbers of the learning curve."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    pd.testing.assert_frame_equal(history(one), history(other), check_exact=True)


def assert_close_runs(one: Path, other: Path) -> None:
    """Weights and learning curves, to rounding."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=2e-5)
    for column in ("train_loss", "validation_loss", "validation_auroc"):
        np.testing.assert_allclose(history(one)[column], history(other)[column], atol=1e-5)


def in_child(function: Callable[[], None]) -> int:
    """Run a function in a forked process; returns its exit code, below zero where a signal ended it."""
    process = multiprocessing.get_context("fork").Process(target=function)
    process.start()
    process.join(600)  # a busy machine is slow
    assert process.exitcode is not None, "the process hangs"
    return process.exitcode

"""Jobs of a frozen probe on the engine's tiny dataset."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
from engine_data import RUN, SCRATCH, SETTINGS, WINDOW

from chestct.tables import read_table, write_table
from chestct.training.probes.features import FeaturesJob, extract_features
from chestct.training.probes.fit import ProbesJob, fit_probes
from chestct.training.probes.scores import predict_probes
from chestct.training.settings import FeatureSettings

PROBE = replace(RUN, model="slow_narrow_probe")


def features_job(data: dict[str, str], **changes) -> FeaturesJob:
    """Features of the data's scans from a random network."""
    values = {
        "dataset": PROBE.dataset,
        "model": PROBE.model,
        "init": PROBE.init,
        "seed": 0,
        "initial": SCRATCH,
        "settings": FeatureSettings.of(SETTINGS),
        "display_window_hu": WINDOW,
        "intensity": "hu",
        "window_slices": 8,
        **{name: data[name] for name in ("index", "windows", "splits")},
        "outside": False,
        "code_digest": "features",
        "gpus": 0,
        "num_workers": 0,
    }
    return FeaturesJob(**values | changes)


def extract(data: dict[str, str], path: Path, **changes) -> str:
    """Compute features; returns their path."""
    extract_features(features_job(data, **changes), str(path), threads=1)
    return str(path)


def _subset(path: str, seed: int) -> str:
    """The data's subset, as the one of a seed."""
    table = read_table(path, "subset")
    if set(table["seed"]) == {seed}:
        return path
    other = str(Path(path).with_name(f"subset-{seed}.csv"))
    write_table(table.assign(seed=seed), other, "subset")
    return other


def fit(
    data: dict[str, str], features: str | list[str], folder: Path, runs=(PROBE,), **changes
) -> list[Path]:
    """Fit runs, on the same features or on their own; returns their folders."""
    job = ProbesJob(
        runs=list(runs),
        features=[features] * len(runs) if isinstance(features, str) else features,
        subsets=[_subset(data["subset"], run.seed) for run in runs],
        negative_windows="negative_scans",
        window_slices=8,
        **{name: data[name] for name in ("index", "windows", "splits")},
        code_digest="fit",
    )
    folders = [folder / f"run-{number}" for number in range(len(runs))]
    fit_probes(replace(job, **changes), [str(place) for place in folders], threads=1)
    return folders


def predict(
    data: dict[str, str], features: str, folders: list[Path], output: Path, runs=(PROBE,), **more
) -> pd.DataFrame:
    """Predictions of runs."""
    predict_probes(
        runs=list(runs),
        weights=[str(folder / "weights.safetensors") for folder in folders],
        features=[features] * len(runs),
        windows=data["windows"],
        splits=data["splits"],
        output=str(output),
        threads=1,
        **more,
    )
    return read_table(output, "predictions")

"""Runs the evaluation on a synthetic study and reads its tables."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from synthetic_predictions import StudyFiles

from chestct.evaluation.dataset import TABLES, evaluate_dataset
from chestct.evaluation.study import collect
from chestct.evaluation.validity.dataset import VALIDITY_TABLES, check_validity, simulate_coverage
from chestct.records import record
from chestct.tables import read_table

SEVEN = [f"{name}_narrow" for name in ("slow", "slowfast", "r2plus1d", "csn", "mvit", "swin", "penet")]
SETTINGS = {
    "metrics": ["auroc", "auprc"],
    "specificity": 0.9,
    "validation_labels": "all",
    "num_resamples": 300,
    "confidence": 0.95,
    "seed": 0,
}


@dataclass(frozen=True)
class Evaluated:
    """A study and the tables of its evaluation."""

    files: StudyFiles
    folder: Path
    tables: "Tables"


class Tables(dict[str, pd.DataFrame]):
    """Tables in a folder by name, each read when it is first asked for: most tests look at one or two."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> pd.DataFrame:
        self[name] = read_table(self._folder / f"{name}.csv", name)
        return self[name]


def evaluate(files: StudyFiles, folder: Path, **options) -> Tables:
    """Evaluate every dataset, check validity and collect; return all tables of the study."""
    settings = {**SETTINGS, **options}
    num_simulations, margin = settings.pop("num_simulations", 4), settings.pop("margin", 0.02)
    datasets = list(files.predictions)
    for dataset in datasets:
        _evaluate(files, dataset, folder / dataset, settings)
        simulations = {name: settings[name] for name in ("num_resamples", "confidence", "seed")}
        simulate_coverage(
            cohort=files.cohorts[dataset],
            splits=files.splits[dataset],
            coverage_path=folder / dataset / "coverage.csv",
            metrics=settings["metrics"],
            specificity=settings["specificity"],
            num_simulations=num_simulations,
            **simulations,
        )
        check_validity(
            draws=folder / dataset / "draws.npz",
            **{f"{name}_path": folder / dataset / f"{name}.csv" for name in ("power", "permuted")},
            num_simulations=num_simulations,
            **simulations,
        )
    names = (*TABLES, *VALIDITY_TABLES)
    collect(
        tables={name: [folder / dataset / f"{name}.csv" for dataset in datasets] for name in names},
        draws=[folder / dataset / "draws.npz" for dataset in datasets],
        draws_by_dataset=[folder / dataset / "draws.npz" for dataset in datasets],
        collected={name: folder / f"{name}.csv" for name in names},
        claims_path=folder / "claims.csv",
        by_dataset_path=folder / "claims_by_dataset.csv",
        confidence=settings["confidence"],
        margin=margin,
    )
    return Tables(folder)


def evaluate_alone(files: StudyFiles, folder: Path, **options) -> Tables:
    """Evaluate the only dataset; return its own tables: no claims, no checks of validity."""
    (dataset,) = files.predictions
    _evaluate(files, dataset, folder, {**SETTINGS, **options})
    return Tables(folder)


def _evaluate(files: StudyFiles, dataset: str, folder: Path, settings: dict) -> None:
    evaluate_dataset(
        predictions=files.predictions[dataset],
        cohort=files.cohorts[dataset],
        splits=files.splits[dataset],
        subsets=files.subsets[dataset],
        acquisition=files.acquisition[dataset],
        findings=files.findings[dataset],
        runs=files.runs[dataset],
        models=files.models,
        tables={name: folder / f"{name}.csv" for name in TABLES},
        draws_path=folder / "draws.npz",
        **settings,
    )


def one_row(table: pd.DataFrame, **where) -> pd.Series:
    """The one row with these values."""
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def edit(path: Path, change) -> None:
    """Rewrite a CSV; ``change`` alters the table or returns another."""
    raw = pd.read_csv(path)
    changed = change(raw)
    (raw if changed is None else changed).to_csv(path, index=False)
    record(path)

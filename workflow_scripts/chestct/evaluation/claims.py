"""Verdicts on the paper's three claims, each tested by one pre-specified contrast of AUROC.

The contrast is averaged over the models of ``contrasts.claim_models``, then over percentages, then over
datasets, all with equal weight. A cell is one combination of dataset and percentage.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chestct.evaluation.contrasts import BEST_2D, ArmKey, Arms, Quantity, mean_name, mean_of, part_values
from chestct.evaluation.estimates import widened
from chestct.evaluation.holm import holm
from chestct.evaluation.intervals import percentile_intervals, two_sided_p_values
from chestct.evaluation.matching import RunKey
from chestct.evaluation.resampling import Draws
from chestct.files import atomic_path
from chestct.tables import column_types

#: Contrast of every claim, in the order of the paper.
CLAIMS = {"video_vs_scratch": "video - scratch", "video_3d_vs_2d": BEST_2D, "video_vs_ct": "video - ct"}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A claim's contrast on one dataset at one percentage.

    Attributes:
        claim: key of ``CLAIMS``.
        quantity: the contrast, averaged over models.
        values: on the sample and on every resample, shape (1 + num_resamples,).
        widened: on resamples of patients and models, shape (num_resamples,); of patients only if the contrast
            has a single model.
    """

    claim: str
    quantity: Quantity
    values: np.ndarray
    widened: np.ndarray


@dataclass(frozen=True, kw_only=True)
class DatasetDraws:
    """The part of a dataset's evaluation that the claims and the validity checks need.

    Attributes:
        dataset: name.
        patients: index of the patient of every scan, shape (num_scans,).
        labels, folds: shape (num_scans,).
        cells: of the claims, by percentage.
        scores: by run, of the runs that the cells of the largest percentage need; shape (num_scans,) each.
    """

    dataset: str
    patients: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    cells: list[Cell]
    scores: dict[RunKey, np.ndarray]

    @property
    def largest(self) -> list[Cell]:
        """The cells of the largest percentage, which the validity checks use."""
        percents = [cell.quantity.percent for cell in self.cells]
        return [cell for cell in self.cells if cell.quantity.percent == max(percents)]

    def save(self, path: str | Path) -> None:
        """Write everything to one file atomically."""
        about = {
            "dataset": self.dataset,
            "cells": [{"claim": cell.claim, "quantity": asdict(cell.quantity)} for cell in self.cells],
            "runs": list(self.scores),
        }
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                about=np.array(json.dumps(about)),
                patients=self.patients,
                labels=self.labels,
                folds=self.folds,
                values=np.array([cell.values for cell in self.cells]),
                widened=np.array([cell.widened for cell in self.cells]),
                scores=np.array(list(self.scores.values())),
            )

    @classmethod
    def load(cls, path: str | Path) -> "DatasetDraws":
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays = {name: file[name] for name in file.files if name != "about"}
        cells = [
            Cell(claim=cell["claim"], quantity=_quantity(cell["quantity"]), values=values, widened=wide)
            for cell, values, wide in zip(about["cells"], arrays["values"], arrays["widened"], strict=True)
        ]
        runs = [RunKey(*run) for run in about["runs"]]
        return cls(
            dataset=about["dataset"],
            patients=arrays["patients"],
            labels=arrays["labels"],
            folds=arrays["folds"],
            cells=cells,
            scores=dict(zip(runs, arrays["scores"], strict=True)),
        )


def _quantity(fields: dict[str, Any]) -> Quantity:
    parts = tuple((ArmKey(*arm), ArmKey(*subtrahend)) for arm, subtrahend in fields["parts"])
    return Quantity(**{**fields, "parts": parts})


def claim_cells(
    contrasts: Sequence[Quantity], arms: Arms, draws: Draws, models: Sequence[str], seed: int
) -> list[Cell]:
    """The cells of a dataset.

    Args:
        contrasts: of the dataset, for AUROC.
        arms: values over all counts of ``draws``.
        draws: of the dataset.
        models: on which the claims are tested.
        seed: of the resamples of models.
    """
    cells = []
    for claim, label in CLAIMS.items():
        mine = [c for c in contrasts if c.label == label and not c.is_mean and c.model in models]
        for percent in sorted({contrast.percent for contrast in mine}):
            singles = [contrast for contrast in mine if contrast.percent == percent]
            quantity = mean_of(singles, mean_name(len(singles))) if len(singles) > 1 else singles[0]
            values_ML = part_values(quantity, arms)
            values = np.mean(values_ML, axis=0)
            cells.append(
                Cell(
                    claim=claim,
                    quantity=quantity,
                    values=values[: 1 + draws.num_resamples],
                    widened=widened(quantity, values_ML, draws, seed)
                    if quantity.is_mean
                    else draws.resampled(values),
                )
            )
    return cells


def claims_table(datasets: Iterable[DatasetDraws], confidence: float) -> pd.DataFrame:
    """The table "claims", one row per claim.

    Patients are resampled independently in every dataset; models are resampled jointly, since a model is the
    same in all datasets. p values are adjusted for the number of claims that the study can test. A claim is
    undecided if its p_holm is at least 1 - confidence.
    """
    cells = [(draws.dataset, cell) for draws in datasets for cell in draws.cells]
    rows = [
        {"claim": claim, "contrast": label}
        | _average([(dataset, cell) for dataset, cell in cells if cell.claim == claim], confidence)
        for claim, label in CLAIMS.items()
    ]
    # A claim without cells lacks all numbers.
    table = pd.DataFrame(rows, columns=list(column_types("claims")))
    tested = table["p_value"].notna()
    table.loc[tested, "p_holm"] = holm(table.loc[tested, "p_value"].to_numpy())
    decided = table["p_holm"] < 1 - confidence
    table["verdict"] = np.select(
        [~tested, decided & (table["difference"] > 0), decided],
        ["not_tested", "supported", "not_supported"],
        "undecided",
    )
    return table


def _average(cells: Sequence[tuple[str, Cell]], confidence: float) -> dict[str, Any]:
    datasets = list(dict.fromkeys(dataset for dataset, _ in cells))
    row: dict[str, Any] = {
        "num_datasets": len(datasets),
        "num_cells": len(cells),
        "num_models": min((len(cell.quantity.parts) for _, cell in cells), default=0),
        "num_above": 0,
        "num_below": 0,
    }
    if not cells:
        return row

    def over_datasets(name: str) -> np.ndarray:
        by_dataset = [
            np.mean([getattr(c, name) for d, c in cells if d == dataset], axis=0) for dataset in datasets
        ]
        return np.mean(by_dataset, axis=0)

    values = over_datasets("values")
    wide = np.full(2, np.nan)
    if any(cell.quantity.is_mean for _, cell in cells):
        wide = np.ravel(percentile_intervals(np.sort(over_datasets("widened"))[None], confidence))
    (ci_low,), (ci_high,) = percentile_intervals(np.sort(values[1:])[None], confidence)
    sorted_CR = np.sort([cell.values[1:] for _, cell in cells], axis=1)
    lows, highs = percentile_intervals(sorted_CR, confidence)
    samples = [float(cell.values[0]) for _, cell in cells]
    return row | {
        "difference": values[0],
        "ci_low": ci_low,
        "ci_high": ci_high,
        "models_low": wide[0],
        "models_high": wide[1],
        "p_value": two_sided_p_values(values[None, 1:])[0],
        "smallest": min(samples),
        "largest": max(samples),
        "num_above": int((lows > 0).sum()),
        "num_below": int((highs < 0).sum()),
    }

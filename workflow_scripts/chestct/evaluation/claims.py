"""Verdicts on the paper's three claims, each tested by one pre-specified contrast of AUROC.

The first is stated twice: against training from scratch on the same budget, and against longer training.

A cell is one combination of dataset and percentage; in it the contrast is averaged over the models of
``claimed_models``. Two statements are tested of every claim: that the contrast is above zero on
average over percentages, then over datasets, all with equal weight; and that it is above zero in every cell
("whatever the size of the fine-tuning set") and on average, by an intersection-union test (Berger,
Technometrics 24(4), 1982), whose p value is the largest of theirs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chestct.evaluation.contrasts import (
    BEST_2D,
    ArmKey,
    Arms,
    Quantity,
    common_seeds,
    mean_of,
    values_by_run,
)
from chestct.evaluation.estimates import MIN_RUNS, inference_columns
from chestct.evaluation.holm import holm
from chestct.evaluation.inference import NO_ERROR, Inference, infer
from chestct.evaluation.matching import RunKey
from chestct.evaluation.resampling import Draws, degrees_of_freedom, patient_strata
from chestct.records import check_record, recorded_path
from chestct.tables import column_types

#: Contrast of every claim, in the order of the paper.
CLAIMS = {
    "video_vs_scratch": "video - scratch",
    "video_vs_scratch_long": "video - scratch_long",  # the same claim, with more training from scratch
    "video_3d_vs_2d": BEST_2D,
    "video_vs_ct": "video - ct",
}
_SEPARATOR = ";"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A claim's contrast on one dataset at one percentage.

    Attributes:
        claim: key of ``CLAIMS``.
        quantity: the contrast, averaged over models.
        seeds: that all models have.
        values: by model and training run, on the sample and on every resample, shape (num_models, num_runs,
            1 + num_resamples).
    """

    claim: str
    quantity: Quantity
    seeds: list[int]
    values: np.ndarray

    def of_models(self, models: Sequence[str]) -> np.ndarray:
        """The values of some of the models, in their order."""
        return self.values[[self.quantity.models.index(model) for model in models]]


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
    def freedom(self) -> int:
        """Degrees of freedom of Student's intervals over patients."""
        return degrees_of_freedom(patient_strata(self.patients, self.labels, self.folds)[1])

    @property
    def largest(self) -> list[Cell]:
        """The cells of the largest percentage, which the validity checks use."""
        percents = [cell.quantity.percent for cell in self.cells]
        return [cell for cell in self.cells if cell.quantity.percent == max(percents)]

    def save(self, path: str | Path) -> None:
        """Write everything to one file atomically."""
        about = {
            "dataset": self.dataset,
            "cells": [
                {"claim": cell.claim, "quantity": asdict(cell.quantity), "seeds": cell.seeds}
                for cell in self.cells
            ],
            "runs": list(self.scores),
        }
        cells: dict[str, Any] = {f"cell_{number}": cell.values for number, cell in enumerate(self.cells)}
        with recorded_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                about=np.array(json.dumps(about)),
                patients=self.patients,
                labels=self.labels,
                folds=self.folds,
                scores=np.array(list(self.scores.values())),
                **cells,
            )

    @classmethod
    def load(cls, path: str | Path) -> "DatasetDraws":
        """Read what ``save`` wrote.

        Raises:
            InputError: the file is missing, or not what was written.
        """
        check_record(path, "file of draws")
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays = {name: file[name] for name in file.files if name != "about"}
        cells = [
            Cell(
                claim=cell["claim"],
                quantity=_quantity(cell["quantity"]),
                seeds=cell["seeds"],
                values=arrays[f"cell_{number}"],
            )
            for number, cell in enumerate(about["cells"])
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


def claim_cells(contrasts: Sequence[Quantity], arms: Arms, draws: Draws, models: Sequence[str]) -> list[Cell]:
    """The cells of a dataset.

    Args:
        contrasts: of the dataset, for AUROC.
        arms: values by arm and seed, shape (num_folds, num_counts) over all counts of ``draws``.
        draws: of the dataset.
        models: on which the claims are tested.
    """
    cells = []
    for claim, label in CLAIMS.items():
        mine = [c for c in contrasts if c.label == label and not c.is_mean and c.model in models]
        for percent in sorted({contrast.percent for contrast in mine}):
            singles = [contrast for contrast in mine if contrast.percent == percent]
            quantity = mean_of(singles) if len(singles) > 1 else singles[0]
            seeds = common_seeds(quantity, arms)
            if seeds:
                values = values_by_run(quantity, arms)[..., : 1 + draws.num_resamples]
                cells.append(Cell(claim=claim, quantity=quantity, seeds=seeds, values=values))
    return cells


def claims_table(datasets: Iterable[DatasetDraws], confidence: float, margin: float) -> pd.DataFrame:
    """The table "claims", one row per claim.

    A claim is tested on the models that all its cells have. p values are adjusted by Holm's method for the
    number of statements that the study can test, two a claim.

    Args:
        datasets: of the study.
        confidence: of the intervals; a p value below 1 - confidence decides a statement.
        margin: a contrast whose interval lies between -margin and margin is no relevant difference.
    """
    datasets = list(datasets)
    cells = [(draws.dataset, cell) for draws in datasets for cell in draws.cells]
    freedoms = {draws.dataset: draws.freedom for draws in datasets}
    rows = []
    for claim, label in CLAIMS.items():
        mine = [(dataset, cell) for dataset, cell in cells if cell.claim == claim]
        rows.append(
            {"claim": claim, "contrast": label, "margin": margin} | _claim(mine, freedoms, confidence)
        )
    # A claim without cells lacks all numbers.
    table = pd.DataFrame(rows, columns=list(column_types("claims")))
    columns = ["p_value", "p_every_size"]
    p_values = table[columns].to_numpy(dtype=np.float64, copy=True)
    decidable = np.isfinite(p_values)
    p_values[decidable] = holm(p_values[decidable])
    table["p_holm"], table["p_every_size_holm"] = p_values.T
    table["verdict"] = [_verdict(row, 1 - confidence) for row in table.to_dict("records")]
    return table


def _verdict(row: Mapping[Any, Any], limit: float) -> str:
    if not row["num_cells"]:
        return "not_tested"
    if not np.isfinite(row["p_holm"]):
        return "not_decidable"
    if row["p_holm"] < limit and row["difference"] < 0:
        return "contradicted"
    if row["p_holm"] < limit:
        every_size = row["p_every_size_holm"] < limit
        return "supported_at_every_size" if every_size else "supported_on_average_only"
    # Where no resample differs, as if all arms rank the test scans without an error, an interval has no
    # length and says nothing of how large a difference may be.
    if row["standard_error"] > NO_ERROR and max(-row["ci_low"], row["ci_high"]) < row["margin"]:
        return "no_relevant_difference"
    return "undecided"


def _claim(
    cells: Sequence[tuple[str, Cell]], freedoms: Mapping[str, int], confidence: float
) -> dict[str, Any]:
    """Numbers of a claim.

    Args:
        cells: of the claim, with their datasets.
        freedoms: by dataset, of Student's intervals over patients.
        confidence: of the intervals.
    """
    datasets = list(dict.fromkeys(dataset for dataset, _ in cells))
    models = [
        model
        for model in (cells[0][1].quantity.models if cells else ())
        if all(model in cell.quantity.models for _, cell in cells)
    ]
    row: dict[str, Any] = {
        "num_datasets": len(datasets),
        "num_cells": len(cells) if models else 0,
        "num_models": len(models),
        "num_seeds": min((len(cell.seeds) for _, cell in cells), default=0),
        "num_above": 0,
        "num_below": 0,
    }
    if not models:
        return row
    row |= {
        "datasets": _SEPARATOR.join(datasets),
        "percents": _SEPARATOR.join(
            map(str, dict.fromkeys(sorted(cell.quantity.percent for _, cell in cells)))
        ),
        "models": _SEPARATOR.join(models),
        "seeds": _SEPARATOR.join(map(str, sorted({seed for _, cell in cells for seed in cell.seeds}))),
    }
    values = [cell.of_models(models) for _, cell in cells]
    parts = [
        np.mean([v for v, (other, _) in zip(values, cells, strict=True) if other == dataset], axis=0)
        for dataset in datasets
    ]
    shared = cells[0][1].claim == "video_3d_vs_2d"
    of_parts = [freedoms[dataset] for dataset in datasets]
    average = _infer(parts, of_parts, confidence, shared)
    single = [
        _infer([part], [freedoms[dataset]], confidence, shared)
        for part, (dataset, _) in zip(values, cells, strict=True)
    ]
    alone = infer(parts, confidence, freedoms=of_parts, trained=False)
    samples = [found.value for found in single]
    return row | {
        "difference": average.value,
        **inference_columns(average, tested=True),
        "patients_low": alone.low,
        "patients_high": alone.high,
        "p_every_size": _largest_p([average, *single]),
        "smallest": min(samples),
        "largest": max(samples),
        "num_above": sum(found.low > 0 and found.standard_error > NO_ERROR for found in single),
        "num_below": sum(found.high < 0 and found.standard_error > NO_ERROR for found in single),
    }


def _infer(
    parts: Sequence[np.ndarray], freedoms: Sequence[int], confidence: float, shared_runs: bool
) -> Inference:
    if min(part.shape[1] for part in parts) < MIN_RUNS:
        return Inference(value=float(np.mean([part[..., 0].mean() for part in parts])))
    return infer(parts, confidence, freedoms=freedoms, shared_runs=shared_runs)


def _largest_p(found: Sequence[Inference]) -> float:
    """P value of the hypothesis that not all of these are above zero; NaN if one has none."""
    p_values = [one.p_value if one.value > 0 or np.isnan(one.p_value) else 1.0 for one in found]
    return float(np.max(p_values))

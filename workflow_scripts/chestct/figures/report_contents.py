"""What the groups of the report's sections say, as the names that its template knows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.dataset_entries import intensity_of, label_words
from chestct.figures import report_tables, style
from chestct.figures.budget_table import budgets_table
from chestct.figures.characteristics import characteristics_of
from chestct.figures.claim_sentences import margin_words, read_claims, verdicts_by_dataset
from chestct.figures.failure_pictures import failures_of
from chestct.figures.publication_tables import captions_of, contrasts_table, results_table
from chestct.figures.report_answer import cards_of, is_own, kind_of
from chestct.figures.report_beyond import localisation_table, subgroups_table, without_image
from chestct.figures.report_costs import arms_table, costs_of, runs_table
from chestct.figures.report_head import datasets_line
from chestct.figures.report_outside import outside_of
from chestct.figures.report_uncertainty import (
    few_runs_notes,
    no_interval_notes,
    small_data_notes,
    variance_of,
)
from chestct.figures.report_validity import validity_of
from chestct.figures.scan_quality import quality_of
from chestct.figures.study_tables import StudyTables, origin_of_weights
from chestct.figures.wording import hide_folders
from chestct.intensity import DISPLAY, DISPLAY_WORDS
from chestct.pictures import of_dataset
from chestct.records import read_recorded


@dataclass(frozen=True, kw_only=True)
class DatasetFiles:
    """Tables of a study's datasets: of each kind one path a dataset, in the order of ``StudyTables.scanned``.

    Attributes:
        cohorts, splits: of the subsets step.
        ledgers, indexes, acquisitions, thumbnails: of the volumes step.
    """

    cohorts: Sequence[str | Path]
    splits: Sequence[str | Path]
    ledgers: Sequence[str | Path]
    indexes: Sequence[str | Path]
    acquisitions: Sequence[str | Path]
    thumbnails: Sequence[str | Path]


def outcome(study: StudyTables, configuration: dict[str, Any], files: DatasetFiles) -> dict[str, Any]:
    """Answers, claims, and what they rest on."""
    split_by = {
        entry["name"]: entry["split_by"] for entry in configuration["datasets"] if "split_by" in entry
    }
    claims = [
        vars(claim) | {"tested": claim.tested, "cells": report_tables.show(claim.cells), "place": place}
        for place, claim in enumerate(read_claims(study), start=1)
    ]
    return {
        "asked": datasets_line(configuration["datasets"]),
        "kind": kind_of(study, origin_of_weights(study), own=is_own(configuration)),
        "is_own": is_own(configuration),
        "cards": cards_of(study),
        "any_narrow": any("(narrow)" in style.model_title(model) for model in study.runs["model"].unique()),
        "num_runs": len(study.runs),
        "num_resamples": int(study.means["num_resamples"].max()),
        "confidence": f"{100 * study.confidence:g} %",
        "level": f"{1 - study.confidence:.2g}",
        "margin": margin_words(float(study.claims["margin"].max())),
        "few_runs_notes": few_runs_notes(study),
        "no_interval_notes": no_interval_notes(study),
        "small_data_notes": small_data_notes(study, files.splits, split_by),
        "claims": claims,
        "verdicts_by_dataset": report_tables.show(verdicts_by_dataset(study)),
    }


def numbers(study: StudyTables, configuration: dict[str, Any], files: DatasetFiles) -> dict[str, Any]:
    """Tables of results and comparisons, single scans, other test sets, and how far to trust them."""
    entries = configuration.get("datasets", ())
    results = results_table(study).groupby("Dataset", sort=False)
    return {
        "multipliers": report_tables.multipliers_table(study),
        "results": [(str(name), report_tables.show(part.drop(columns="Dataset"))) for name, part in results],
        "captions": captions_of(study),
        "means": report_tables.means_table(study),
        "metrics": report_tables.metrics_table(study),
        "contrasts": report_tables.show(contrasts_table(study)),
        "mean_comparisons": report_tables.comparisons_table(study, means=True),
        "model_comparisons": report_tables.comparisons_table(study, means=False),
        "calibration": report_tables.calibration_table(study),
        "operating_point": report_tables.operating_point_table(study),
        "without_image": without_image(study),
        "display_note": study.display_note,
        "subgroups": subgroups_table(study),
        "localisation": localisation_table(study),
        "failures": failures_of(
            study,
            files.ledgers,
            files.indexes,
            {entry["name"]: entry["display_window_hu"] for entry in entries},
            {entry["name"]: of_dataset(entry) for entry in entries},
        ),
        "outside": outside_of(study, configuration.get("datasets", [])),
        "variance": variance_of(study),
        "validity": validity_of(study),
    }


def data_and_weights(
    study: StudyTables,
    configuration: dict[str, Any],
    files: DatasetFiles,
    data_manifest: str | Path,
    flows: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Datasets, weights, cohorts and the quality of scans.

    Args:
        study, configuration, files: of the study.
        data_manifest: JSON of the download step, for the published weights.
        flows: of scans to cohorts (``cohort_flow``), one a dataset.
    """
    weights = origin_of_weights(study)
    stand_ins = [name for name in study.scanned if study.manifests[name]["stand_in"]]
    labels = {entry["name"]: label_words(entry) for entry in configuration.get("datasets", ())}
    return {
        "datasets": [
            {**hide_folders(study.manifests[name]), "name": name, "label": labels.get(name)}
            for name in study.scanned
        ],
        "published_weights": hide_folders(json.loads(read_recorded(data_manifest))["weights"]),
        "weights": hide_folders(weights),
        "any_stand_in": bool(stand_ins) or any(origin["stand_in"] for origin in weights),
        "flows": [
            flow | {"characteristics": characteristics_of(*paths)}
            for flow, paths in zip(flows, zip(files.splits, files.acquisitions, strict=True), strict=True)
        ],
        "quality": [
            quality_of(*paths) for paths in zip(study.scanned, files.ledgers, files.thumbnails, strict=True)
        ],
        "display_words": {
            entry["name"]: DISPLAY_WORDS
            for entry in configuration.get("datasets", ())
            if intensity_of(entry) == DISPLAY
        },
    }


def training(study: StudyTables, searched: pd.DataFrame | None) -> dict[str, Any]:
    """Arms, budgets, runs and costs.

    Args:
        study: tables of the study.
        searched: table "choices" of all arms, if the study searched for learning rates.
    """
    return {
        "arms": arms_table(study),
        "budgets": report_tables.show(budgets_table(study)),
        "trials": None if searched is None else report_tables.trials_table(searched),
        "runs": runs_table(study.runs),
        "costs": costs_of(study, searched),
    }

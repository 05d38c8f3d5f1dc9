"""The validity checks of a dataset: coverage (which needs no predictions), power and permuted labels."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.evaluation.claims import DatasetDraws
from chestct.evaluation.resampling import named_rng
from chestct.evaluation.scans import load_test_set
from chestct.evaluation.validity.coverage import coverage_rows
from chestct.evaluation.validity.permuted import permuted_rows
from chestct.evaluation.validity.power import power_rows
from chestct.tables import column_types, write_table

_log = logging.getLogger(__name__)

#: Tables of a dataset, and of a study.
VALIDITY_TABLES = ("coverage", "power", "permuted")

#: Upper limits of the resamples of a simulated or permuted test set; many test sets are averaged over.
MAX_RESAMPLES_COVERAGE = 500
MAX_RESAMPLES_PERMUTED = 500
#: Simulated test sets are no larger: where intervals hold at this size, they hold beyond.
MAX_SCANS_COVERAGE = 10_000
#: The control needs fewer repetitions than coverage.
MAX_PERMUTATIONS = 200


def simulate_coverage(
    *,
    cohort: str | Path,
    splits: str | Path,
    coverage_path: str | Path,
    metrics: Sequence[str],
    specificity: float,
    num_simulations: int,
    num_resamples: int,
    confidence: float,
    seed: int,
) -> None:
    """Check the coverage of intervals at the size of a dataset's test set, up to ``MAX_SCANS_COVERAGE``.

    Args:
        cohort, splits: tables of the dataset.
        coverage_path: table to write.
        metrics: of the study.
        specificity: at which sensitivity is evaluated.
        num_simulations: number of simulated test sets of each kind.
        num_resamples: of the study; up to ``MAX_RESAMPLES_COVERAGE`` are used.
        confidence: of all intervals.
        seed: of all randomness, with the dataset's name.

    Raises:
        InputError: as ``load_test_set``.
    """
    test_set = load_test_set(cohort, splits)
    name, num_scans, num_positive = test_set.dataset, len(test_set.labels), int(test_set.labels.sum())
    if num_scans > MAX_SCANS_COVERAGE:
        num_positive = min(
            max(2, round(num_positive * MAX_SCANS_COVERAGE / num_scans)), MAX_SCANS_COVERAGE - 2
        )
        num_scans = MAX_SCANS_COVERAGE
    coverage = coverage_rows(
        num_scans,
        num_positive,
        metrics=metrics,
        specificity=specificity,
        num_simulations=num_simulations,
        num_resamples=min(num_resamples, MAX_RESAMPLES_COVERAGE),
        confidence=confidence,
        rng=named_rng(seed, name, "coverage"),
    )
    _write(({"dataset": name, **row} for row in coverage), coverage_path, "coverage")
    _log.info("%s: %d simulations at %d scans, %d positive", name, num_simulations, num_scans, num_positive)


def check_validity(
    *,
    draws: str | Path,
    power_path: str | Path,
    permuted_path: str | Path,
    num_simulations: int,
    num_resamples: int,
    confidence: float,
    seed: int,
) -> None:
    """Compute power, and run the control with permuted labels, on the scores of a dataset.

    Args:
        draws: file that ``evaluate_dataset`` wrote.
        power_path, permuted_path: tables to write.
        num_simulations: number of simulated test sets, and of permutations up to ``MAX_PERMUTATIONS``.
        num_resamples: of the study; up to ``MAX_RESAMPLES_PERMUTED`` are used for a permutation.
        confidence: of all intervals.
        seed: of all randomness, with the dataset's name.
    """
    dataset = DatasetDraws.load(draws)
    power = power_rows(
        dataset,
        num_simulations=num_simulations,
        confidence=confidence,
        rng=named_rng(seed, dataset.dataset, "power"),
    )
    _write(power, power_path, "power")
    permuted = permuted_rows(
        dataset,
        num_permutations=min(num_simulations, MAX_PERMUTATIONS),
        num_resamples=min(num_resamples, MAX_RESAMPLES_PERMUTED),
        confidence=confidence,
        rng=named_rng(seed, dataset.dataset, "permuted"),
    )
    _write(permuted, permuted_path, "permuted")


def _write(rows: Iterable[dict[str, Any]], path: str | Path, name: str) -> None:
    # A dataset without the claims' arms has no contrast to check: only the header is written.
    write_table(pd.DataFrame(list(rows), columns=list(column_types(name))), path, name)

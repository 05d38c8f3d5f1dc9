"""Evaluation of one dataset: from the predictions of all runs to the tables of metrics and comparisons."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from chestct.catalogue import MODELS
from chestct.chosen_rival import COMPOSED
from chestct.claimed_models import claimed_models
from chestct.errors import InputError
from chestct.evaluation.best_2d import best_2d_models, compose_runs
from chestct.evaluation.calibration import calibration_rows
from chestct.evaluation.claims import Cell, DatasetDraws, claim_cells
from chestct.evaluation.contrasts import (
    Arms,
    Quantity,
    arms_of,
    list_contrasts,
    list_means,
)
from chestct.evaluation.curves import curve_rows
from chestct.evaluation.delong import placements
from chestct.evaluation.estimates import delong_columns, estimate, patient_intervals
from chestct.evaluation.failures import decide, example_rows, failure_rows
from chestct.evaluation.fold_values import MetricSettings, fold_values
from chestct.evaluation.holm import holm_within_families
from chestct.evaluation.label_efficiency import multiplier_rows
from chestct.evaluation.localisation import localisation_rows
from chestct.evaluation.matching import BASELINE, RunKey
from chestct.evaluation.metric_table import METRICS, VALIDATION_METRICS, MetricKind
from chestct.evaluation.operating_point import validation_thresholds
from chestct.evaluation.predictions import Scores, load_scores
from chestct.evaluation.resampling import Draws, draw_resamples, named_rng
from chestct.evaluation.rival_scores import RivalScores, read_facts, score_rivals
from chestct.evaluation.scans import TestSet, load_test_set
from chestct.evaluation.subgroups import list_subgroups, subgroup_rows
from chestct.evaluation.training_patients import (
    LABELS_COUNTED,
    Labelled,
    arm_labelled,
    count_labelled,
    known_validation,
    read_subsets,
)
from chestct.evaluation.validity.same_arm import same_arm_rows
from chestct.simple_rivals import is_simple
from chestct.tables import column_types, read_table, write_table

_log = logging.getLogger(__name__)

#: Tables of a dataset, and of a study.
TABLES = (
    "metrics",
    "means",
    "comparisons",
    "curves",
    "calibration",
    "multipliers",
    "same_arm",
    "simple_rivals",
    "subgroups",
    "localisation",
    "failures",
    "examples",
)


def evaluate_dataset(
    *,
    predictions: Sequence[str | Path],
    cohort: str | Path,
    splits: str | Path,
    subsets: Sequence[str | Path],
    acquisition: str | Path,
    findings: str | Path,
    runs: Iterable[tuple[str, str, int, int]],
    models: Sequence[str],
    validation_labels: Literal["all", "percent"],
    tables: Mapping[str, str | Path],
    draws_path: str | Path,
    metrics: Sequence[str],
    specificity: float,
    prevalence: float | None = None,
    num_resamples: int,
    confidence: float,
    seed: int,
) -> None:
    """Score every run of a dataset and compare them on shared resamples of patients.

    Args:
        predictions: tables of predictions, one per model.
        cohort, splits: tables of the dataset.
        subsets: tables of training subsets, one per percentage and seed.
        acquisition: table of the dataset, for the rivals that see no image and for subgroups.
        findings: table of the dataset, for subgroups of positive scans.
        runs: (model, init, percent, seed) that must be present.
        models: of the study.
        validation_labels: whether a percentage counts the validation patients ("percent") or not ("all").
        tables: where to write ``TABLES``, by name.
        draws_path: where to write the ``DatasetDraws`` for the claims and the validity checks.
        metrics: names in ``METRICS``; AUROC, which the claims and multipliers need, must be among them.
        specificity: at which sensitivity is evaluated, and which the thresholds from validation keep there.
        prevalence: share of positive scans at which metrics that depend on it are evaluated; None for the
            share in the test set.
        num_resamples: number of resamples of patients, which all runs share.
        confidence: of the intervals, between 0 and 1.
        seed: of the resamples. Together with the dataset's name it determines them, so adding a dataset does
            not change the numbers of the others.

    Raises:
        InputError: ``load_test_set``, ``load_scores`` or ``score_rivals`` refuse a table, a run is missing,
            or a metric is unknown.
    """
    _check_metrics(metrics)
    test_set = load_test_set(cohort, splits)
    dataset, labels = test_set.dataset, test_set.labels
    sampled = read_subsets(subsets)
    loaded = load_scores(predictions, test_set, known_validation(sampled, test_set))
    _check_complete(dataset, loaded.test, runs)
    labelled = count_labelled(sampled, splits, with_validation=validation_labels == "percent")
    rivals = score_rivals(acquisition, cohort, sampled, splits, test_set)
    best_2d = best_2d_models(loaded.validation_auroc)
    _log.info("%s: best 2D model on validation, by percent: %s", dataset, best_2d or "none")
    folds, of_validation = np.unique(test_set.folds), test_set.validation["fold"].to_numpy(dtype=np.int64)
    tested = loaded.test | compose_runs(best_2d, loaded.test, folds, test_set.folds)
    validated = loaded.validation | compose_runs(best_2d, loaded.validation, folds, of_validation)
    settings = MetricSettings(
        specificity=specificity,
        prevalence=float(labels.mean()) if prevalence is None else prevalence,
        thresholds=validation_thresholds(validated | rivals.validation, test_set, specificity)
        if {*metrics} & {*VALIDATION_METRICS}
        else {},
    )
    rng = named_rng(seed, dataset)
    draws = draw_resamples(test_set.patient_ids, labels, num_resamples, rng, test_set.folds)
    noise_rng_of = partial(named_rng, seed, dataset, "training noise")
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for metric in metrics:
        scores = _with_baseline(tested | rivals.test, test_set, metric)
        values = fold_values(metric, scores, test_set, draws, settings)
        arms = arms_of(values)
        means, contrasts = list_means(arms), list_contrasts(arms, best_2d)
        if metric != "auroc":  # the gain over fitted rivals is stated in AUROC alone
            contrasts = [contrast for contrast in contrasts if not is_simple(contrast.rival)]
        seen = {mean: arm_labelled(mean, arms, labelled) for mean in means}
        table = _means_table(seen, arms, draws, METRICS[metric], confidence)
        parts["means"].append(table.assign(metric=metric, labels_counted=LABELS_COUNTED[validation_labels]))
        table = _metrics_table(values, draws, confidence, METRICS[metric])
        parts["metrics"].append(table.assign(metric=metric))
        if contrasts:
            table = _comparisons_table(metric, contrasts, arms, draws, confidence, scores, test_set)
            parts["comparisons"].append(table)
        if metric == "auroc":
            num_patients = {mean: one.num_patients for mean, one in seen.items()}
            rows = multiplier_rows(means, arms, num_patients, draws, confidence, noise_rng_of)
            parts["multipliers"].append(pd.DataFrame(rows))
            trained = [mean for mean in means if not is_simple(mean.model) and mean.model != COMPOSED]
            parts["same_arm"].append(pd.DataFrame(same_arm_rows(trained, arms, draws, confidence)))
            cells = claim_cells(contrasts, arms, draws, claimed_models(models))
            _collect_draws(test_set, cells, tested).save(draws_path)
    facts = _facts(acquisition, findings, test_set)
    decided = decide(loaded, test_set, specificity)
    described = {
        **_curve_tables(loaded, test_set, draws, confidence, settings.prevalence),
        **_subgroup_tables(loaded, rivals, facts, test_set, draws, confidence),
        "simple_rivals": rivals.table,
        "failures": pd.DataFrame(failure_rows(decided, test_set, facts)),
        "examples": pd.DataFrame(example_rows(decided, test_set)),
    }
    for name, table in described.items():
        parts[name].append(table)
    for name in TABLES:
        write_table(_joined(parts[name], name, test_set), tables[name], name)
    _log.info("%s: %d runs on %d test scans", dataset, len(loaded.test), len(labels))


def _curve_tables(
    loaded: Scores, test_set: TestSet, draws: Draws, confidence: float, prevalence: float
) -> dict[str, pd.DataFrame]:
    """Curves and calibration of the runs at the largest percentage."""
    shown = _largest_percent(list_means(arms_of(loaded.test)))
    counts = draws.sample_and_resamples
    curves = curve_rows(shown, test_set.strata, loaded.test, counts, confidence, prevalence)
    calibration = calibration_rows(shown, test_set.labels, loaded.test, confidence)
    return {"curves": pd.DataFrame(curves), "calibration": pd.DataFrame(calibration)}


def _subgroup_tables(
    loaded: Scores,
    rivals: RivalScores,
    facts: pd.DataFrame,
    test_set: TestSet,
    draws: Draws,
    confidence: float,
) -> dict[str, pd.DataFrame]:
    """AUROC within subgroups at the largest percentage, of models and rivals; localisation of all arms."""
    scores = loaded.test | rivals.test
    shown = [one for one in _largest_percent(list_means(arms_of(scores))) if not _is_frozen(one.model)]
    groups, quantities = list_subgroups(facts, test_set.labels), list_means(arms_of(loaded.test))
    subgroups = subgroup_rows(groups, shown, scores, test_set, draws, confidence)
    localisation = localisation_rows(quantities, loaded.windows, test_set, draws, confidence)
    return {"subgroups": pd.DataFrame(subgroups), "localisation": pd.DataFrame(localisation)}


def _facts(acquisition: str | Path, findings: str | Path, test_set: TestSet) -> pd.DataFrame:
    """What headers and labels say of the test scans, a row each, in their order."""
    found = read_table(findings, "findings").set_index("study_id").reindex(test_set.study_ids)
    return read_facts(acquisition, test_set.study_ids, test_set.dataset).join(found)


def _joined(parts: Sequence[pd.DataFrame], name: str, test_set: TestSet) -> pd.DataFrame:
    """A table of the dataset from its parts, with the columns that have the same value in all rows."""
    columns = list(column_types(name))
    filled = [part for part in parts if len(part)]
    if not filled:  # a study with one arm has no comparisons: only the header is written
        return pd.DataFrame(columns=columns)
    table = pd.concat(filled, ignore_index=True).assign(dataset=test_set.dataset)
    if "num_positive" in columns and "num_positive" not in table:
        table = table.assign(num_scans=len(test_set.labels), num_positive=int(test_set.labels.sum()))
    return table[columns]


def _check_metrics(metrics: Sequence[str]) -> None:
    unknown = [name for name in metrics if name not in METRICS]
    if unknown or "auroc" not in metrics:
        raise InputError(
            f"unknown metrics {unknown}"
            if unknown
            else "auroc is not among the metrics, but the claims need it",
            where="evaluation.metrics",
            expected=f"auroc and others of {', '.join(METRICS)}",
            remedy="correct the configuration",
        )


def _check_complete(
    dataset: str, scores: Mapping[RunKey, np.ndarray], runs: Iterable[tuple[str, str, int, int]]
) -> None:
    missing = [f"{dataset}, {RunKey(*run).title}" for run in runs if RunKey(*run) not in scores]
    if missing:
        raise InputError(
            f"{len(missing)} run(s) have no test predictions: {'; '.join(missing[:5])}",
            where="the predictions tables of the study",
            expected="every run that the configuration names",
            remedy="rerun the training step",
        )


def _with_baseline(
    scores: dict[RunKey, np.ndarray], test_set: TestSet, metric: str
) -> dict[RunKey, np.ndarray]:
    """Scores with the trivial baseline, if the metric is defined for it."""
    baseline = test_set.baseline
    if baseline is None:
        return scores
    if metric in VALIDATION_METRICS:
        return scores  # it has no validation scores
    if METRICS[metric].of_probabilities and (baseline.min() < 0 or baseline.max() > 1):
        return scores  # a size or a count is not a probability
    return {**scores, BASELINE: baseline}


def _metrics_table(
    values: Mapping[RunKey, np.ndarray], draws: Draws, confidence: float, kind: MetricKind
) -> pd.DataFrame:
    values_KL = np.stack([run.mean(axis=0) for run in values.values()])
    columns = patient_intervals(values_KL, draws, confidence, kind)
    return pd.DataFrame(list(values), columns=list(RunKey._fields)).assign(**columns)


def _means_table(
    seen: Mapping[Quantity, Labelled], arms: Arms, draws: Draws, kind: MetricKind, confidence: float
) -> pd.DataFrame:
    """Rows of the table "means" of a metric, from the labels that every arm or mean saw."""
    table = estimate(list(seen), arms, draws, kind, confidence=confidence, tested=False)
    columns = {name: [getattr(one, name) for one in seen.values()] for name in Labelled._fields}
    return table.rename(columns={"label": "init"}).assign(**columns)


def _comparisons_table(
    metric: str,
    contrasts: Sequence[Quantity],
    arms: Arms,
    draws: Draws,
    confidence: float,
    scores: Mapping[RunKey, np.ndarray],
    test_set: TestSet,
) -> pd.DataFrame:
    """Rows of the table "comparisons" of a metric, those of AUROC with DeLong's columns."""
    table = estimate(contrasts, arms, draws, METRICS[metric], confidence=confidence, tested=True)
    table = table.rename(columns={"label": "contrast", "value": "difference"})
    columns = dict.fromkeys(("delong_low", "delong_high", "delong_p"), np.full(len(table), np.nan))
    if metric == "auroc":
        strata, differences = test_set.strata, table["difference"].to_numpy()
        sides = arms_of({key: placements(strata, run) for key, run in scores.items()})
        columns = delong_columns(contrasts, sides, strata, differences, confidence)
        _log_agreement(test_set.dataset, table["patients_p"].to_numpy(), columns["delong_p"], confidence)
    return _with_families(table.assign(metric=metric, **columns), test_set.dataset)


def _with_families(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Add families and p_holm: a family is one dataset, metric and contrast, of single models or of means."""
    kind = np.where(table["num_models"] > 1, "mean", "models")
    family: pd.Series = dataset + " / " + table["metric"] + " / " + table["contrast"] + " / " + kind
    return table.assign(family=family, p_holm=holm_within_families(table["p_value"], family))


def _log_agreement(dataset: str, bootstrap: np.ndarray, delong: np.ndarray, confidence: float) -> None:
    limit, tested = 1 - confidence, np.isfinite(delong)
    agree = (bootstrap < limit) == (delong < limit)
    text = "%s: DeLong and bootstrap agree at p < %.3g in %d of %d comparisons of AUROC"
    _log.info(text, dataset, limit, agree[tested].sum(), tested.sum())


def _is_frozen(model: str) -> bool:
    return model in MODELS and MODELS[model].frozen


def _largest_percent(quantities: Sequence[Quantity]) -> list[Quantity]:
    largest = max(quantity.percent for quantity in quantities)
    return [quantity for quantity in quantities if quantity.percent == largest]


def _collect_draws(test_set: TestSet, cells: list[Cell], scores: Mapping[RunKey, np.ndarray]) -> DatasetDraws:
    patients = np.unique(test_set.patient_ids, return_inverse=True)[1]
    everything = DatasetDraws(
        dataset=test_set.dataset,
        patients=patients,
        labels=test_set.labels,
        folds=test_set.folds,
        cells=cells,
        scores=dict(scores),
    )
    arms = {arm for cell in everything.largest for part in cell.quantity.parts for arm in part}
    needed = {key: run for key, run in scores.items() if key[:3] in arms}
    return replace(everything, scores=needed)

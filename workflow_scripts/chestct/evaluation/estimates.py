"""Values with intervals and p values, for many quantities at once."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from chestct.evaluation.contrasts import (
    Arms,
    Quantity,
    common_seeds,
    is_trained,
    part_values,
    values_by_run,
    values_by_seed,
)
from chestct.evaluation.delong import standard_errors
from chestct.evaluation.inference import SOURCES, Inference, infer
from chestct.evaluation.intervals import (
    acceleration,
    bca_intervals,
    normal_intervals,
    share_intervals,
    student_intervals,
)
from chestct.evaluation.metric_table import MetricKind
from chestct.evaluation.resampling import Draws

#: Fewer training runs than this an arm tell nothing of how much training varies.
MIN_RUNS = 2


def patient_intervals(
    values_KL: np.ndarray, draws: Draws, confidence: float, kind: MetricKind, *, tested: bool = False
) -> dict[str, np.ndarray]:
    """Intervals over patients alone of K rows of values over all counts of ``draws``.

    Args:
        values_KL: of a metric, or of differences in it.
        draws: of the dataset.
        confidence: of the intervals.
        kind: of the metric: whether it is a share, and whether it has BCa intervals.
        tested: whether these are differences, which have a p value for zero, ``patients_p``.

    Returns:
        value, Student's and the BCa interval, num_resamples. Rows with undefined values have no interval.
    """
    values_K, resampled_KR = values_KL[:, 0], draws.resampled(values_KL)
    of_share = kind.share and not tested
    low, high, p_values = student_intervals(
        values_K, resampled_KR, draws.freedom, confidence, of_share=of_share, skewed=kind.skewed
    )
    columns = {"value": values_K, "patients_low": low, "patients_high": high}
    columns |= dict.fromkeys(("bca_low", "bca_high"), np.full(len(values_K), np.nan))
    if kind.bca:
        ordered_KR = np.sort(resampled_KR, axis=1)
        acceleration_K = acceleration(draws.left_out(values_KL), draws.left_out_stratum, draws.stratum_sizes)
        ends = bca_intervals(values_K, ordered_KR, acceleration_K, confidence)
        for name, end in zip(("bca_low", "bca_high"), ends, strict=True):
            columns[name] = np.where(np.isfinite(low), end, np.nan)
    if tested:
        columns["patients_p"] = p_values
    return columns | {"num_resamples": np.full(len(values_K), draws.num_resamples)}


def decide(quantity: Quantity, arms: Arms, draws: Draws, confidence: float) -> Inference:
    """The inference over all sources of variance; without an interval if an arm has one training run."""
    values_MTL = values_by_run(quantity, arms)
    values_MTR = values_MTL[..., : 1 + draws.num_resamples]
    trained = is_trained(quantity)
    if trained and values_MTR.shape[1] < MIN_RUNS:
        return Inference(value=float(values_MTR[..., 0].mean()))
    shared_runs = quantity.rival is not None
    return infer([values_MTR], confidence, freedoms=[draws.freedom], shared_runs=shared_runs, trained=trained)


def estimate(
    quantities: Sequence[Quantity],
    arms: Arms,
    draws: Draws,
    kind: MetricKind,
    *,
    confidence: float,
    tested: bool,
) -> pd.DataFrame:
    """Estimate quantities from the values of their arms on the sample and its resamples.

    Args:
        quantities: what to estimate.
        arms: values by arm and seed, shape (num_folds, num_counts) over all counts of ``draws``.
        draws: of the dataset.
        kind: of the metric.
        confidence: of the intervals.
        tested: whether to add ``p_value`` and ``patients_p``, for the null hypothesis that the quantity is
            zero.

    Returns:
        One row per quantity, in their order: model, label, percent, rival, value, ``ci_low`` and ``ci_high``
        (patients, training and models vary: ``inference``) with standard_error, degrees_of_freedom and the
        shares of the variance by source; the intervals over patients alone; num_models, num_seeds, num_runs,
        seed_sd (missing for one seed), num_resamples.
    """
    values_KL = np.empty((len(quantities), len(draws.counts)))
    rows = []
    for number, quantity in enumerate(quantities):
        values_MSFL = values_by_seed(quantity, arms)
        values_KL[number] = values_MSFL.mean(axis=(0, 1, 2))
        found = decide(quantity, arms, draws, confidence)
        by_seed = values_MSFL[..., 0].mean(axis=(0, 2))
        seeds = common_seeds(quantity, arms)
        rows.append(
            {
                "model": quantity.model,
                "label": quantity.label,
                "percent": quantity.percent,
                "rival": quantity.rival,
                **inference_columns(found, tested=tested),
                "num_models": len(quantity.parts),
                "num_seeds": len(seeds),
                "num_runs": len(seeds) * values_MSFL.shape[2],
                "seed_sd": by_seed.std(ddof=1) if len(seeds) > 1 else np.nan,
            }
        )
    table = pd.DataFrame(rows).assign(**patient_intervals(values_KL, draws, confidence, kind, tested=tested))
    if kind.share and not tested and len(table):
        reach_K = ((table["ci_high"] - table["ci_low"]) / 2).to_numpy()
        resampled_KR, size = draws.resampled(values_KL), draws.freedom + 1
        ends = share_intervals(values_KL[:, 0], reach_K, resampled_KR, size, confidence, skewed=kind.skewed)
        table["ci_low"], table["ci_high"] = ends
    return table


def inference_columns(found: Inference, *, tested: bool) -> dict[str, float]:
    """Columns of an inference in the tables; the value itself is left out."""
    columns = {
        "ci_low": found.low,
        "ci_high": found.high,
        "standard_error": found.standard_error,
        "degrees_of_freedom": found.degrees_of_freedom,
        **{f"share_{source}": share for source, share in zip(SOURCES, found.shares, strict=True)},
    }
    return columns | ({"p_value": found.p_value} if tested else {})


def delong_columns(
    quantities: Sequence[Quantity],
    placements: Arms,
    strata: np.ndarray,
    values: np.ndarray,
    confidence: float,
) -> dict[str, np.ndarray]:
    """DeLong's intervals and p values of contrasts of AUROC.

    Args:
        quantities: contrasts.
        placements: placement values of the scans, by arm and seed.
        strata: fold and label (``folds.class_strata``), shape (num_scans,).
        values: of the quantities.
        confidence: of the interval.
    """
    combined_KS = np.stack([np.mean(part_values(quantity, placements), axis=0) for quantity in quantities])
    errors = standard_errors(strata, combined_KS)
    low, high, p_values = normal_intervals(values, errors, confidence)
    return {
        "delong_low": low,
        "delong_high": high,
        "delong_p": np.where(np.isfinite(errors), p_values, np.nan),
    }

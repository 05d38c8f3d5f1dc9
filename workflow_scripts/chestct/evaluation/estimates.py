"""Values with intervals and p values, for many quantities at once."""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from chestct.evaluation.contrasts import Arms, Quantity, common_seeds, num_seeds, part_values, seed_values
from chestct.evaluation.delong import standard_errors
from chestct.evaluation.intervals import (
    acceleration,
    bca_intervals,
    normal_intervals,
    percentile_intervals,
    two_sided_p_values,
)
from chestct.evaluation.resampling import Draws, model_weights

_shares_of_models = cache(model_weights)


def interval_columns(values_KL: np.ndarray, draws: Draws, confidence: float) -> dict[str, np.ndarray]:
    """Value, percentile and BCa interval of K rows of values over all counts of ``draws``."""
    values_K = values_KL[:, 0]
    sorted_KR = np.sort(draws.resampled(values_KL), axis=1)
    ci_low, ci_high = percentile_intervals(sorted_KR, confidence)
    acceleration_K = acceleration(draws.left_out(values_KL), draws.stratum)
    bca_low, bca_high = bca_intervals(values_K, sorted_KR, acceleration_K, confidence)
    return {
        "value": values_K,
        "ci_low": ci_low,
        "ci_high": ci_high,
        "bca_low": bca_low,
        "bca_high": bca_high,
        "num_resamples": np.full(len(values_K), draws.num_resamples),
    }


def widened(quantity: Quantity, values_ML: np.ndarray, draws: Draws, seed: int) -> np.ndarray:
    """Values of a mean over models on resamples of both patients and models, shape (num_resamples,).

    Their interval is about models like these rather than these particular models.
    """
    shares_RM = _shares_of_models(quantity.models, draws.num_resamples, seed)
    return np.einsum("rm,mr->r", shares_RM, draws.resampled(values_ML))


def estimate(
    quantities: Sequence[Quantity], arms: Arms, draws: Draws, *, confidence: float, seed: int, tested: bool
) -> pd.DataFrame:
    """Estimate quantities from the values of their arms on the sample and its resamples.

    Args:
        quantities: what to estimate.
        arms: values over all counts of ``draws``, by arm and seed.
        draws: of the dataset.
        confidence: of the intervals.
        seed: of the resamples of models.
        tested: whether to add ``p_value``, for the null hypothesis that the quantity is zero.

    Returns:
        One row per quantity, in their order: model, label, percent, rival, value, the intervals, num_models,
        num_seeds, seed_sd (missing for one seed), num_resamples.
    """
    values_KL = np.empty((len(quantities), len(draws.counts)))
    wide = np.full((len(quantities), 2), np.nan)
    rows = []
    for number, quantity in enumerate(quantities):
        values_ML = part_values(quantity, arms)
        values_KL[number] = np.mean(values_ML, axis=0)
        if quantity.is_mean:
            sorted_1R = np.sort(widened(quantity, values_ML, draws, seed))[None]
            wide[number] = [ends[0] for ends in percentile_intervals(sorted_1R, confidence)]
        seeds = common_seeds(quantity, arms)
        samples = {
            key: {s: v[:1] for s, v in arms[key].items()} for part in quantity.parts for key in part if key
        }
        rows.append(
            {
                "model": quantity.model,
                "label": quantity.label,
                "percent": quantity.percent,
                "rival": quantity.rival,
                "num_models": len(quantity.parts),
                "num_seeds": num_seeds(quantity, arms),
                "seed_sd": np.std(seed_values(quantity, samples), ddof=1) if len(seeds) > 1 else np.nan,
            }
        )
    columns = interval_columns(values_KL, draws, confidence)
    columns |= {"models_low": wide[:, 0], "models_high": wide[:, 1]}
    if tested:
        columns["p_value"] = two_sided_p_values(draws.resampled(values_KL))
    return pd.DataFrame(rows).assign(**columns)


def delong_columns(
    quantities: Sequence[Quantity],
    placements: Arms,
    labels: np.ndarray,
    values: np.ndarray,
    confidence: float,
) -> dict[str, np.ndarray]:
    """DeLong's intervals and p values of contrasts of AUROC.

    Args:
        quantities: contrasts.
        placements: placement values of the scans, by arm and seed.
        labels: shape (num_scans,).
        values: of the quantities.
        confidence: of the interval.
    """
    combined_KS = np.stack([np.mean(part_values(quantity, placements), axis=0) for quantity in quantities])
    errors = standard_errors(labels, combined_KS)
    low, high, p_values = normal_intervals(values, errors, confidence)
    return {
        "delong_low": low,
        "delong_high": high,
        "delong_p": np.where(np.isfinite(errors), p_values, np.nan),
    }

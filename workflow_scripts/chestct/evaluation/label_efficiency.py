"""Label efficiency: how many times as many patients training from scratch needs for the same AUROC."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from chestct.evaluation.contrasts import Arms, Quantity, values_by_seed
from chestct.evaluation.estimates import decide
from chestct.evaluation.inference import Inference
from chestct.evaluation.intervals import percentile_intervals
from chestct.evaluation.resampling import Draws

#: Pretraining, and the reference that has to reach its AUROC.
_PAIRS = (("video", "scratch"), ("ct", "scratch"))


def monotone(values_PR: np.ndarray) -> np.ndarray:
    """Non-decreasing least-squares fit to every column.

    Isotonic regression in its min-max form (Robertson, Wright and Dykstra, Order Restricted Statistical
    Inference, 1988, section 1.4), fast for few rows and many columns.
    """
    num_rows = len(values_PR)
    sums = np.concatenate([np.zeros((1, values_PR.shape[1])), np.cumsum(values_PR, axis=0)])
    result = np.empty_like(values_PR)
    for row in range(num_rows):
        least_mean = [
            np.min(
                [(sums[end] - sums[start]) / (end - start) for end in range(row + 1, num_rows + 1)], axis=0
            )
            for start in range(row + 1)
        ]
        result[row] = np.max(least_mean, axis=0)
    return result


def patients_needed(levels_R: np.ndarray, patients_P: np.ndarray, curve_PR: np.ndarray) -> np.ndarray:
    """Number of patients at which a rising curve first reaches a level.

    The curve is interpolated linearly over the logarithm of the number of patients.

    Args:
        levels_R: one per resample.
        patients_P: ascending.
        curve_PR: non-decreasing down every column.

    Returns:
        Shape (num_resamples,); infinite where the level is never reached, 0 where the curve starts at or
        above it.
    """
    needed_R = np.full(len(levels_R), np.inf)
    needed_R[levels_R <= curve_PR[0]] = 0.0
    logs = np.log(patients_P)
    for row in range(1, len(patients_P)):
        low_R, high_R = curve_PR[row - 1], curve_PR[row]
        here = (levels_R > low_R) & (levels_R <= high_R)
        share_R = (levels_R[here] - low_R[here]) / (high_R[here] - low_R[here])
        needed_R[here] = np.exp(logs[row - 1] + share_R * (logs[row] - logs[row - 1]))
    return needed_R


def multiplier_rows(
    means: Sequence[Quantity],
    arms: Arms,
    num_patients: Mapping[Quantity, float],
    draws: Draws,
    confidence: float,
    rng_of: Callable[[str, str, str], np.random.Generator],
) -> Iterator[dict[str, Any]]:
    """Rows of the table "multipliers", for models and means with both inits at two or more percentages.

    The AUROC of the reference over its percentages is made monotone, on the sample and on every resample, and
    inverted at the AUROC of the init. Where the reference never reaches it, or reaches it with its fewest
    patients, the multiplier is a bound, both on the sample (``bound``) and in the resamples behind its
    interval.

    A multiplier is no mean of runs, so that its interval comes from resamples in which training varies too:
    to the values on a resample of patients, ``training_noise`` is added. With one training run an arm there
    is only the interval over patients alone.

    Args:
        means: arms and means over models.
        arms: values by arm and seed, shape (num_folds, num_counts) over all counts of ``draws``.
        num_patients: labelled patients by mean.
        draws: of the dataset.
        confidence: of the intervals.
        rng_of: source of an arm's noise, by model, init and percentage: other arms do not change it.
    """
    named = {(mean.model, mean.label, mean.percent): mean for mean in means}
    values, added = {}, {}
    for key, mean in named.items():
        values[key] = values_by_seed(mean, arms).mean(axis=(0, 1, 2))[: 1 + draws.num_resamples]
        found = decide(mean, arms, draws, confidence)
        noise_R = training_noise(found, values[key][1:], rng_of(mean.model, mean.label, str(mean.percent)))
        added[key] = np.append(0.0, noise_R)
    for model in dict.fromkeys(mean.model for mean in means):
        for init, reference in _PAIRS:
            percents = sorted(p for m, label, p in named if (m, label) == (model, reference))
            own = [percent for percent in percents if (model, init, percent) in named]
            if len(percents) < 2 or not own:
                continue
            keys = [(model, reference, percent) for percent in percents]
            patients_P = np.array([num_patients[named[key]] for key in keys])
            curve_PR = monotone(np.stack([values[key] for key in keys]))
            noisy_PR = monotone(np.stack([values[key] + added[key] for key in keys]))
            for percent in own:
                key = (model, init, percent)
                patients = num_patients[named[key]]
                level_R, noisy_R = values[key], values[key] + added[key]
                row, (low, high) = _multiplier(level_R, patients_P, curve_PR, patients, confidence)
                ends = (np.nan, np.nan)
                if np.isfinite(noisy_PR).all() and np.isfinite(noisy_R).all():
                    _, ends = _multiplier(noisy_R, patients_P, noisy_PR, patients, confidence)
                yield {
                    "model": model,
                    "percent": percent,
                    "init": init,
                    "reference": reference,
                    **row,
                    "ci_low": ends[0],
                    "ci_high": ends[1],
                    "patients_low": low,
                    "patients_high": high,
                    "num_resamples": draws.num_resamples,
                }


def training_noise(found: Inference, resampled_R: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What training runs and models add to the values of an arm on resamples of patients, shape (R,).

    Its variance is what the inference has beyond that over patients. It is estimated from few runs, as the
    degrees of freedom say, so that it is Student's: normal noise would cover as little as 70 to 85 % where
    two or three runs or models decide.

    Args:
        found: of the arm; without a standard error, there is no noise (NaN).
        resampled_R: values on the resamples.
        rng: source of randomness.
    """
    if not np.isfinite(found.standard_error):
        return np.full(len(resampled_R), np.nan)
    spread = np.sqrt(max(0.0, found.standard_error**2 - resampled_R.var(ddof=1)))
    return spread * rng.standard_t(found.degrees_of_freedom, size=len(resampled_R))


def _multiplier(
    levels_R: np.ndarray, patients_P: np.ndarray, curve_PR: np.ndarray, num_patients: float, confidence: float
) -> tuple[dict[str, Any], tuple[float, float]]:
    """Columns of a multiplier, and the ends of its interval."""
    needed_R = patients_needed(levels_R, patients_P, curve_PR)
    beyond_R = np.isinf(needed_R) | (needed_R == 0)
    bound = "exact" if not beyond_R[0] else "at_most" if needed_R[0] == 0 else "at_least"
    multiplier_R = np.clip(needed_R, patients_P[0], patients_P[-1]) / num_patients
    low, high = percentile_intervals(np.sort(multiplier_R[1:])[None], confidence)
    row = {
        "num_patients": num_patients,
        "multiplier": multiplier_R[0],
        "bound": bound,
        "share_beyond": float(np.mean(beyond_R[1:])),
    }
    return row, (float(low[0]), float(high[0]))

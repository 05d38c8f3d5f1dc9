"""Curves, calibration, simulations and learning curves of a made-up study."""

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from synthetic_evaluation import Sample

_POINTS = np.linspace(0, 1, 51)


def _wilson(share: float, number: int) -> tuple[float, float]:
    centre = (share + 1.92 / number) / (1 + 3.84 / number)
    half = 1.96 * np.sqrt(share * (1 - share) / number + 0.96 / number**2) / (1 + 3.84 / number)
    return max(0.0, centre - half), min(1.0, centre + half)


def curves_table(means: pd.DataFrame) -> pd.DataFrame:
    """The table "curves": binormal, through the AUROC of the arms at the largest percent."""
    tables = []
    for row in _largest(means).to_dict("records"):
        prevalence = row["num_positive"] / row["num_scans"]
        keys = {name: row[name] for name in ("dataset", "model", "init", "percent")}
        for curve in ("roc", "precision_recall"):
            columns = {
                column: _curve(curve, row[end], prevalence)
                for column, end in {"y": "value", "low": "ci_low", "high": "ci_high"}.items()
            }
            tables.append(pd.DataFrame(keys | {"curve": curve, "x": _POINTS} | columns))
    return pd.concat(tables, ignore_index=True)


def _largest(means: pd.DataFrame) -> pd.DataFrame:
    rows = means[(means["metric"] == "auroc") & (means["model"] != "baseline")]
    return rows[rows["percent"] == rows["percent"].max()]


def _curve(curve: str, auroc: float, prevalence: float) -> np.ndarray:
    distance = np.sqrt(2) * ndtri(auroc)
    if curve == "roc":
        return ndtr(distance + ndtri(_POINTS))
    recall = np.clip(_POINTS, 1e-3, None)
    false_positive = ndtr(ndtri(recall) - distance)
    return prevalence * recall / (prevalence * recall + (1 - prevalence) * false_positive)


def calibration_table(means: pd.DataFrame) -> pd.DataFrame:
    """The table "calibration": ten bins of scores that are too high, as after balanced training."""
    rows = []
    for row in _largest(means).to_dict("records"):
        prevalence, slope = row["num_positive"] / row["num_scans"], 5 * (row["value"] - 0.5)
        total = row["num_scans"] * row["num_models"] * row["num_seeds"]
        for number in range(10):
            score = (number + 0.5) / 10
            odds = prevalence / (1 - prevalence) * (score / (1 - score)) ** slope
            share, count = odds / (1 + odds), max(1, int(total * (0.16 - 0.012 * number)))
            low, high = _wilson(share, count)
            rows.append(
                {name: row[name] for name in ("dataset", "model", "init", "percent")}
                | {"bin": number, "mean_score": score, "share_positive": share}
                | {"low": low, "high": high, "num_scans": count}
            )
    return pd.DataFrame(rows)


def coverage_table(samples: list[Sample], rng: np.random.Generator) -> pd.DataFrame:
    """The table "coverage": binomial about the nominal coverage."""
    rows = []
    for sample in samples:
        for quantity, true in [("auroc", 0.7), ("auroc", 0.85), ("difference", 0.02)]:
            for method in ("percentile", "bca", "delong"):
                share = rng.binomial(200, 0.945) / 200
                low, high = _wilson(share, 200)
                rows.append(
                    {"quantity": quantity, "method": method, "dataset": sample.name, "true_value": true}
                    | {"num_scans": sample.num_scans, "num_positive": sample.num_positive}
                    | {"nominal": 0.95, "coverage": share, "low": low, "high": high}
                    | {"mean_width": 1.2 / np.sqrt(sample.num_scans)}
                    | {"num_simulations": 200, "num_resamples": 1000}
                )
    return pd.DataFrame(rows)


def power_table(comparisons: pd.DataFrame, samples: list[Sample]) -> pd.DataFrame:
    """The table "power" of video - scratch: of the mean, or of a model where there is none."""
    rows = []
    for row in _controls(comparisons).to_dict("records"):
        if row["contrast"] != "video - scratch":
            continue
        own = next(sample.num_scans for sample in samples if sample.name == row["dataset"])
        at_own = (row["ci_high"] - row["ci_low"]) / 3.92
        for number in sorted({100, 200, 500, 1000, 2000, 5000, 10000, own}):
            error = at_own * np.sqrt(own / number)
            power = float(ndtr(0.02 / error - 1.96) + ndtr(-0.02 / error - 1.96))
            low, high = _wilson(power, 200)
            rows.append(
                {"dataset": row["dataset"], "contrast": row["contrast"], "percent": row["percent"]}
                | {"true_difference": 0.02, "num_scans": number, "standard_error": error, "power": power}
                | {"low": low, "high": high, "num_simulations": 200}
            )
    columns = ["dataset", "contrast", "percent", "true_difference", "num_scans", "standard_error"]
    return pd.DataFrame(rows, columns=[*columns, "power", "low", "high", "num_simulations"])


def _controls(comparisons: pd.DataFrame) -> pd.DataFrame:
    """AUROC contrasts of the means at the largest percent; of the first model where there is no mean."""
    rows = comparisons[comparisons["metric"] == "auroc"]
    rows = rows[rows["percent"] == rows["percent"].max()]
    means = rows[rows["model"].astype(str).str.startswith("mean_of_")]
    return (means if len(means) else rows).drop_duplicates(["dataset", "contrast"])


def permuted_table(comparisons: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The table "permuted": as many findings as chance allows."""
    rows = []
    for row in _controls(comparisons).to_dict("records"):
        share = rng.binomial(100, 0.05) / 100
        low, high = _wilson(share, 100)
        rows.append(
            {name: row[name] for name in ("dataset", "model", "percent", "contrast")}
            | {"num_permutations": 100, "share_significant": share, "low": low, "high": high}
            | {"mean_difference": 0.001 * rng.normal()}
        )
    columns = ["dataset", "model", "percent", "contrast", "num_permutations", "share_significant"]
    return pd.DataFrame(rows, columns=[*columns, "low", "high", "mean_difference"])


def histories_table(runs: pd.DataFrame, num_validations: int, rng: np.random.Generator) -> pd.DataFrame:
    """The table "histories": runs end with their last step and peak at their validation AUROC."""
    done = np.linspace(0, 1, num_validations + 1)[1:]
    rise = 1 - np.exp(-4 * done)
    rise = rise / rise[-1]
    noise = rng.normal(0, 0.02, (len(runs), num_validations))
    best = runs["validation_auroc"].to_numpy(dtype=float)[:, None]
    auroc = 0.5 + (best - 0.5) * rise + noise
    auroc = np.clip(auroc - auroc.max(axis=1, keepdims=True) + best, 0, 1)
    loss = 0.7 - 0.9 * (auroc - 0.5) + np.abs(noise)
    steps = np.ceil(runs["num_steps"].to_numpy(dtype=float)[:, None] * done).astype(int)
    keys = ["dataset", "model", "init", "percent", "seed", "fold"]
    table = runs[keys].loc[runs.index.repeat(num_validations)].reset_index(drop=True)
    return table.assign(
        step=steps.ravel(),
        epoch=np.tile(np.arange(num_validations), len(runs)),
        train_loss=(loss - 0.05 * rise).ravel(),
        validation_loss=loss.ravel(),
        validation_auroc=auroc.ravel(),
    )

"""Label efficiency and the three claims of a made-up study, from the draws of its runs."""

from collections.abc import Sequence

import numpy as np
from synthetic_evaluation import Sample, differences, holm, interval, two_sided, wider, with_means

from chestct.catalogue import MODELS

_CLAIMS = {
    "video_vs_scratch": "video - scratch",
    "video_3d_vs_2d": "video - best_2d",
    "video_vs_ct": "video - ct",
}


def multipliers_rows(sample: Sample) -> list[dict]:
    """Rows of the table "multipliers": the reference's curve inverted at the init's AUROC, draw by draw."""
    curves: dict[tuple, dict[str, np.ndarray]] = {}
    for (model, init, percent), draws in sample.arms("auroc").items():
        curves.setdefault((init, percent), {})[model] = draws
    curves_of: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for (init, percent), model, draws in with_means(curves):
        curves_of.setdefault((model, init), {})[percent] = draws.mean(axis=(0, 1))
    rows = []
    for (model, init), curve in curves_of.items():
        reference = curves_of.get((model, "scratch"))
        if init not in ("video", "ct") or reference is None or len(reference) < 2:
            continue
        percents = sorted(reference)
        log_patients = np.log([sample.num_train * percent / 100 for percent in percents])
        levels = np.maximum.accumulate(np.stack([reference[percent] for percent in percents]), axis=0)
        for percent, draws in curve.items():
            columns = range(len(draws))
            needed = np.array([np.interp(draws[i], levels[:, i], log_patients) for i in columns])
            ratio = np.exp(needed) / (sample.num_train * percent / 100)
            above, below = draws > levels[-1], draws < levels[0]
            low, high = np.quantile(ratio[1:], [0.025, 0.975])
            bound = "at_least" if above[0] else "at_most" if below[0] else "exact"
            rows.append(
                {"dataset": sample.name, "model": model, "percent": percent, "init": init}
                | {"reference": "scratch", "num_patients": sample.num_train * percent / 100}
                | {"multiplier": ratio[0], "ci_low": low, "ci_high": high, "bound": bound}
                | {"share_beyond": (above | below)[1:].mean(), "num_resamples": len(draws) - 1}
            )
    return rows


def claims_rows(samples: Sequence[Sample], rng: np.random.Generator) -> list[dict]:
    """Rows of the table "claims": means over percents and datasets; p_holm over the tested claims."""
    rows = []
    for claim, contrast in _CLAIMS.items():
        cells = []
        for sample in samples:
            for (name, _, _), parts in differences(sample, "auroc").items():
                seven = [draws for model, draws in parts.items() if MODELS[model].seven]
                used = seven if len(seven) > 1 else [d for m, d in parts.items() if MODELS[m].family == "3d"]
                if name == contrast and used:
                    cells.append((sample.name, np.stack(used).mean(axis=1)))
        row: dict = {"claim": claim, "contrast": contrast, "num_cells": len(cells)}
        row |= {"num_datasets": len({name for name, _ in cells})}
        if not cells:
            empty = ("difference", "ci_low", "ci_high", "models_low", "models_high", "p_value")
            row |= dict.fromkeys((*empty, "p_holm", "smallest", "largest")) | {
                "num_models": 0,
                "num_above": 0,
            }
            rows.append(row | {"num_below": 0, "verdict": "not_tested"})
            continue
        means = np.stack([parts.mean(axis=0) for _, parts in cells])
        mean, ends = means.mean(axis=0), interval(means)
        least = min(len(parts) for _, parts in cells)
        row |= interval(mean) | wider(np.mean([parts[:least] for _, parts in cells], axis=0), rng)
        row |= {"num_models": max(len(parts) for _, parts in cells), "difference": mean[0]}
        row |= {"p_value": two_sided(mean), "smallest": means[:, 0].min(), "largest": means[:, 0].max()}
        row |= {"num_above": int((ends["ci_low"] > 0).sum()), "num_below": int((ends["ci_high"] < 0).sum())}
        rows.append({k: v for k, v in row.items() if not k.startswith("bca")})
    tested = [row for row in rows if row["p_value"] is not None]
    for row, p in zip(tested, holm(np.array([row["p_value"] for row in tested])), strict=True):
        direction = "supported" if row["difference"] > 0 else "not_supported"
        row |= {"p_holm": p, "verdict": direction if p < 0.05 else "undecided"}
    return rows

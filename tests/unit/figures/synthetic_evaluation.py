"""Evaluation tables of a made-up study, consistent with one another.

Every run gets draws of its AUROC: a value and resamples that share the noise of the test set. All other
numbers (metrics, means, differences, intervals, p values, multipliers, claims) follow from these draws.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from chestct.catalogue import MODELS

GAIN = {"none": -0.25, "scratch": 0.0, "imagenet": 0.16, "ct": 0.1, "video": 0.24, "video_ct": 0.28}
METRICS = ["auroc", "auprc", "sensitivity", "brier", "calibration_error"]
_PAIRS = [("video", "scratch"), ("video", "ct"), ("video_ct", "video"), ("imagenet", "scratch")]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A made-up dataset: its sizes, and the draws of its runs and arms.

    Attributes:
        draws: AUROC by (model, init, percent, seed), shape (1 + num_resamples,), the value itself first.
    """

    name: str
    num_train: int
    num_scans: int
    num_positive: int
    draws: dict[tuple[str, str, int, int], np.ndarray] = field(default_factory=dict)

    def arms(self, metric: str) -> dict[tuple[str, str, int], np.ndarray]:
        """Draws by (model, init, percent), shape (num_seeds, 1 + num_resamples)."""
        arms: dict[tuple[str, str, int], list[np.ndarray]] = {}
        for (model, init, percent, _), draws in self.draws.items():
            arms.setdefault((model, init, percent), []).append(self.metric(metric, draws))
        return {key: np.stack(parts) for key, parts in arms.items()}

    def metric(self, metric: str, auroc: np.ndarray) -> np.ndarray:
        """Another metric of scores that are normal in both classes and have this AUROC."""
        distance, prevalence = np.sqrt(2) * ndtri(auroc), self.num_positive / self.num_scans
        return {
            "auroc": auroc,
            "auprc": prevalence + (1 - prevalence) * np.clip(2 * auroc - 1, 0, 1) ** 1.2,
            "sensitivity": ndtr(distance + ndtri(0.1)),
            "brier": 0.25 - 0.35 * (auroc - 0.5),
            "calibration_error": 0.14 - 0.1 * (auroc - 0.5),
        }[metric]


def make_sample(
    name: str,
    *,
    num_train: int,
    num_scans: int,
    num_positive: int,
    arms: Sequence[tuple[str, str, int]],
    seeds: Sequence[int],
    num_resamples: int,
    rng: np.random.Generator,
) -> Sample:
    """Draw the runs of a dataset; an arm with the model "baseline" has one seed and no training patients."""
    sample = Sample(name=name, num_train=num_train, num_scans=num_scans, num_positive=num_positive)
    width = np.sqrt(0.08 * (1 / num_positive + 1 / (num_scans - num_positive)))
    shared = np.concatenate([[0], rng.normal(0, width, num_resamples)])
    skills = {model: 0.09 * rng.normal() for model in MODELS}
    of_arms: dict[tuple, np.ndarray] = {}  # what all models after an init have in common
    for model, init, percent in arms:
        entry = MODELS.get(model)
        base = model if entry is None or entry.probe_of is None else entry.probe_of
        skill = 0.85 + skills.get(base, 0) + GAIN[init] * (1.35 - 0.5 * percent / 100)
        skill += 0.28 * np.log10(percent / 100) - 0.12 * (base != model)
        for key, scale in (((init,), 0.35), ((init, percent), 0.25)):
            of_arms.setdefault(key, scale * width * rng.normal(size=num_resamples))
        common = np.concatenate([[0], of_arms[init,] + of_arms[init, percent]])
        for seed in seeds if entry is not None else seeds[:1]:
            own = np.concatenate([[0], rng.normal(0, 0.5 * width, num_resamples)])
            values = ndtr(skill + 0.03 * rng.normal()) + shared + common + own
            sample.draws[model, init, percent, seed] = np.clip(values, 0.02, 0.998)
    return sample


def interval(draws: np.ndarray) -> dict[str, np.ndarray]:
    """Both intervals of draws of shape (..., 1 + num_resamples)."""
    low, high = np.quantile(draws[..., 1:], [0.025, 0.975], axis=-1)
    shift = 0.03 * (high - low)
    return {"ci_low": low, "ci_high": high, "bca_low": low - shift, "bca_high": high - shift}


def wider(parts: np.ndarray, rng: np.random.Generator) -> dict[str, float | None]:
    """Interval with models resampled too; parts of shape (num_models, 1 + num_resamples)."""
    if len(parts) == 1:
        return {"models_low": None, "models_high": None}
    weights = rng.multinomial(len(parts), np.full(len(parts), 1 / len(parts)), size=parts.shape[1]).T
    low, high = np.quantile((weights * parts).sum(axis=0)[1:] / len(parts), [0.025, 0.975])
    return {"models_low": low, "models_high": high}


def two_sided(draws: np.ndarray) -> float:
    """p value of draws of a difference, taken as normal: few draws would leave no small p value."""
    return float(2 * ndtr(-abs(draws[0]) / max(draws[1:].std(), 1e-9)))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p values."""
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def mean_name(num_models: int) -> str:
    """Name of a mean over models of the seven."""
    return "mean_of_seven" if num_models == 7 else f"mean_of_{num_models}"


def with_means(groups: dict[tuple, dict[str, np.ndarray]]) -> Iterator[tuple[tuple, str, np.ndarray]]:
    """For every group, its models one by one, then their mean; draws of shape (num_models, seeds, draws)."""
    for group, parts in groups.items():
        for model, draws in parts.items():
            yield group, model, draws[None]
        seven = [draws for model, draws in parts.items() if model in MODELS and MODELS[model].seven]
        if len(seven) > 1:
            yield group, mean_name(len(seven)), np.stack(seven)


def _spread(draws: np.ndarray) -> float | None:
    return None if draws.shape[1] < 2 else float(draws.mean(axis=0)[:, 0].std(ddof=1))


def metrics_rows(sample: Sample) -> list[dict]:
    """Rows of the table "metrics"."""
    keys = [dict(zip(("model", "init", "percent", "seed"), key, strict=True)) for key in sample.draws]
    rows = []
    for metric in METRICS:
        draws = sample.metric(metric, np.stack(list(sample.draws.values())))
        columns = interval(draws) | {"value": draws[:, 0]}
        common = _sizes(sample) | {"metric": metric, "num_resamples": draws.shape[1] - 1}
        for i, key in enumerate(keys):
            rows.append(common | key | {name: column[i] for name, column in columns.items()})
    return rows


def _sizes(sample: Sample) -> dict:
    return {
        "dataset": sample.name,
        "num_scans": sample.num_scans,
        "num_positive": sample.num_positive,
    }


def means_rows(sample: Sample, rng: np.random.Generator) -> list[dict]:
    """Rows of the table "means"."""
    rows = []
    for metric in METRICS:
        groups: dict[tuple, dict[str, np.ndarray]] = {}
        for (model, init, percent), draws in sample.arms(metric).items():
            groups.setdefault((init, percent), {})[model] = draws
        for (init, percent), model, draws in with_means(groups):
            mean = draws.mean(axis=(0, 1))
            rows.append(
                _sizes(sample)
                | interval(mean)
                | wider(draws.mean(axis=1), rng)
                | {
                    "model": model,
                    "init": init,
                    "percent": percent,
                    "num_patients": None if model == "baseline" else sample.num_train * percent / 100,
                    "metric": metric,
                    "value": mean[0],
                    "seed_sd": _spread(draws),
                    "num_models": draws.shape[0],
                    "num_seeds": draws.shape[1],
                    "num_resamples": len(mean) - 1,
                }
            )
    return rows


def differences(sample: Sample, metric: str) -> dict[tuple, dict[str, np.ndarray]]:
    """Draws of differences, shape (num_seeds, draws), by (contrast, rival, percent) and model."""
    arms = sample.arms(metric)
    groups: dict[tuple, dict[str, np.ndarray]] = {}
    rivals = [model for model, init, _ in arms if init == "imagenet" and MODELS[model].family == "2d"]
    for (model, init, percent), draws in arms.items():
        if model == "baseline":
            continue
        others: list[tuple[str, str | None, np.ndarray | None]] = [
            (b, None, arms.get((model, b, percent))) for a, b in _PAIRS if a == init
        ]
        if init == "video" and MODELS[model].family == "3d" and rivals:
            best = max(rivals, key=lambda rival: (arms[rival, "imagenet", percent][:, 0].mean(), rival))
            others.append(("best_2d", best, arms[best, "imagenet", percent]))
        others.append((f"{init}_probe", None, arms.get((f"{model}_probe", init, percent))))
        baseline = next((arm for key, arm in arms.items() if key[0] == "baseline"), None)
        others.append(("baseline", None, baseline))
        for name, rival, other in others:
            if other is not None:
                groups.setdefault((f"{init} - {name}", rival, percent), {})[model] = draws - other
    return groups


def comparisons_rows(sample: Sample, rng: np.random.Generator) -> list[dict]:
    """Rows of the table "comparisons"; p_holm is set over the whole table."""
    rows = []
    for metric in METRICS:
        for (contrast, rival, percent), model, draws in with_means(differences(sample, metric)):
            mean = draws.mean(axis=(0, 1))
            kind = "mean" if model.startswith("mean_of_") else "models"
            width = mean[1:].std() or 1e-9
            normal = metric == "auroc"
            rows.append(
                interval(mean)
                | wider(draws.mean(axis=1), rng)
                | {
                    "dataset": sample.name,
                    "model": model,
                    "percent": percent,
                    "contrast": contrast,
                    "rival": rival,
                    "metric": metric,
                    "difference": mean[0],
                    "p_value": two_sided(mean),
                    "family": f"{sample.name} / {metric} / {contrast} / {kind}",
                    "delong_low": mean[0] - 1.96 * width if normal else None,
                    "delong_high": mean[0] + 1.96 * width if normal else None,
                    "delong_p": 2 * ndtr(-abs(mean[0]) / width) if normal else None,
                    "seed_sd": _spread(draws),
                    "num_models": draws.shape[0],
                    "num_seeds": draws.shape[1],
                    "num_resamples": len(mean) - 1,
                }
            )
    return rows


def adjust(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Add p_holm, within families."""
    grouped = comparisons.groupby("family")["p_value"]
    return comparisons.assign(p_holm=grouped.transform(lambda p: holm(p.to_numpy(dtype=float))))

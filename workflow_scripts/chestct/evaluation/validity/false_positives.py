"""Error rates, coverage and power of the inference when training varies, by simulation.

A study is simulated: datasets, percentages, models, seeds and two arms, with binormal scores. Scans share a
difficulty over all runs, every training run has a true AUROC of its own (standard deviation ``run_noise``),
and the arms differ by ``effect`` on average. The inference sees what it sees in a study: values on a sample
and its resamples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from chestct.evaluation.inference import Inference, infer
from chestct.evaluation.intervals import two_sided_p_values
from chestct.evaluation.metrics import auroc
from chestct.evaluation.resampling import bootstrap_counts

#: Test scans and positive ones of the paper's datasets.
PAPER_SIZES = {"rspect": (1068, 332), "lidc": (152, 105)}
#: Share of the variance of scores within a class that all runs have in common.
_COMMON = 0.6
_BASE_AUROC = 0.8


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is simulated.

    Attributes:
        sizes: test scans and positive ones, by dataset.
        num_models, num_percents, num_seeds: of the study.
        run_noise: standard deviation of the true AUROC of a training run.
        effect: true mean difference in AUROC between the arms.
        shared_rival: whether all models are compared with the same runs, as with the best 2D model.
        num_resamples: of patients.
        exact: whether AUROC is computed anew on every resample, or from placement values (to first order in
            the counts: many times as fast).
    """

    sizes: Mapping[str, tuple[int, int]] = field(default_factory=lambda: PAPER_SIZES)
    num_models: int = 7
    num_percents: int = 5
    num_seeds: int = 3
    run_noise: float = 0.0
    effect: float = 0.0
    shared_rival: bool = False
    num_resamples: int = 300
    exact: bool = False


@dataclass
class Rates:
    """How often a kind of contrast was significant, and its interval held the true value.

    Attributes:
        num: contrasts.
        significant, covered: of them, by the inference over all sources.
        patients: significant by the bootstrap over patients alone.
    """

    num: int = 0
    significant: int = 0
    covered: int = 0
    patients: int = 0

    def add(self, found: Inference, resamples: np.ndarray, effect: float) -> None:
        """Count one contrast."""
        self.num += 1
        self.significant += found.p_value < 0.05
        self.covered += found.low <= effect <= found.high
        self.patients += two_sided_p_values(resamples[None])[0] < 0.05


def simulate(setting: Setting, num_simulations: int, rng: np.random.Generator) -> dict[str, Rates]:
    """Rates at a nominal level of 5 %, by kind of contrast.

    Kinds, as in the tables of a study: one model in one cell ("model, DATASET"), the mean over models in one
    cell ("mean, DATASET"), and the mean over datasets, percentages and models ("claim").
    """
    rates: dict[str, Rates] = {}
    for _ in range(num_simulations):
        parts, freedoms = [], []
        for dataset, (num_scans, num_positive) in setting.sizes.items():
            freedoms.append(min(num_positive, num_scans - num_positive) - 1)
            labels = (np.arange(num_scans) < num_positive).astype(np.int64)
            counts = bootstrap_counts(np.arange(num_scans), labels, setting.num_resamples, rng)
            cells = [_cell(setting, labels, counts, rng) for _ in range(setting.num_percents)]
            for cell in cells:
                _count(rates, f"mean, {dataset}", cell, freedoms[-1], setting)
                for one in cell:
                    _count(rates, f"model, {dataset}", one[None], freedoms[-1], setting)
            parts.append(np.mean(cells, axis=0))
        found = infer(parts, 0.95, freedoms=freedoms, shared_runs=setting.shared_rival)
        resamples = np.mean([part[..., 1:].mean(axis=(0, 1)) for part in parts], axis=0)
        rates.setdefault("claim", Rates()).add(found, resamples, setting.effect)
    return rates


def _count(
    rates: dict[str, Rates], kind: str, values_MTR: np.ndarray, freedom: int, setting: Setting
) -> None:
    found = infer([values_MTR], 0.95, freedoms=[freedom], shared_runs=setting.shared_rival)
    rates.setdefault(kind, Rates()).add(found, values_MTR[..., 1:].mean(axis=(0, 1)), setting.effect)


def _cell(setting: Setting, labels: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Differences of AUROC between the arms, shape (num_models, num_seeds, 1 + num_resamples)."""
    shape = (setting.num_models, setting.num_seeds)
    rivals = (1, setting.num_seeds) if setting.shared_rival else shape
    common = np.sqrt(_COMMON) * rng.normal(size=len(labels))
    arms = []
    for shift, runs in ((setting.effect, shape), (0.0, rivals)):
        truth = np.clip(_BASE_AUROC + shift + setting.run_noise * rng.normal(size=runs), 0.55, 0.97)
        own = np.sqrt(1 - _COMMON) * rng.normal(size=(*runs, len(labels)))
        apart = np.sqrt(2) * special.ndtri(truth)
        scores = common + own + labels * apart[..., None]
        arms.append(_values(setting, labels, scores.reshape(-1, len(labels)), counts).reshape(*runs, -1))
    return arms[0] - arms[1]


def _values(setting: Setting, labels: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    if setting.exact:
        everything = np.concatenate([np.ones((1, len(labels)), dtype=counts.dtype), counts])
        return auroc(labels, scores, everything)
    sides = _placements(labels == 1, scores)
    sizes = np.where(labels == 1, labels.sum(), (1 - labels).sum())
    values = sides[:, labels == 1].mean(axis=1, keepdims=True)
    return np.concatenate([values, values + (sides - values) @ ((counts - 1) / sizes).T], axis=1)


def _placements(positive: np.ndarray, scores_KS: np.ndarray) -> np.ndarray:
    """As ``delong.placements`` for many runs at once, where no two scores are equal."""
    order = np.argsort(scores_KS, axis=1)
    ranked = positive[order]
    below_negative = np.cumsum(~ranked, axis=1) / (~positive).sum()
    above_positive = 1 - np.cumsum(ranked, axis=1) / positive.sum()
    sides = np.empty_like(scores_KS)
    np.put_along_axis(sides, order, np.where(ranked, below_negative, above_positive), axis=1)
    return sides

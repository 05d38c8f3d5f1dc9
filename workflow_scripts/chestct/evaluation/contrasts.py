"""Quantities that are estimated: arms, their means over models, and contrasts (differences) between arms.

An arm is one combination of model, init and percentage. It has one array of values per seed, whose last axis
runs over the sample and its resamples, or over scans, and whose first axis, for metrics, over folds. Means
and differences are taken element by element, so every comparison is paired.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chestct.catalogue import MODELS
from chestct.chosen_rival import arm_model
from chestct.claimed_models import claimed_models, mean_name
from chestct.evaluation.matching import BASELINE, RunKey
from chestct.simple_rivals import FITTED, is_simple

#: Minuend and subtrahend within one model.
INIT_CONTRASTS = (
    ("video", "scratch"),
    ("video", "scratch_long"),
    ("scratch_long", "scratch"),
    ("video", "ct"),
    ("video_ct", "video"),
    ("imagenet", "scratch"),
    ("imagenet", "scratch_long"),
)
BEST_2D = "video - best_2d"


class ArmKey(NamedTuple):
    """Identifies an arm within a dataset."""

    model: str
    init: str
    percent: int


Arm = dict[int, np.ndarray]  # values by seed
Arms = dict[ArmKey, Arm]
_BASELINE = ArmKey(BASELINE.model, BASELINE.init, BASELINE.percent)


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """An arm, a difference between arms, or the mean of either over models.

    Attributes:
        model: a model, or the name of the mean.
        label: the init, or the contrast in words.
        percent: percentage of the training patients.
        parts: one per model, averaged: an arm and the arm to subtract from it, if any.
        is_mean: whether it is a mean over models.
        rival: the best 2D model (``chosen_rival``) or a fitted simple rival, in contrasts with it: one run of
            a seed for all models.
    """

    model: str
    label: str
    percent: int
    parts: tuple[tuple[ArmKey, ArmKey | None], ...]
    is_mean: bool = False
    rival: str | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Models of the parts."""
        return tuple(arm.model for arm, _ in self.parts)


def arms_of(values: Mapping[RunKey, np.ndarray]) -> Arms:
    """Group values by arm in the order of the runs."""
    arms: Arms = {}
    for key, array in values.items():
        arms.setdefault(ArmKey(key.model, key.init, key.percent), {})[key.seed] = array
    return arms


def list_means(arms: Arms) -> list[Quantity]:
    """Every arm, then the means over the claimed models that have the init and percentage."""
    singles = [
        Quantity(model=key.model, label=key.init, percent=key.percent, parts=((key, None),)) for key in arms
    ]
    return [*singles, *_means_over_models(singles, arms)]


def list_contrasts(arms: Arms, best_2d: Mapping[int, str]) -> list[Quantity]:
    """Every comparison that the arms allow, then the mean of each over the claimed models.

    Within a model: ``INIT_CONTRASTS``; fine-tuned minus frozen probe (``INIT - INIT_probe``); every arm
    minus every simple rival that is among the arms (``INIT - baseline``, ``INIT - size_and_spacing``, ...).
    Between models: a fine-tuned 3D model after video pretraining minus the best
    2D model (``best_2d`` names it by percentage). Arms without a common seed are not compared.
    """
    models = [name for name in dict.fromkeys(key.model for key in arms) if name in MODELS]
    percents = sorted({key.percent for key in arms if not is_simple(key.model)})
    singles = [
        quantity
        for model in models
        for percent in percents
        for quantity in _contrasts_of(model, percent, arms, best_2d)
        if common_seeds(quantity, arms)
    ]
    means = sorted(_means_over_models(singles, arms), key=lambda mean: mean.percent)
    return [*singles, *means]


def _contrasts_of(model: str, percent: int, arms: Arms, best_2d: Mapping[int, str]) -> Iterator[Quantity]:
    own = [key.init for key in arms if (key.model, key.percent) == (model, percent)]

    def contrast(label: str, init: str, subtrahend: ArmKey, rival: str | None = None) -> Quantity:
        part = (ArmKey(model, init, percent), subtrahend)
        return Quantity(model=model, label=label, percent=percent, parts=(part,), rival=rival)

    for one, other in INIT_CONTRASTS:
        if one in own and other in own:
            yield contrast(f"{one} - {other}", one, ArmKey(model, other, percent))
    entry, rival = MODELS[model], best_2d.get(percent)
    if entry.family == "3d" and not entry.frozen and "video" in own and rival is not None:
        yield contrast(BEST_2D, "video", ArmKey(arm_model(rival), "imagenet", percent), rival)
    for init in own:
        probe = ArmKey(f"{model}_probe", init, percent)
        if probe in arms:
            yield contrast(f"{init} - {init}_probe", init, probe)
    if _BASELINE in arms:
        for init in own:
            yield contrast(f"{init} - {BASELINE.model}", init, _BASELINE)
    for simple in FITTED:
        score = ArmKey(simple, BASELINE.init, percent)
        if score in arms:
            for init in own:
                yield contrast(f"{init} - {simple}", init, score, simple)


def _means_over_models(singles: Iterable[Quantity], arms: Arms) -> list[Quantity]:
    claimed = claimed_models(key.model for key in arms)
    groups: dict[tuple[str, int], list[Quantity]] = {}
    for quantity in singles:
        if quantity.model in claimed:
            groups.setdefault((quantity.label, quantity.percent), []).append(quantity)
    means = [mean_of(group) for group in groups.values() if len(group) > 1]
    return [mean for mean in means if common_seeds(mean, arms)]


def mean_of(quantities: list[Quantity]) -> Quantity:
    """The mean over models of quantities with the same label and percentage."""
    first = quantities[0]
    return Quantity(
        model=mean_name(quantity.model for quantity in quantities),
        label=first.label,
        percent=first.percent,
        parts=tuple(part for quantity in quantities for part in quantity.parts),
        is_mean=True,
        rival=first.rival,
    )


def _seeds(part: tuple[ArmKey, ArmKey | None], arms: Arms) -> list[int]:
    arm, subtrahend = part
    if subtrahend is None or subtrahend == _BASELINE:  # its scores do not depend on the seed
        return list(arms[arm])
    return sorted(arms[arm].keys() & arms[subtrahend].keys())


def _of_seed(part: tuple[ArmKey, ArmKey | None], arms: Arms, seed: int) -> np.ndarray:
    arm, subtrahend = part
    if subtrahend is None:
        return arms[arm][seed]
    other = arms[subtrahend]
    return arms[arm][seed] - other[BASELINE.seed if subtrahend == _BASELINE else seed]


def common_seeds(quantity: Quantity, arms: Arms) -> list[int]:
    """Seeds that all parts of a quantity have; the quantity is estimated from these."""
    seeds = [_seeds(part, arms) for part in quantity.parts]
    return [seed for seed in seeds[0] if all(seed in others for others in seeds)]


def values_by_seed(quantity: Quantity, arms: Arms) -> np.ndarray:
    """Values of every part for every common seed, shape (num_models, num_common_seeds, ...)."""
    seeds = common_seeds(quantity, arms)
    return np.array([[_of_seed(part, arms, seed) for seed in seeds] for part in quantity.parts])


def part_values(quantity: Quantity, arms: Arms) -> np.ndarray:
    """Values of every part, averaged over the common seeds, shape (num_models, ...)."""
    return np.mean(values_by_seed(quantity, arms), axis=1)


def values_by_run(quantity: Quantity, arms: Arms) -> np.ndarray:
    """Values of a quantity by model and training run, the units of ``chestct.evaluation.inference``.

    Args:
        quantity: what to evaluate.
        arms: values of shape (num_folds, num_counts).

    Returns:
        Shape (num_models, num_runs, num_counts). Runs are the folds of a cross-validation, averaged over
        seeds, since a fold has training patients of its own; without folds they are the common seeds.
    """
    values_MSFL = values_by_seed(quantity, arms)
    if values_MSFL.shape[2] > 1:
        return values_MSFL.mean(axis=1)
    return values_MSFL[:, :, 0]


def is_trained(quantity: Quantity) -> bool:
    """Whether training runs are behind a quantity: behind all but the trivial baseline itself."""
    return any(key != _BASELINE for part in quantity.parts for key in part if key)

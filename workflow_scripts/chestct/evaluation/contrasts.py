"""Which arms are compared, and the differences over shared resamples.

An arm is what one (model, init, percent) scored, a seed each. Its draws hold a metric's value on the sample
itself (first) and on every resample, so that a difference or a mean of arms is the same arithmetic
on arrays, and every comparison is paired.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from chestct.catalogue import MODELS
from chestct.evaluation.predictions import BASELINE, RunKey

#: Minuend and subtrahend within one model.
INIT_CONTRASTS = (("video", "scratch"), ("video", "ct"), ("video_ct", "video"), ("imagenet", "scratch"))

_COUNT_WORDS = {7: "seven"}


class ArmKey(NamedTuple):
    """What identifies an arm within a dataset."""

    model: str
    init: str
    percent: int


Arm = dict[int, np.ndarray]  # draws of shape (1 + num_resamples,) by seed


def mean_name(num_models: int) -> str:
    """Name of a mean over the study's models of the seven: mean_of_seven where all are there."""
    return f"mean_of_{_COUNT_WORDS.get(num_models, num_models)}"


def arms_of(draws: dict[RunKey, np.ndarray]) -> dict[ArmKey, Arm]:
    """Group draws by arm; the order of runs is kept."""
    arms: dict[ArmKey, Arm] = {}
    for key, values in draws.items():
        arms.setdefault(ArmKey(key.model, key.init, key.percent), {})[key.seed] = values
    return arms


def seed_mean(arm: Arm) -> np.ndarray:
    """Mean of an arm's draws over its seeds."""
    return np.mean(np.stack(list(arm.values())), axis=0)


def difference(minuend: Arm, subtrahend: Arm) -> np.ndarray | None:
    """Mean over common seeds of the difference of two arms' draws; None where they share no seed."""
    seeds = sorted(minuend.keys() & subtrahend.keys())
    if not seeds:
        return None
    return np.mean(np.stack([minuend[seed] - subtrahend[seed] for seed in seeds]), axis=0)


def contrasts_of(arms: dict[ArmKey, Arm]) -> Iterator[tuple[str, int, str, np.ndarray]]:
    """Yield (model, percent, contrast, draws of the difference) for every comparison that the arms allow.

    Within a model: ``INIT_CONTRASTS``. A 3D model after video pretraining against every 2D model after
    ImageNet pretraining (``video - MODEL:imagenet``). Every arm against the trivial baseline
    (``INIT - baseline``), where the dataset has one. Then the mean over the models of the seven that have
    the contrast.
    """
    baseline = arms.get(ArmKey(BASELINE.model, BASELINE.init, BASELINE.percent))
    models = list(dict.fromkeys(key.model for key in arms if key.model != BASELINE.model))
    percents = sorted({key.percent for key in arms if key.model != BASELINE.model})
    of_the_seven: dict[tuple[int, str], list[np.ndarray]] = {}
    for model in models:
        for percent in percents:
            for contrast, draws in _contrasts_of_model(arms, models, model, percent, baseline):
                yield model, percent, contrast, draws
                if MODELS[model].seven:
                    of_the_seven.setdefault((percent, contrast), []).append(draws)
    for (percent, contrast), parts in sorted(of_the_seven.items(), key=lambda item: item[0][0]):
        if len(parts) > 1:
            yield mean_name(len(parts)), percent, contrast, np.mean(np.stack(parts), axis=0)


def _contrasts_of_model(
    arms: dict[ArmKey, Arm], models: list[str], model: str, percent: int, baseline: Arm | None
) -> Iterator[tuple[str, np.ndarray]]:
    own = {key.init: arm for key, arm in arms.items() if (key.model, key.percent) == (model, percent)}
    pairs = [(f"{a} - {b}", own[a], own[b]) for a, b in INIT_CONTRASTS if a in own and b in own]
    if MODELS[model].family == "3d" and "video" in own:
        for other in models:
            rival = arms.get(ArmKey(other, "imagenet", percent))
            if rival is not None and MODELS[other].family == "2d":
                pairs.append((f"video - {other}:imagenet", own["video"], rival))
    if baseline is not None:
        score = baseline[BASELINE.seed]  # a fixed score, the same whatever the seed of training
        pairs += [(f"{init} - baseline", arm, dict.fromkeys(arm, score)) for init, arm in own.items()]
    for contrast, minuend, subtrahend in pairs:
        draws = difference(minuend, subtrahend)
        if draws is not None:
            yield contrast, draws


def means_of(arms: dict[ArmKey, Arm]) -> Iterator[tuple[ArmKey, int, int, np.ndarray]]:
    """Yield (arm, number of models, number of seeds, draws): every arm averaged over its seeds, then the
    mean over the models of the seven that have the init and percent."""
    of_the_seven: dict[tuple[str, int], list[tuple[int, np.ndarray]]] = {}
    for key, arm in arms.items():
        draws = seed_mean(arm)
        yield key, 1, len(arm), draws
        if key.model in MODELS and MODELS[key.model].seven:
            of_the_seven.setdefault((key.init, key.percent), []).append((len(arm), draws))
    for (init, percent), parts in of_the_seven.items():
        if len(parts) > 1:
            mean = np.mean(np.stack([draws for _, draws in parts]), axis=0)
            num_seeds = min(seeds for seeds, _ in parts)
            yield ArmKey(mean_name(len(parts)), init, percent), len(parts), num_seeds, mean

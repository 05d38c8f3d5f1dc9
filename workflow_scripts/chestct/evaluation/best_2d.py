"""The best 2D model, which 3D models are compared with, chosen on the validation scans."""

from collections.abc import Mapping

import numpy as np

from chestct.catalogue import MODELS
from chestct.evaluation.matching import RunKey


def is_candidate(model: str, init: str) -> bool:
    """Whether an arm is one of the 2D models to choose from: fine-tuned, starting from ImageNet."""
    return MODELS[model].family == "2d" and not MODELS[model].frozen and init == "imagenet"


def best_2d_models(validation_auroc: Mapping[RunKey, float]) -> dict[int, str]:
    """The 2D model with the best validation AUROC, by percentage.

    The validation AUROC of the ImageNet runs is averaged over seeds; test scores are not used. Models without
    a defined AUROC rank last; among equal models the first in the catalogue is chosen.
    """
    sums: dict[tuple[int, str], list[float]] = {}
    for key, value in validation_auroc.items():
        assert is_candidate(key.model, key.init)
        sums.setdefault((key.percent, key.model), []).append(value)
    order = list(MODELS)
    best: dict[int, tuple[float, int, str]] = {}
    for (percent, model), values in sums.items():
        mean = float(np.mean(values))
        rank = (mean if np.isfinite(mean) else -1.0, -order.index(model), model)
        best[percent] = max(best.get(percent, rank), rank)
    return {percent: model for percent, (_, _, model) in best.items()}

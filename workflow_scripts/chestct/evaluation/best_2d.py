"""The best 2D model, which 3D models are compared with, chosen on the validation scans.

Under cross-validation every fold chooses, by its own validation scans. These are test scans of other folds:
one choice for all folds would see labels that it is tested on, and favour the model that does well on them.
"""

from collections.abc import Mapping

import numpy as np

from chestct.catalogue import MODELS
from chestct.chosen_rival import COMPOSED, is_composed, models_of, name_rival
from chestct.evaluation.matching import RunKey

_INIT = "imagenet"


def is_candidate(model: str, init: str) -> bool:
    """Whether an arm is one of the 2D models to choose from: fine-tuned, starting from ImageNet."""
    return MODELS[model].family == "2d" and not MODELS[model].frozen and init == _INIT


def best_2d_models(validation_auroc: Mapping[RunKey, np.ndarray]) -> dict[int, str]:
    """By percentage the rival (``chosen_rival``): in every fold the 2D model with the best validation AUROC.

    The validation AUROC of the ImageNet runs is averaged over seeds; test scores are not used. Models without
    a defined AUROC rank last; among equal models the first in the catalogue is chosen.

    Args:
        validation_auroc: by run of a candidate, shape (num_folds,): on the validation scans of every fold.
    """
    by_model: dict[int, dict[str, list[np.ndarray]]] = {}
    for key, values_F in validation_auroc.items():
        assert is_candidate(key.model, key.init)
        by_model.setdefault(key.percent, {}).setdefault(key.model, []).append(values_F)
    return {percent: name_rival(_best_of_folds(models)) for percent, models in by_model.items()}


def _best_of_folds(by_model: Mapping[str, list[np.ndarray]]) -> list[str]:
    """The best model of every fold, from the AUROCs of the seeds."""
    order = list(MODELS)

    def rank(model: str, fold: int) -> tuple[float, int]:
        mean = float(np.mean([values_F[fold] for values_F in by_model[model]]))
        return mean if np.isfinite(mean) else -1.0, -order.index(model)

    num_folds = len(next(iter(by_model.values()))[0])
    return [max(by_model, key=lambda model: rank(model, fold)) for fold in range(num_folds)]


def compose_runs(
    best_2d: Mapping[int, str], scores: Mapping[RunKey, np.ndarray], folds: np.ndarray, of_scans: np.ndarray
) -> dict[RunKey, np.ndarray]:
    """Scores of the rivals that folds compose: each scan's from the model that its fold chose.

    Args:
        best_2d: rivals by percentage, of ``best_2d_models``.
        scores: by run, shape (num_scans,).
        folds: all folds, ascending.
        of_scans: fold of every scan, shape (num_scans,).

    Returns:
        By run of the model ``COMPOSED``: the same seed of the chosen models. NaN for scans of other folds.
        Empty where all folds chose the same model, as where there is one fold.
    """
    composed = {}
    for percent, rival in best_2d.items():
        if not is_composed(rival):
            continue
        chosen = dict(zip(folds.tolist(), models_of(rival), strict=True))
        seeds = [
            {key.seed for key in scores if key[:3] == (model, _INIT, percent)} for model in chosen.values()
        ]
        for seed in sorted(set.intersection(*seeds)):
            values = np.full(len(of_scans), np.nan)
            for fold, model in chosen.items():
                own = of_scans == fold
                values[own] = scores[RunKey(model, _INIT, percent, seed)][own]
            composed[RunKey(COMPOSED, _INIT, percent, seed)] = values
    return composed

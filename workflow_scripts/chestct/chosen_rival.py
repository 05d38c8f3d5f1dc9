"""The 2D rival of the 3D models as tables name it: a model, or under cross-validation one a fold.

Evaluation chooses and names it, figures and tables read the name; both by this module. Where folds chose
different models, the rival's scores are composed of theirs, and stand in the tables as an arm of their own.
"""

from collections.abc import Sequence

#: Stands in the place of a model for the arm that is composed of the chosen models of the folds.
COMPOSED = "best_2d"
COMPOSED_TITLE = "Best 2D model of each fold"
_SEPARATOR = ";"


def name_rival(models: Sequence[str]) -> str:
    """The column "rival": the model, or where folds chose different ones that of every fold, in their order.

    >>> name_rival(["resnet18", "resnet18"]), name_rival(["resnet18", "dinov2_small", "resnet18"])
    ('resnet18', 'resnet18;dinov2_small;resnet18')
    """
    return models[0] if len(set(models)) == 1 else _SEPARATOR.join(models)


def is_composed(rival: str) -> bool:
    """Whether a rival is composed of several models."""
    return _SEPARATOR in rival


def models_of(rival: str) -> list[str]:
    """The model, or that of every fold in ascending order of the folds."""
    return rival.split(_SEPARATOR)


def arm_model(rival: str) -> str:
    """What stands for the rival in the column "model" of the tables."""
    return COMPOSED if is_composed(rival) else rival

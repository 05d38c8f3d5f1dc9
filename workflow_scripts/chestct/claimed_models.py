"""The models whose mean stands for the study's 3D models, and on which the paper's claims are tested."""

from collections.abc import Iterable

from chestct.catalogue import MODELS

_WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}
_PREFIX, _OTHERS = "mean_of_", "_3d"


def claimed_models(models: Iterable[str]) -> list[str]:
    """The study's models of the paper's seven or, if it has fewer than two of them, its own 3D models.

    The latter are those that are fine-tuned and may start from video: the claims are about nothing else.
    """
    known = [name for name in dict.fromkeys(models) if name in MODELS]
    seven = [name for name in known if MODELS[name].seven]
    if len(seven) > 1:
        return seven
    return [
        name
        for name in known
        if MODELS[name].family == "3d" and not MODELS[name].frozen and "video" in MODELS[name].inits
    ]


def mean_name(models: Iterable[str]) -> str:
    """Name of a mean over models, in the place of a model.

    >>> mean_name(["slow_narrow", "swin_narrow"]), mean_name(["x3d_narrow", "i3d"])
    ('mean_of_2', 'mean_of_2_3d')
    """
    names = list(models)
    number = "seven" if len(names) == 7 else str(len(names))
    return f"{_PREFIX}{number}{'' if all(MODELS[name].seven for name in names) else _OTHERS}"


def is_mean(model: str) -> bool:
    """Whether the name of a model is that of a mean over models."""
    return model.startswith(_PREFIX)


def mean_size(model: str) -> int:
    """Number of models behind a name of ``mean_name``."""
    number = model.removeprefix(_PREFIX).removesuffix(_OTHERS)
    return 7 if number == "seven" else int(number)


def count_words(number: int) -> str:
    """A small number as a word, any other in digits."""
    return _WORDS.get(number, str(number))


def mean_title(model: str) -> str:
    """A name of ``mean_name`` in words.

    >>> mean_title("mean_of_seven"), mean_title("mean_of_2"), mean_title("mean_of_2_3d")
    ('Mean of the seven', 'Mean of 2 of the seven', 'Mean of two 3D models')
    """
    number = mean_size(model)
    if model.endswith(_OTHERS):
        return f"Mean of {count_words(number)} 3D models"
    return "Mean of the seven" if number == 7 else f"Mean of {number} of the seven"

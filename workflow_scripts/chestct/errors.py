"""The one exception for what a user can cause and mend."""

from typing import Any


class InputError(ValueError):
    """Bad input or configuration.

    Args:
        what: what is wrong, in a few words.
        where: path, key or row where it was found.
        expected: what a correct input looks like.
        remedy: what the user should do.
    """

    def __init__(self, what: str, *, where: object, expected: str, remedy: str) -> None:
        super().__init__(f"{what}\n  where: {where}\n  expected: {expected}\n  remedy: {remedy}")
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        # By itself a pickle calls the class with the message alone, and the process that waits for it dies.
        return _again, (type(self), str(self), self.what)


def _again(kind: type[InputError], message: str, what: str) -> InputError:
    """An error as it was in another process."""
    error = kind.__new__(kind, message)
    error.what = what
    return error


class DamageError(InputError):
    """A file of the study that is not what was written: damaged, or changed by hand."""


class DivergenceError(InputError):
    """A training whose loss is no number any more: the end of a run, but a result of a trial."""


def divergence(what: str, expected: str, more: str = "") -> DivergenceError:
    """The error of a training that diverged; ``more`` adds to what the user may do beside a lower rate."""
    remedy = f"lower learning_rate for this model in the configuration{more}"
    return DivergenceError(what, where="training", expected=expected, remedy=remedy)

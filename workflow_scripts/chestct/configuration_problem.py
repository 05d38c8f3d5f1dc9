"""What is wrong with a key of the configuration, in the form that every such message has."""

from chestct.errors import InputError


def problem(what: str, key: str, expected: str, remedy: str) -> InputError:
    """The error that names a key of the configuration, what was expected of it, and the remedy."""
    return InputError(what, where=f"configuration key '{key}'", expected=expected, remedy=remedy)

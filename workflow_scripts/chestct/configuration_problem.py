"""What is wrong with a configuration: one form for every message, and all that is found in one go."""

from collections.abc import Iterator
from contextlib import contextmanager

from chestct.errors import InputError

#: Problems that one message lists.
_MOST = 10


def problem(what: str, key: str, expected: str, remedy: str) -> InputError:
    """The error that names a key of the configuration, what was expected of it, and the remedy."""
    return InputError(what, where=f"configuration key '{key}'", expected=expected, remedy=remedy)


class ConfigurationError(InputError):
    """Several errors of a configuration, each with its key and remedy.

    Args:
        errors: two or more.
    """

    def __init__(self, errors: list[InputError]) -> None:
        self.what = f"{len(errors)} things are wrong with it"
        listed = [f"\n{number}. {error}" for number, error in enumerate(errors[:_MOST], start=1)]
        more = f"\nand {len(errors) - _MOST} more" if len(errors) > _MOST else ""
        ValueError.__init__(self, self.what + ":" + "".join(listed) + more)


class Problems:
    """Collects errors, so that a user mends all of them at once."""

    def __init__(self) -> None:
        self._found: dict[str, InputError] = {}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._found)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep an error that is raised here, and go on behind the block."""
        try:
            yield
        except ConfigurationError:
            raise
        except InputError as error:
            self.add(error)

    def add(self, error: InputError) -> None:
        """Keep an error; the same words count once."""
        self._found[str(error)] = error

    def check(self) -> None:
        """Stop if there are any.

        Raises:
            InputError: the one that was found, or ``ConfigurationError``.
        """
        errors = list(self._found.values())
        if errors:
            raise errors[0] if len(errors) == 1 else ConfigurationError(errors)

"""Names that are near a misspelt one, for messages."""

import difflib
from collections.abc import Iterable

_MOST = 3


def near(word: str, words: Iterable[str]) -> list[str]:
    """The words most like this one, whatever their case, the nearest first; at most three, or none."""
    by_lower = {known.lower(): known for known in map(str, words)}
    return [by_lower[found] for found in difflib.get_close_matches(str(word).lower(), by_lower, n=_MOST)]


def suggestion(word: str, words: Iterable[str]) -> str:
    """What to do about a name that is none of these, in words."""
    known = [str(name) for name in words]
    found = [f"'{name}'" for name in near(word, known)]
    if not found:
        return f"choose one of {', '.join(known)}"
    *first, last = found
    return f"did you mean {' or '.join(filter(None, [', '.join(first), last]))}?"

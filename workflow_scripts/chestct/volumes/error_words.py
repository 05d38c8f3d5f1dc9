"""An error of a library in words for the ledger."""

import re

_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|b'[^']*'""")


def error_words(error: BaseException) -> str:
    """Kind and message of an error, without what the message quotes: a value of a header may be a name.

    The message of a ValueError, which this package raises with words of its own, says enough by itself.

    >>> error_words(ValueError("could not convert string to float: 'Doe'"))
    'could not convert string to float: (text)'
    >>> error_words(EOFError("no more bytes"))
    'EOFError: no more bytes'
    """
    words = _QUOTED.sub("(text)", str(error))
    return words if words and type(error) is ValueError else f"{type(error).__name__}: {words}"

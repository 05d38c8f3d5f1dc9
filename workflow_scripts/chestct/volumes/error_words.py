"""An error of a library in words for the ledger."""

import re

_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|b'[^']*'""")


def error_words(error: BaseException) -> str:
    """Kind and message of an error, without what the message quotes: a value of a header may be a name.

    >>> error_words(ValueError("could not convert string to float: 'Doe'"))
    'ValueError: could not convert string to float: (text)'
    """
    return f"{type(error).__name__}: {_QUOTED.sub('(text)', str(error))}"

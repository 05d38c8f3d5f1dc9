"""Values that no key of the configuration may have: secrets, control characters, NaN and infinity."""

import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from chestct.configuration_problem import Problems, problem

#: Parameters of addresses that hold a secret, or what it was made for, in lower case: of AWS, Google, Azure,
#: and by the names that others give them.
_SECRETS = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|sig|signature|policy|key-pair-id|auth|authorization|"
    r".*(token|secret|passw|credential|api[-_]?key|access[-_]?key).*|key|pwd|jwt|sas"
)
#: A text as long, of letters and digits, is no setting but a secret by any other name.
_LONG = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_%]{24,}")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
#: Folders of the workflow's own, beside those that carry the names of datasets.
_RESERVED = ("weights", "pretraining")


def check_values(config: dict[str, Any]) -> None:
    """Stop at values that no key may have; messages never repeat a secret.

    Raises:
        InputError: names the key; each of them, if there are several.
    """
    problems = Problems()
    for key, value in _leaves(config, ""):
        with problems.kept():
            if isinstance(value, float) and not math.isfinite(value):
                raise problem(f"{value} is no number", key, "a finite number", "correct the value")
            if isinstance(value, str):
                _check_text(key, value)
    problems.check()
    data_dir = config.get("data_dir")
    if isinstance(data_dir, str) and re.search(r"[{}*?\[\]]", data_dir):
        raise problem(
            "the folder's name holds a character that stands for others",
            "data_dir",
            "a path without { } * ? [ ]",
            "rename the folder, or let a link of another name lead to it",
        )
    for entry in config.get("datasets") or ():
        if isinstance(entry, dict) and entry.get("name") in _RESERVED:
            raise problem(
                f"'{entry['name']}' is the name of a folder of the workflow's own",
                "datasets",
                f"another name than {', '.join(_RESERVED)}",
                "rename the dataset",
            )


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """All keys and values below a value, with the dotted names of their keys."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield f"{key} (the name of a key)", name
            yield from _leaves(below, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, below in enumerate(value):
            yield from _leaves(below, f"{key}.{number}")
    else:
        yield key, value


def _check_text(key: str, text: str) -> None:
    # A label in words may be written over several lines.
    words = text.replace("\n", " ") if key.endswith(".label") else text
    odd = [
        letter for letter in words if ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000
    ]
    if odd:
        raise problem(
            f"the text holds a control character (U+{ord(odd[0]):04X})",
            key,
            "a text of one line, without NUL, tabs and line ends",
            "remove the character",
        )
    if "://" in text and _holds_secret(text):
        raise problem(
            "the address holds a credential: a user, a password, a token or a signature",
            key,
            "an address that everybody may see: the report and the tables show the configuration",
            "put the whole address, or what is secret of it, in an environment variable, and name that here: "
            "${VARIABLE} in `archive`; AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
            "place of `endpoint_url`",
        )


def _holds_secret(address: str) -> bool:
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return True  # nobody can tell where its credentials end
    if "@" in parts.netloc and _VARIABLE.sub("", parts.netloc.rpartition("@")[0]).strip(":"):
        return True
    given = parse_qsl(parts.query, keep_blank_values=True) + parse_qsl(parts.fragment, keep_blank_values=True)
    return any(_is_secret(unquote(name), value) for name, value in given)


def _is_secret(name: str, value: str) -> bool:
    literal = _VARIABLE.sub("", value)
    named = bool(literal) and _SECRETS.fullmatch(name.lower()) is not None
    return named or _LONG.fullmatch(literal or name) is not None

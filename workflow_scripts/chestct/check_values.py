"""Values that no key of the configuration may have: secrets, control characters, NaN and infinity."""

import math
import re
from collections.abc import Iterator
from typing import Any

from chestct.configuration_problem import Problems, problem
from chestct.secrets_in_text import holds_secret

#: Letters that do not show, or turn the order of others: of C0, C1, halves of pairs, line and paragraph
#: ends, and those that set a direction.
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069\u200e\u200f\ufeff]")
#: No configuration is as deep or as long; references within a file multiply, and may lead in a circle.
_MOST_LEVELS = 32
_MOST_VALUES = 100_000
#: Keys of a dataset by its source, whose paths are inputs of rules; and what Snakemake replaces in these.
_INPUTS = {"own_data": "table", "rspect": "folder"}
_WILDCARD = re.compile(r"\{\s*\w+\s*(,.*)?\}", re.DOTALL)
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
                raise problem(f"{value} is not a number", key, "a finite number", "correct the value")
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
        if not isinstance(entry, dict):
            continue
        key = _INPUTS.get(str(entry.get("source")), "")
        if _WILDCARD.search(str(entry.get(key, ""))):
            raise problem(
                "the path holds a word in braces, which stands for others",
                f"datasets.{entry.get('name')}.{key}",
                "a path without { }",
                "rename the folder or the file, or let a link of another name lead to it",
            )
        if entry.get("name") in _RESERVED:
            raise problem(
                f"'{entry['name']}' is the name of a folder of the workflow's own",
                "datasets",
                f"another name than {', '.join(_RESERVED)}",
                "rename the dataset",
            )


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """All keys and values below a value, with the dotted names of their keys.

    Raises:
        InputError: there are too many, or too many levels of them.
    """
    below: list[tuple[str, Any, int]] = [(key, value, 0)]
    given = 0
    while below:
        key, value, level = below.pop()
        given += 1
        if level > _MOST_LEVELS or given > _MOST_VALUES:
            raise problem(
                "its values are nested too deeply, or are too many: references (&, *) may lead in a circle",
                key[:100],
                f"at most {_MOST_VALUES} values, on {_MOST_LEVELS} levels",
                "write the values themselves in the place of references",
            )
        if isinstance(value, dict):
            inside: list[tuple[str, Any, int]] = []
            for name, part in value.items():
                inside.append((f"{key} (the name of a key)", name, level + 1))
                inside.append((f"{key}.{name}" if key else str(name), part, level + 1))
            below += reversed(inside)
        elif isinstance(value, list):
            below += [(f"{key}.{number}", value[number], level + 1) for number in reversed(range(len(value)))]
        else:
            yield key, value


def _check_text(key: str, text: str) -> None:
    # A label in words may be written over several lines.
    words = text.replace("\n", " ") if key.endswith(".label") else text
    odd = _CONTROLS.search(words)
    if odd:
        raise problem(
            f"the text holds a control character (U+{ord(odd[0]):04X})",
            key,
            "a text of one line, without NUL, tabs, line ends and marks that do not show",
            "remove the character",
        )
    if holds_secret(text):
        raise problem(
            "the address holds a credential: a user, a password, a token or a signature, or a parameter that "
            "may be one",
            key,
            "an address that everybody may see: the report and the tables show the configuration",
            "put the whole address, or what is secret of it, in an environment variable, and name that here: "
            "${VARIABLE} in `archive`; AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the "
            "place of `endpoint_url`",
        )

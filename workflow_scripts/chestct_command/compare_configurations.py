"""Whether two configurations differ in what results depend on."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from chestct.errors import InputError

#: Differences that are shown.
_SHOWN = 5


def flat(value: Any, key: str = "") -> dict[str, str]:
    """Plain data as one level of keys; what lists hold is named by its key ``name``.

    >>> flat({"a": {"b": 1}, "models": [{"name": "i3d", "rate": 2}], "c": [1, 2]})
    {'a.b': '1', 'models[i3d].name': '"i3d"', 'models[i3d].rate': '2', 'c': '[1, 2]'}
    """
    if isinstance(value, Mapping) and value:
        parts = [flat(own, f"{key}.{name}" if key else str(name)) for name, own in value.items()]
    elif (
        isinstance(value, list) and value and all(isinstance(own, Mapping) and "name" in own for own in value)
    ):
        parts = [flat(own, f"{key}[{own['name']}]") for own in value]
    else:
        return {key: json.dumps(value, sort_keys=True, default=str)}
    return {name: text for part in parts for name, text in part.items()}


def check_configuration_of(
    name: str, expected: Mapping[str, Any], found: Mapping[str, Any], *, where: object, without: Sequence[str]
) -> list[str]:
    """Stop where a configuration differs from another in what results depend on.

    Args:
        name: of the study whose results are expected.
        expected, found: configurations.
        where: for the message.
        without: beginnings of keys that do not count.

    Returns:
        Keys outside of lists that only ``found`` has: options that are newer than what is expected.

    Raises:
        InputError: names the keys.
    """
    one, two = (
        {key: text for key, text in flat(own).items() if not key.startswith(tuple(without))}
        for own in (expected, found)
    )
    newer = [key for key in two if key not in one and "[" not in key]
    other = [key for key in one | two if key not in newer and one.get(key) != two.get(key)]
    if other:
        shown = [f"{key} is {two.get(key, 'not there')}, not {one.get(key, 'there')}" for key in other]
        more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
        raise InputError(
            f"the study has another configuration: {'; '.join(shown[:_SHOWN])}{more}",
            where=where,
            expected=f"that of the study {name} as its expected results were made with",
            remedy="compare a run of that configuration; for results of your own there is nothing to expect",
        )
    return newer

"""The configuration against its schema, in words."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from chestct.configuration_problem import problem
from chestct.errors import InputError
from chestct.near_words import suggestion

#: To JSON Schema 1.0 is an integer; paths of files would have it as "1.0".
_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
_SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.yaml"
_KINDS = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "null": "null"}
#: What patterns of the schema say.
_PATTERNS = {
    "^[a-z0-9][a-z0-9_]*$": "of lower case letters, digits and underscores, no underscore first",
    "^https?://": "that begins with http:// or https://",
    r"\S": "that is not blank",
}


@cache
def schema() -> dict[str, Any]:
    """The schema of the configuration."""
    # In Python alone, reading it took longer than all other checks.
    return yaml.load(_SCHEMA.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def schema_problems(config: dict[str, Any]) -> Iterator[InputError]:
    """An error for every key of the configuration that breaks the schema, in the order of keys."""
    errors = sorted(_Validator(schema()).iter_errors(config), key=lambda error: list(map(str, error.path)))
    for error in errors:
        # Of a key that may be one of several things, what fits best is told.
        yield from _explain(best_match([error]) or error)


def _explain(error: ValidationError) -> Iterator[InputError]:
    key = ".".join(str(part) for part in error.absolute_path) or "(top level)"
    rule: dict[str, Any] = error.schema  # type: ignore[assignment]
    if error.validator == "additionalProperties":
        known = list(rule["properties"])
        unknown = [str(name) for name in error.instance if name not in known]  # type: ignore[union-attr]
        hints = list(dict.fromkeys(suggestion(name, known) for name in unknown))
        yield problem(f"unknown key(s) {unknown}", key, f"keys among {', '.join(known)}", "; ".join(hints))
    elif error.validator == "required":
        # The validator gives an error for each of them.
        missing = [name for name in error.validator_value if name not in error.instance]  # type: ignore
        yield problem(f"missing key(s) {missing}", key, "every required key", "add them; see config.yaml")
    elif error.validator == "enum":
        values = [str(value) for value in rule["enum"]]
        words = suggestion(str(error.instance), values)
        yield problem(f"unknown value {error.instance!r}", key, ", ".join(values), words)
    else:
        remedy = "correct the value; see the comments in config.yaml"
        yield problem(error.message, key, in_words(rule), remedy)


def in_words(rule: dict[str, Any]) -> str:
    """What a part of the schema asks for, in words.

    >>> in_words({"type": "integer", "minimum": 1, "maximum": 100})
    'a whole number from 1 to 100'
    """
    if "$ref" in rule:
        rule = {**schema()["$defs"][rule["$ref"].rpartition("/")[2]], **rule}
    if "const" in rule:
        return str(rule["const"])
    if "enum" in rule:
        return f"one of {', '.join(map(str, rule['enum']))}"
    if "anyOf" in rule:
        return ", or ".join(in_words(one) for one in rule["anyOf"])
    kinds = rule.get("type", [])
    return ", or ".join(_kind(kind, rule) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _kind(kind: str, rule: dict[str, Any]) -> str:
    if kind == "object":
        keys = rule.get("required") or list(rule.get("properties", ()))
        return f"the key{'s' if len(keys) > 1 else ''} {', '.join(keys)}" if keys else "keys with values"
    if kind == "array":
        least = " that is not empty" if rule.get("minItems") else ""
        each = f"; each of them {in_words(rule['items'])}" if "items" in rule else ""
        held = f"; {in_words(rule['contains'])} among them" if "contains" in rule else ""
        return f"a list{least}{each}{held}{'; none of them twice' if rule.get('uniqueItems') else ''}"
    if kind == "string":
        return _text(rule)
    return " ".join(filter(None, [_KINDS[kind], _range(rule) if kind in ("integer", "number") else ""]))


def _text(rule: dict[str, Any]) -> str:
    words = "a text"
    if "pattern" in rule:
        words += f" {_PATTERNS.get(rule['pattern'], 'that matches ' + rule['pattern'])}"
    elif rule.get("minLength"):
        words += " that is not empty"
    return words + (f", at most {rule['maxLength']} letters" if "maxLength" in rule else "")


def _range(rule: dict[str, Any]) -> str:
    if "minimum" in rule and "maximum" in rule:
        return f"from {rule['minimum']} to {rule['maximum']}"
    bounds = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "of at most",
        "exclusiveMaximum": "below",
    }
    return " and ".join(f"{words} {rule[name]}" for name, words in bounds.items() if name in rule)

"""YAML files that a user writes, with the line of what does not parse or would be read as something else.

``python -m chestct.yaml_file FILE...`` prints what is wrong with files. Snakemake names no line, takes the
last of two keys of one name, and reads ``010`` as 8 and ``1:30`` as 90, as YAML 1.1 has it.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from chestct.errors import InputError

_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {f"{_TAG}{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")}
_DECIMAL = re.compile(r"[+-]?(0|[1-9][0-9]{0,99})")
#: References within a file multiply: no configuration has so many parts, or as many levels.
_MOST_PARTS, _MOST_LEVELS = 100_000, 64
_BRACKETS = re.compile(r"(?:[\[{]\s*){65}")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of keys and values.

    Raises:
        InputError: the file does not parse (with the line), holds no keys, or one of them twice, or a value
            that is read as something else than it looks like.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        if _BRACKETS.search(text):  # of which each takes the parser longer than the one before
            raise RecursionError
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        problem = next(_problems(node), None) if node is not None else None
        if problem is not None:
            raise problem
        content = loader.construct_document(node) if node is not None else None
    except (yaml.YAMLError, ValueError, RecursionError, KeyError, AttributeError) as error:
        # Not all that a value's form can lack is a YAMLError.
        mark = getattr(error, "problem_mark", None)
        words = getattr(error, "problem", None) or (str(error).splitlines() or [""])[0]
        if not isinstance(error, yaml.YAMLError | ValueError):
            words = "brackets lie too deep" if isinstance(error, RecursionError) else f"no value: {words}"
        raise InputError(
            f"the file is not valid YAML: {words}",
            where=f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else path,
            expected="keys and values, as in config.yaml",
            remedy="correct it there or on the line above; blanks (no tabs) before a key, and a colon with a "
            "blank after it, count",
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            "the file holds no keys", where=path, expected="keys as in config.yaml", remedy="correct it"
        )
    return content


def _problems(top: Node) -> Iterator[yaml.MarkedYAMLError]:
    """What parts of a file are not to be, in their order; references are followed as often as they stand."""
    todo: list[tuple[Node, int]] = [(top, 0)]
    parts = 0
    while todo:
        node, level = todo.pop()
        parts += 1
        if parts > _MOST_PARTS or level > _MOST_LEVELS:
            words = "references (&, *) or brackets lie too deep, are too many, or lead in a circle"
            yield _problem(words, node)
            return
        if node.tag not in _PLAIN_TAGS:
            kind = node.tag.removeprefix(_TAG)
            yield _problem(f"a value of the kind {kind}: put a text that looks like one in quotes", node)
        elif isinstance(node, ScalarNode):
            misread = None if node.style else _misread(node)
            if misread:
                yield _problem(misread, node)
        elif isinstance(node, SequenceNode):
            todo += [(item, level + 1) for item in reversed(node.value)]
        elif isinstance(node, MappingNode):
            keys: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, ScalarNode):
                    yield _problem("the name of a key must be text", key)
                elif key.value in keys:
                    yield _problem(f"the key '{key.value[:50]}' appears here twice", key)
                keys.add(str(key.value))
            todo += [(part, level + 1) for pair in reversed(node.value) for part in reversed(pair)]


def _problem(words: str, node: Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=words, problem_mark=node.start_mark)


def _misread(node: ScalarNode) -> str | None:
    """What a number without quotes is read as, where that is not what it looks like."""
    text = str(node.value)
    if node.tag == f"{_TAG}int" and not _DECIMAL.fullmatch(text):
        return (
            f"'{text[:50]}' is no decimal number: write it without leading zeros, colons and underscores, "
            "or in quotes if it is a text"
        )
    if node.tag == f"{_TAG}float" and re.search("[:_]", text):
        return f"'{text[:50]}' is no decimal number: write it without colons and underscores"
    return None


def main(paths: Sequence[str]) -> int:
    """Print what is wrong with files; returns the exit status, 1 if anything is."""
    status = 0
    for path in paths:
        try:
            read_yaml(Path(path))
        except (InputError, OSError) as error:
            print(f"ERROR: {error}", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""YAML files that a user writes, with the line of what does not parse.

``python -m chestct.yaml_file FILE...`` prints what is wrong with files. Snakemake names no line.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from chestct.errors import InputError


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a file of keys and values.

    Raises:
        InputError: the file does not parse (with the line), or holds no keys.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        words = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(
            f"the file is no YAML: {words}",
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

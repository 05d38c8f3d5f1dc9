"""Tables between steps: read and written through the schemas in ``schemas/``.

Identifiers stay text (leading zeros survive), missing columns, wrong types and impossible values are
reported with the file and the first offending rows. CSV for tables that people read, Parquet for
tables with a row a slice.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from chestct.errors import InputError
from chestct.files import atomic_path

SCHEMA_DIR = Path(__file__).resolve().parents[2] / "schemas"
_DTYPES = {"string": "string", "integer": "Int64", "number": "float64"}


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Return the parsed ``schemas/{name}.schema.yaml``."""
    return yaml.safe_load((SCHEMA_DIR / f"{name}.schema.yaml").read_text())


def column_types(name: str) -> dict[str, str]:
    """Return pandas dtypes by column, in the schema's order."""
    types = {}
    for column, rule in load_schema(name)["properties"].items():
        kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
        types[column] = _DTYPES[next(kind for kind in kinds if kind != "null")]
    return types


def _violations(column: pd.Series, rule: dict[str, Any]) -> pd.Series:
    kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    bad = column.isna() if "null" not in kinds else pd.Series(False, index=column.index)
    present = column.notna()
    checks = {
        "minimum": lambda limit: column < limit,
        "maximum": lambda limit: column > limit,
        "exclusiveMinimum": lambda limit: column <= limit,
        "enum": lambda values: ~column.isin(values),
    }
    for key, check in checks.items():
        if key in rule:
            bad |= present & check(rule[key]).fillna(False).astype(bool)
    return bad


def check_table(table: pd.DataFrame, name: str, *, where: object) -> pd.DataFrame:
    """Return ``table`` with the schema's columns, order and dtypes.

    Raises:
        InputError: a column is missing or unknown, or a value breaks the schema.
    """
    types = column_types(name)
    missing = [column for column in types if column not in table.columns]
    unknown = [column for column in table.columns if column not in types]
    if missing or unknown:
        raise InputError(
            f"table '{name}' has wrong columns (missing: {missing}, unknown: {unknown})",
            where=where,
            expected=", ".join(types),
            remedy=f"see schemas/{name}.schema.yaml",
        )
    try:
        table = table[list(types)].astype(types)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"table '{name}' holds a value of the wrong type: {error}",
            where=where,
            expected=str(types),
            remedy=f"correct the value; see schemas/{name}.schema.yaml",
        ) from error
    for column, rule in load_schema(name)["properties"].items():
        bad = _violations(table[column], rule)
        if bad.any():
            shown = table.loc[bad, column].head(5).tolist()
            raise InputError(
                f"table '{name}' has {int(bad.sum())} bad value(s) in column '{column}': {shown}",
                where=where,
                expected=str(rule),
                remedy=f"correct the rows {table.index[bad][:5].tolist()}",
            )
    return table.reset_index(drop=True)


def read_table(path: str | Path, name: str) -> pd.DataFrame:
    """Read a CSV or Parquet table and check it against its schema.

    Raises:
        InputError: the file is missing, does not parse, or breaks the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"table '{name}' is missing",
            where=path,
            expected="a CSV or Parquet file",
            remedy="check the path, or let the workflow write it",
        )
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            strings = {c: "string" for c, t in column_types(name).items() if t == "string"}
            table = pd.read_csv(path, dtype=strings)
    except Exception as error:
        raise InputError(
            f"table '{name}' does not parse: {error}",
            where=path,
            expected="a CSV or Parquet file",
            remedy="delete the file and let the workflow write it again",
        ) from error
    return check_table(table, name, where=path)


def write_table(table: pd.DataFrame, path: str | Path, name: str) -> None:
    """Check a table against its schema and write it whole or not at all."""
    table = check_table(table, name, where=path)
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)

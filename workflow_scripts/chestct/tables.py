"""Tables between steps: read and written through the schemas in ``schemas/``.

Identifiers stay text (leading zeros survive, and so do ``NA``, ``null`` and ``nan``; an empty cell alone is
missing), missing columns, wrong types and impossible values are reported with the file and the first
offending rows. CSV for tables that people read, Parquet for tables with a row a slice.

Tables that name patients or scans, or show them, are not readable by everybody on the machine; those for
publication are, and no spreadsheet takes a cell of theirs for a formula.
"""

import re
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pandas.api.types import pandas_dtype

from chestct.errors import InputError
from chestct.records import check_record, recorded_path

SCHEMA_DIR = Path(__file__).resolve().parents[2] / "schemas"
_DTYPES = {"string": "string", "integer": "Int64", "number": "float64"}
#: Which values are beyond a limit of the schema.
_BEYOND: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "minimum": np.less,
    "maximum": np.greater,
    "exclusiveMinimum": np.less_equal,
}
#: Columns of tables that are not everybody's to read, but for tables that are published.
_PRIVATE = {"patient_id", "study_id", "jpeg"}
#: What a spreadsheet would compute, but for plain numbers and intervals with a sign. Some take wide signs.
_FORMULA = re.compile(
    r"[=@\t\r\n\uff1d\uff0b\uff20\uff0d].*|[+-](?!(?:[\d\s.,:%()\[\]±+\u2212\u2013-]|to|e)*$).*", re.DOTALL
)


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


def _violations(column: pd.Series, rule: dict[str, Any]) -> np.ndarray:
    """Whether each value breaks the column's rule, shape (len(column),).

    Of arrays: a study checks thousands of short columns, for which pandas takes several times as long.
    """
    kinds = rule["type"] if isinstance(rule["type"], list) else [rule["type"]]
    bad = np.zeros(len(column), dtype=bool) if "null" in kinds else column.isna().to_numpy(dtype=bool)
    if "enum" in rule:
        bad = bad | ~column.isin(rule["enum"]).to_numpy(dtype=bool) & column.notna().to_numpy(dtype=bool)
    limits = [key for key in _BEYOND if key in rule]
    if limits:
        values = column.to_numpy(dtype=float, na_value=np.nan)  # nan is beyond no limit
        for key in limits:
            bad = bad | _BEYOND[key](values, rule[key])
    return bad


def check_table(table: pd.DataFrame, name: str, *, where: object) -> pd.DataFrame:
    """Return ``table`` with the schema's columns, order and dtypes.

    A column that the schema does not require may be lacking, and is empty then.

    Raises:
        InputError: a column is missing or unknown, or a value breaks the schema.
    """
    types = column_types(name)
    required = load_schema(name)["required"]
    missing = [column for column in required if column not in table.columns]
    unknown = [column for column in table.columns if column not in types]
    if missing or unknown:
        raise InputError(
            f"table '{name}' has wrong columns (missing: {missing}, unknown: {unknown})",
            where=where,
            expected=", ".join(types),
            remedy=f"see schemas/{name}.schema.yaml",
        )
    try:
        if list(table.columns) != list(types):
            table = table.reindex(columns=list(types))
        others = {column: kind for column, kind in types.items() if table[column].dtype != pandas_dtype(kind)}
        table = table.astype(others)
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


def read_table(path: str | Path, name: str, *, recorded: bool = True) -> pd.DataFrame:
    """Read a CSV or Parquet table that the workflow wrote, and check it against its record and its schema.

    Args:
        path: of the table.
        name: of the schema.
        recorded: whether it has a record; not of tables that the package brings.

    Raises:
        InputError: the file is missing, is not what was written (``chestct.records``), does not parse, or
            breaks the schema.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"table '{name}' is missing",
            where=path,
            expected="a CSV or Parquet file",
            remedy="check the path, or let the workflow write it",
        )
    if recorded:
        check_record(path, f"table '{name}'")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, name)
    except Exception as error:
        raise InputError(
            f"table '{name}' does not parse: {error}",
            where=path,
            expected="a CSV or Parquet file",
            remedy=f"let the rule that makes it run again: snakemake --cores all --forcerun {path}",
        ) from error
    return check_table(table, name, where=path)


def _read_csv(path: Path, name: str) -> pd.DataFrame:
    """Read a CSV of the program's own, in which rows that are longer than the heading are damage."""
    strings = {column: "string" for column, kind in column_types(name).items() if kind == "string"}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # pandas would take the words NA, null, nan and others for missing values, also in identifiers.
        return pd.read_csv(path, dtype=strings, keep_default_na=False, na_values=[""], index_col=False)


def without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """A table for others, in which texts that a spreadsheet would compute begin with an apostrophe."""

    def plain(cell: object) -> object:
        return f"'{cell}" if isinstance(cell, str) and _FORMULA.fullmatch(cell) else cell

    texts = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{name: table[name].map(plain) for name in texts})


def is_private(name: str) -> bool:
    """Whether a table names or shows patients or scans, and is not one that is made for publication."""
    return not name.startswith("published_") and bool(_PRIVATE & set(column_types(name)))


def write_table(table: pd.DataFrame, path: str | Path, name: str, *, of_job: bool = False) -> None:
    """Check a table against its schema and write it with its record, whole or not at all.

    Tables that name patients or scans are closed to users outside the owner's group.

    Args:
        table: to write.
        path: CSV or Parquet.
        name: of the schema.
        of_job: whether the table goes with the job that writes it.

    Raises:
        InputError: the table breaks the schema, or it cannot be written.
    """
    table = check_table(table, name, where=path)
    published = name.startswith("published_")
    if published:
        table = without_formulas(table)
    # What is passed on names no path of this machine.
    recorded = recorded_path(path, made_from=not published, of_job=of_job, private=is_private(name))
    with recorded as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, index=False)

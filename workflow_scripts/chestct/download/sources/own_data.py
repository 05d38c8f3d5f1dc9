"""A user's own scans: a CSV that names volumes or DICOM folders, and their labels."""

from pathlib import Path

import pandas as pd

from chestct.download.sources import study_folders
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.errors import InputError

_REQUIRED = ("patient_id", "study_id", "path", "label")
#: Identifiers become keys of the volume store, so no slashes or blanks.
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def _refuse(entry: dict, what: str, expected: str, remedy: str) -> InputError:
    return InputError(
        what, where=f"{entry.get('table')}, dataset {entry['name']}", expected=expected, remedy=remedy
    )


def _check_rows(
    entry: dict, values: pd.Series, bad: pd.Series, what: str, expected: str, remedy: str
) -> None:
    """Refuse the table where some rows are ``bad``; the first of them are shown with their line numbers."""
    if bad.any():
        # The header is line 1.
        rows = enumerate(zip(values, bad, strict=True), start=2)
        lines = [f"line {line}: {value!r}" for line, (value, is_bad) in rows if is_bad]
        raise _refuse(entry, f"{len(lines)} {what}: {', '.join(lines[:5])}", expected, remedy)


def _read_csv(entry: dict) -> pd.DataFrame:
    path = Path(str(entry.get("table", "")))
    if not path.is_file():
        raise _refuse(
            entry,
            "the table of scans is missing",
            "a CSV with one row a scan",
            "correct `table`; a relative path starts where snakemake was started",
        )
    try:
        return pd.read_csv(path, dtype="string", keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise _refuse(
            entry, f"the table of scans does not parse: {error}", "a CSV file", "correct it"
        ) from error


def read_own_table(entry: dict) -> pd.DataFrame:
    """Read the user's table: columns patient_id, study_id, path (absolute), label, baseline (floats).

    Raises:
        InputError: the table or a column is missing; an identifier is missing, malformed or doubled; a
            file is not there; a label is no number, or not 0 or 1 where no label_rule is given.
    """
    table = _read_csv(entry)
    names = {key: entry.get("columns", {}).get(key, key) for key in _REQUIRED}
    if entry.get("baseline_column"):
        names["baseline"] = entry["baseline_column"]
    missing = [name for name in names.values() if name not in table.columns]
    if missing:
        raise _refuse(
            entry,
            f"the table lacks the columns {missing}",
            f"among its columns: {list(table.columns)}",
            "correct `columns` (or `baseline_column`) of the dataset",
        )
    if table.empty:
        raise _refuse(entry, "the table has no rows", "one row a scan", "add scans")
    result = pd.DataFrame({key: table[name].str.strip() for key, name in names.items()})
    for key in ("patient_id", "study_id"):
        _check_rows(
            entry,
            result[key],
            ~result[key].str.fullmatch(_ID),
            f"value(s) of column '{names[key]}' are no identifiers",
            "letters, digits, '.', '_' and '-'",
            "correct these rows",
        )
    _check_rows(
        entry,
        result["study_id"],
        result["study_id"].duplicated(keep=False),
        "rows repeat the identifier of a scan",
        "one row a scan",
        "give every scan an identifier of its own",
    )
    folder = Path(entry["table"]).resolve().parent
    result["path"] = [str(folder / value) for value in result["path"]]
    _check_rows(
        entry,
        result["path"],
        pd.Series([not Path(value).exists() for value in result["path"]]),
        "labelled scan(s) are not there",
        "paths of volumes or DICOM folders, relative to the table's folder, or absolute",
        "correct the paths, or remove these rows",
    )
    for key in ("label", "baseline"):
        if key in names:
            numbers = pd.to_numeric(table[names[key]], errors="coerce")
            _check_rows(
                entry,
                table[names[key]],
                numbers.isna(),
                f"value(s) of column '{names[key]}' are not numbers",
                "a number in every row",
                "correct or remove these rows",
            )
            result[key] = numbers.astype(float)
    if not entry.get("label_rule"):
        _check_rows(
            entry,
            result["label"],
            ~result["label"].isin([0.0, 1.0]),
            "label(s) are neither 0 nor 1",
            "0 or 1, or a label_rule",
            "correct the labels, or set label_rule: {positive_above: x, negative_below: y}",
        )
    return result


def list_series(
    entry: dict, root: Path, shard_size: int, settings: TransferSettings
) -> study_folders.Listing:
    """List the scans of the user's table, paths absolute.

    Raises:
        InputError: see ``read_own_table``; or a patient named in ``patients`` is not there.
    """
    own = read_own_table(entry)
    table = pd.DataFrame(
        {
            "dataset": entry["name"],
            "patient_id": own["patient_id"],
            "study_id": own["study_id"],
            "series_id": own["study_id"],
            "path": own["path"],
            "num_instances": 0,
        }
    )
    return study_folders.listing(table, entry, shard_size, entry["table"])


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Nothing to fetch: check that every scan still has files.

    Raises:
        InputError: a scan is gone or its folder is empty.
    """
    for row in series_rows.to_dict("records"):
        study_folders.series_files(root, row["path"])
    return {}


def read_labels(entry: dict, root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels of scans (table ``labels``) from the user's table; there are no labels of slices.

    With ``label_rule``, a value above ``positive_above`` is positive, one below ``negative_below``
    negative, any other excluded (``label_between_thresholds``).

    Raises:
        InputError: see ``read_own_table``; or a listed scan is no longer in the table.
    """
    own = read_own_table(entry).set_index("study_id")
    gone = sorted(set(series["study_id"]) - set(own.index))
    if gone:
        raise _refuse(
            entry,
            f"{len(gone)} listed scan(s) are no longer in the table: {gone[:5]}",
            "the scans of series.csv",
            "run the rule list_series again",
        )
    own = own.loc[list(series["study_id"])].reset_index()
    value = own["label"]
    rule = entry.get("label_rule")
    label = value.astype("Int64") if not rule else pd.Series(pd.NA, index=own.index, dtype="Int64")
    if rule:
        label = label.mask(value > rule["positive_above"], 1).mask(value < rule["negative_below"], 0)
    scans = pd.DataFrame(
        {
            "dataset": entry["name"],
            "patient_id": own["patient_id"],
            "study_id": own["study_id"],
            "label": label,
            "exclusion": pd.Series(pd.NA, index=own.index, dtype="string").mask(
                label.isna(), "label_between_thresholds"
            ),
            "baseline": own.get("baseline"),
        }
    )
    return scans, pd.DataFrame(columns=["study_id", "sop_instance_uid", "z_mm", "num_readers"])


def manifest(entry: dict) -> dict:
    """Where the data come from, for provenance."""
    return {
        "version": "the user's table",
        "source": str(entry.get("table")),
        "licence": "the user's own",
        "citation": [],
        "stand_in": False,
        "description": "The user's own volumes and labels",
    }

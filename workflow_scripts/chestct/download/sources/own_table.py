"""The table of a user's own scans: identifiers, paths and labels, each row checked and named by its line."""

import math
import os
import re
import unicodedata
from pathlib import Path

import pandas as pd

from chestct.download.sources.missing_paths import remedy_for
from chestct.errors import InputError
from chestct.user_csv import read_user_csv

_REQUIRED = ("patient_id", "study_id", "path", "label")
#: Longest identifier: what others write in names of files and headers is shorter by far.
_MAX_ID = 255
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
#: What a spreadsheet makes of an identifier: a formula (some take wide signs, too), an error, a long number
#: that it has rounded.
_SPREADSHEET = re.compile(
    r"[=+@\-\uff1d\uff0b\uff20\uff0d\u2212].*|#[A-Z/0-9]+[!?]?|[0-9]([.,][0-9]+)?E\+[0-9]+"
)
#: Letters of other alphabets that look like Latin ones.
_LOOK_ALIKE = str.maketrans(
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425\u0430\u0435\u043e\u0440\u0441\u0445"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7",
    "ABEKMHOPCTXaeopcx" + "ABEZHIKMNOPTX",
)
_SHOWN, _SHOWN_LETTERS = 5, 100


def refusal(entry: dict, what: str, expected: str, remedy: str) -> InputError:
    """The error of a user's table, which names the table and the dataset."""
    return InputError(
        what, where=f"{entry.get('table')}, dataset {entry['name']}", expected=expected, remedy=remedy
    )


def _check_rows(
    entry: dict, values: pd.Series, bad: pd.Series, what: str, expected: str, remedy: str
) -> None:
    """Refuse the table where some rows are ``bad``; the first of them are shown with their line numbers."""
    if bad.any():
        lines = [f"line {line}: {_short(value)}" for line, value in values[bad].items()]
        raise refusal(entry, f"{len(lines)} {what}: {', '.join(lines[:_SHOWN])}", expected, remedy)


def _short(text: str) -> str:
    return repr(text) if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]!r}..."


def _is_identifier(text: str) -> bool:
    """Whether a text can name a patient or a scan: it becomes a key of the volume store, so has no slash."""
    usable = 0 < len(text) <= _MAX_ID and text.isprintable() and "/" not in text and text not in (".", "..")
    return usable and not _SPREADSHEET.fullmatch(text)


def _number(text: str) -> float:
    """A decimal number; NaN for anything else, also for words that a general reader takes for numbers."""
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else math.nan


def read_own_table(entry: dict) -> pd.DataFrame:
    """Read the user's table: columns patient_id, study_id, path (absolute), label, baseline (floats).

    A relative path starts at the folder that the table is named in; of a table that is a link, at the link's
    folder. The index is that of the rows, from 0. ``attrs["look_alikes"]`` are words on patients who may be
    one, or empty.

    Raises:
        InputError: the table or a column is missing; a row is ragged (``read_user_csv``); an identifier is
            missing, malformed or doubled; a file is not there, or named twice; a label is no number, or not
            0 or 1 where no label_rule is given; all labels are one class.
    """
    path = Path(str(entry.get("table", "")))
    if not path.is_file():
        raise refusal(
            entry,
            "the table of scans is missing",
            "a CSV with one row a scan",
            "correct `table`; a relative path starts where snakemake was started",
        )
    names = {key: entry.get("columns", {}).get(key, key) for key in _REQUIRED}
    if entry.get("baseline_column"):
        names["baseline"] = entry["baseline_column"]
    names = {key: name.strip() for key, name in names.items()}
    where = f"{entry.get('table')}, dataset {entry['name']}"
    try:
        table = read_user_csv(path, list(names.values()), where=where)
    except OSError as error:
        raise refusal(
            entry, f"the table of scans cannot be read: {error}", "a CSV that you may read", "correct it"
        ) from error
    if table.empty:
        raise refusal(entry, "the table has no rows", "one row a scan", "add scans")
    result = pd.DataFrame({key: table[name] for key, name in names.items()})
    _check_identifiers(entry, result, names)
    # Not resolved: the paths of a table that is a link are meant from where the link is.
    folder = path.absolute().parent
    result["path"] = _existing_paths(entry, result["path"], folder, names["path"])
    result["label"] = _labels(entry, result["label"], names["label"])
    if "baseline" in names:
        result["baseline"] = _numbers(entry, result["baseline"], names["baseline"])
    words = _look_alikes(entry, result["patient_id"], names["patient_id"])
    result = result.reset_index(drop=True)
    result.attrs["look_alikes"] = words
    return result


def _check_identifiers(entry: dict, table: pd.DataFrame, names: dict[str, str]) -> None:
    for key in ("patient_id", "study_id"):
        # One identifier, whichever way a program composed its accents.
        table[key] = table[key].map(lambda text: unicodedata.normalize("NFC", text)).astype("string")
        _check_rows(
            entry,
            table[key],
            ~table[key].map(_is_identifier).astype(bool),
            f"value(s) of column '{names[key]}' are no identifiers",
            f"1 to {_MAX_ID} printable characters without a slash; no formula, nor a number that a "
            "spreadsheet has rounded (1.2E+11)",
            "correct these rows; in a spreadsheet, format the column as text before its values are entered",
        )
    _check_rows(
        entry,
        table["study_id"],
        table["study_id"].duplicated(keep=False),
        "rows repeat the identifier of a scan",
        "one row a scan",
        "give every scan an identifier of its own",
    )


def _plain(text: str) -> str:
    """What identifiers have in common that differ only in what programs and people change: case, blanks,
    width, alphabet, leading zeros (007 and 7), a whole number's fraction (7.0).
    """
    plain = unicodedata.normalize("NFKC", text).translate(_LOOK_ALIKE).casefold()
    plain = re.sub(r"^([0-9]+)\.0+$", r"\1", plain)
    return re.sub(r"[\s_.-]+", "-", re.sub(r"(?<![0-9.])0+(?=[0-9])", "", plain))


def _look_alikes(entry: dict, patients: pd.Series, name: str) -> str:
    """Words on patients who may be one, empty if there are none; the index holds the lines of the table."""
    first: dict[str, tuple[str, object]] = {}
    pairs = []
    for line, text in patients.drop_duplicates().items():
        other, other_line = first.setdefault(_plain(text), (text, line))
        if other != text:
            pairs.append(f"{_short(other)} and {_short(text)} (lines {other_line} and {line})")
    if not pairs:
        return ""
    more = f", and {len(pairs) - _SHOWN} more" if len(pairs) > _SHOWN else ""
    return (
        f"{entry['name']}: identifiers of column '{name}' look alike, but count as different patients: "
        f"{', '.join(pairs[:_SHOWN])}{more}. "
        "Write them alike if they are one: under two names, one patient can be in training and test"
    )


def _existing_paths(entry: dict, cells: pd.Series, folder: Path, name: str) -> list[str]:
    """The absolute paths of a column, which all exist and are all of different files or folders."""
    _check_rows(
        entry,
        cells,
        cells == "",
        f"value(s) of column '{name}' are empty",
        "the path of a volume or of a DICOM folder in every row",
        "add the paths, or remove these rows",
    )
    paths = cells.map(lambda text: str(folder / text))
    gone = ~paths.map(os.path.exists).astype(bool)
    if gone.any():
        _check_rows(
            entry,
            paths,
            gone,
            "labelled scan(s) are not there",
            "paths of volumes or DICOM folders, relative to the table's folder, or absolute",
            remedy_for(str(cells[gone].iloc[0]), folder),
        )
    _check_rows(
        entry,
        cells,
        paths.map(os.path.realpath).duplicated(keep=False),
        "rows name a file or folder that another row names, too",
        "one row a scan",
        "remove the repetitions: under two patients, one scan would be in training and test",
    )
    return paths.tolist()


def _labels(entry: dict, cells: pd.Series, name: str) -> pd.Series:
    """The labels as numbers: 0 and 1, or what ``label_rule`` makes both classes of."""
    rule = entry.get("label_rule")
    if rule:
        labels = _numbers(entry, cells, name, " that label_rule compares with its thresholds")
        positive, negative = labels > rule["positive_above"], labels < rule["negative_below"]
        ways = {
            f"lie above {rule['positive_above']:g}, and so are positive": positive,
            f"lie below {rule['negative_below']:g}, and so are negative": negative,
            "lie between the thresholds of label_rule, and so are neither positive nor negative": (
                ~positive & ~negative
            ),
        }
    else:
        labels = cells.map(_number).astype(float)
        bad = ~labels.isin([0.0, 1.0])
        _check_rows(
            entry,
            cells,
            bad,
            f"value(s) of column '{name}' are neither 0 nor 1",
            "0 (negative) or 1 (positive) in every row; or numbers, with a label_rule",
            _label_remedy(cells[bad], labels[bad]),
        )
        ways = {"are 1": labels == 1, "are 0": labels == 0}
    for words, found in ways.items():
        if found.all():
            raise refusal(
                entry,
                f"all {len(labels)} values of `{name}` {words}",
                "scans of both classes, positive and negative",
                "add scans of the other class, or name another column: label in `columns` of the dataset"
                + (", or change label_rule" if rule else ""),
            )
    return labels


def _label_remedy(cells: pd.Series, labels: pd.Series) -> str:
    """What to do about labels that are neither 0 nor 1: words, nothing, or numbers."""
    words = ", ".join(_short(word) for word in cells[cells != ""].drop_duplicates()[:_SHOWN])
    ways = [f"write 0 or 1 in the place of {words}"] if words else []
    if (cells == "").any():
        ways.append("remove the rows without a label")
    if labels.notna().all():
        ways.append("set label_rule: {positive_above: x, negative_below: y}")
    return ", or ".join(ways)


def _numbers(entry: dict, cells: pd.Series, name: str, more: str = "") -> pd.Series:
    numbers = cells.map(_number).astype(float)
    _check_rows(
        entry,
        cells,
        numbers.isna(),
        f"value(s) of column '{name}' are not numbers",
        f"a finite number with a decimal point in every row{more}",
        "correct or remove these rows",
    )
    return numbers

"""``chestct init``: a study of one's own scans, from a table that names them; asks nothing.

The table is read and checked as the study will read it. Columns are found by their names, or named by
options; folds, models, shares and budgets follow from the number of patients. What is written is a commented
overlay in ``studies/``, which is then the user's to change.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from chestct.download.sources.own_table import read_own_table
from chestct.errors import InputError
from chestct.few_tested import FEW_TESTED
from chestct.files import write_text
from chestct.user_csv import read_user_csv
from chestct.yaml_file import read_yaml
from chestct_command.begin_arguments import OPTIONS, WHAT
from chestct_command.expected_time import expected_hours
from chestct_command.overlay import overlay_text
from chestct_command.project import DEFAULT, read_configuration

#: Names by which a column is found, in lower case, without anything but letters and digits; the first
#: counts most.
_NAMES = {
    "patient_id": ("patientid", "patient", "subjectid", "subject", "pid", "participantid", "participant"),
    "study_id": ("studyid", "scanid", "scan", "study", "seriesid", "series", "imageid", "accession", "id"),
    "path": (
        "path",
        "file",
        "filename",
        "filepath",
        "volume",
        "image",
        "nifti",
        "folder",
        "directory",
        "dicom",
    ),
    "label": ("label", "target", "class", "outcome", "diagnosis", "y"),
}
_STUDY_NAME = re.compile(r"[a-z][a-z0-9_]*")
#: Folders of ``data/`` that hold no dataset.
_NO_DATASETS = ("weights", "own_example")
#: Fewer patients of a class than this can be neither trained on, chosen by and tested.
LEAST = 6


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """What a user's table holds.

    Attributes:
        patients, scans: their numbers.
        positive, negative: patients with a positive scan, and without one.
    """

    patients: int
    scans: int
    positive: int
    negative: int

    @property
    def rarer(self) -> int:
        """Patients of the rarer class."""
        return min(self.positive, self.negative)

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Cohort":
        """Count a checked table with columns patient_id and label (0 or 1)."""
        positive = table.groupby("patient_id")["label"].max() > 0
        return cls(
            patients=len(positive),
            scans=len(table),
            positive=int(positive.sum()),
            negative=int((~positive).sum()),
        )


def begin(options: argparse.Namespace, folder: Path) -> int:
    """Write the overlay, and print the command that runs it and how long that takes.

    Raises:
        InputError: the table or its columns cannot be used, or the study is there already.
    """
    whole = options.name or _study_name(options.table)
    name = f"{whole}_quick" if options.quick else whole
    target = folder / "studies" / f"{name}.yaml"
    # The default study has no file of its own: one of its name would not be read.
    if not _STUDY_NAME.fullmatch(name) or len(name) > 60 or name == DEFAULT:
        raise InputError(
            f"'{name}' is no name of a study",
            where="--name",
            expected=f"lower-case letters, digits and '_', a letter first, at most 60; not '{DEFAULT}'",
            remedy="give another one with --name",
        )
    if target.exists():
        raise InputError(
            f"the study '{name}' is there already",
            where=target,
            expected="the name of a new study",
            remedy=f"give another one with --name, or go on with it: make study STUDY={name}",
        )
    if not options.table.is_file():
        raise InputError(
            "the table is a folder" if options.table.is_dir() else "there is no such table",
            where=options.table,
            expected="a CSV with one row per scan: patient, file or folder, label (docs/own_data.md)",
            remedy="check the path after --table",
        )
    entry: dict[str, Any] = {"source": "own_data", "table": str(options.table.absolute())}
    entry = {"name": dataset_name(whole, entry["table"], folder)} | entry
    try:
        rows = read_user_csv(options.table, (), where=options.table)
    except OSError as error:
        raise InputError(
            f"the table cannot be read: {error.strerror}",
            where=options.table,
            expected="a CSV that this user may read",
            remedy="give this user the right to read it, or take a copy",
        ) from error
    chosen = {key: getattr(options, key) for key in OPTIONS if getattr(options, key)}
    entry["columns"] = find_columns(rows, chosen, options.table)
    own = read_own_table(entry)
    cohort = Cohort.of(_checked(own, options.table))
    if own.attrs["look_alikes"]:
        print(f"WARNING: {own.attrs['look_alikes']}", file=sys.stderr)
    text = overlay_text(name, entry, cohort_sizes(cohort), gpu=options.gpu, quick=options.quick)
    write_text(target, text)
    try:
        configuration = read_configuration(folder, [name])
    except InputError:
        target.unlink()
        raise
    _report(name, target.relative_to(folder), entry["columns"], cohort, configuration, options)
    return 0


def _study_name(table: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", table.stem.lower()).strip("_")
    return name if name[:1].isalpha() else f"study_{name}".rstrip("_")


def dataset_name(study: str, table: str, folder: Path) -> str:
    """The study's name for its dataset, with ``_scans`` where data of something else lie under that name.

    What is listed of a dataset lies in ``data/NAME``, which all studies share: of two tables under one name,
    each study would list its own anew.

    Args:
        study: its name.
        table: its absolute path; another study of the same table may share its dataset.
        folder: of the project.
    """
    taken = set(_NO_DATASETS)
    for path in (folder / "config.yaml", *sorted((folder / "studies").glob("*.yaml"))):
        try:
            entries = read_yaml(path).get("datasets")
        except InputError:  # that study's own concern
            continue
        entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        taken |= {str(entry.get("name")) for entry in entries if entry.get("table") != table}
    while study in taken:
        study += "_scans"
    return study


def find_columns(rows: pd.DataFrame, chosen: Mapping[str, str], table: Path) -> dict[str, str]:
    """The table's own names of the columns patient_id, study_id, path and label.

    Args:
        rows: of the table, as text.
        chosen: names that the user gave.
        table: where it lies, for messages.

    Raises:
        InputError: a given column is not there, or none is found by its name: lists what there is.
    """
    for key, name in chosen.items():
        if name not in rows.columns:
            raise _not_found(f"there is no column '{name}'", key, rows, table)
    found = dict(chosen)
    for key in _NAMES:
        left = [name for name in rows.columns if name not in found.values()]
        plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in reversed(left)}
        if key not in found:
            column = next((plain[alias] for alias in _NAMES[key] if alias in plain), None)
            column = column or (_only_label(rows, left) if key == "label" else None)
            # One scan a patient: the patient's name is the scan's.
            column = column or (found["patient_id"] if key == "study_id" and _unique(rows, found) else None)
            if column is None:
                raise _not_found(f"no column is known to hold {WHAT[key]}", key, rows, table)
            found[key] = column
    return found


def _unique(rows: pd.DataFrame, found: Mapping[str, str]) -> bool:
    return bool(rows[found["patient_id"]].is_unique)


def _only_label(rows: pd.DataFrame, names: list[str]) -> str | None:
    """The only column, among those of a name that says nothing, that holds 0 and 1 and nothing else.

    A column that is left alone is meant, whatever it holds: what is wrong with it is then told by its name.
    """
    labels = [name for name in names if set(rows[name].str.strip()) == {"0", "1"}] or names
    return labels[0] if len(labels) == 1 else None


def _not_found(what: str, key: str, rows: pd.DataFrame, table: Path) -> InputError:
    names = [str(name) for name in rows.columns]
    remedy = f"name it: {OPTIONS[key]} COLUMN"
    if len(names) == 1:
        remedy = "write the heading in the first line, and commas, semicolons or tabs between its cells"
    elif any(os.path.exists(table.absolute().parent / name) for name in names):  # noqa: PTH110
        remedy = "write a heading, such as patient,scan,file,label, in the first line: it holds a scan"
    elif key == "patient_id":
        remedy += "; where every scan is another patient's, name the column of the scans"
    return InputError(what, where=table, expected=f"one of its columns: {', '.join(names)}", remedy=remedy)


def _checked(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table, if its labels can be learned and tested.

    Raises:
        InputError: one class has too few patients.
    """
    cohort = Cohort.of(table)
    if cohort.rarer < LEAST:
        raise InputError(
            f"{cohort.positive} patients are positive and {cohort.negative} negative",
            where=path,
            expected=f"at least {LEAST} of each, to train on, to choose by and to test",
            remedy="add scans of more patients of the rarer class",
        )
    return table


def cohort_sizes(cohort: Cohort) -> dict[str, Any]:
    """Folds, shares of the training patients, seeds and budgets for that many patients.

    Few patients are all tested, under cross-validation, with 3 folds where 5 would leave fewer than three
    of the rarer class in one. From 300 on, one held-out set suffices, and smaller training sets are tried.
    """
    folds = 1 if cohort.patients >= 300 and cohort.rarer >= 60 else 5 if cohort.rarer >= 15 else 3
    percents = [100] if cohort.patients < 100 else [25, 100] if cohort.patients < 500 else [10, 25, 50, 100]
    return {"folds": folds, "percents": percents, "cohort": cohort}


def _report(
    name: str,
    path: Path,
    columns: Mapping[str, str],
    cohort: Cohort,
    configuration: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    taken = ", ".join(f"{WHAT[key].split(' (')[0]}: `{column}`" for key, column in columns.items())
    print(f"{cohort.scans} scans of {cohort.patients} patients, {cohort.positive} of them positive")
    print(f"Columns: {taken}")
    print(f"Written: {path}, with comments; change it as you like")
    tested = cohort.rarer if configuration["subsets"]["folds"] > 1 else round(0.25 * cohort.rarer)
    if tested < FEW_TESTED:
        print(
            f"WARNING: only {tested} patients of the rarer class are tested: intervals will be wide, and a "
            "difference must be large to be seen",
            file=sys.stderr,
        )
    print(f"Run it: chestct run {name}    (or: make study STUDY={name})")
    hours = expected_hours(configuration, cohort.scans, gpu=options.gpu)
    if hours is not None:
        where = "one NVIDIA A100 (estimated)" if options.gpu else "one core of an AMD EPYC processor"
        spent = f"{hours * 60:.0f} minutes" if hours < 3 else f"{hours:.0f} hours"
        more = ", and a few minutes for conversion and report" if options.quick else ""
        print(
            f"Expected: about {spent} on {where} for scans of 150 slices{more}; several cores share the work"
        )
    if options.quick:
        print("A first look: it shows that your scans go through; its numbers say nothing")
    else:
        print("A first look before that, in the smallest sizes: the same command with --quick")

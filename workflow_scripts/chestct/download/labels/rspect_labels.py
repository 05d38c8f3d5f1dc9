"""RSPECT's label table train.csv: one row a slice, with the exam's labels repeated on every slice.

Colak et al., The RSNA Pulmonary Embolism CT Dataset, Radiology: Artificial Intelligence 3(2):e200254,
2021. The table names no patient, so a study stands for its patient.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from chestct.errors import InputError
from chestct.records import check_record, record_path

ID_COLUMNS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
#: One a slice, then one a study (repeated on its slices).
SLICE_COLUMN = "pe_present_on_image"
STUDY_COLUMNS = (
    "negative_exam_for_pe",
    "qa_motion",
    "qa_contrast",
    "flow_artifact",
    "rv_lv_ratio_gte_1",
    "rv_lv_ratio_lt_1",
    "leftsided_pe",
    "chronic_pe",
    "true_filling_defect_not_pe",
    "rightsided_pe",
    "acute_and_chronic_pe",
    "central_pe",
    "indeterminate",
)
#: Columns of the published table, in its order.
COLUMNS = (*ID_COLUMNS, SLICE_COLUMN, *STUDY_COLUMNS)
_USED = ("negative_exam_for_pe", "indeterminate")
#: Columns of the table findings, and the columns of train.csv of which one must be 1; older copies lack some.
_FINDINGS = {
    "central_pe": ("central_pe",),
    "chronic_pe": ("chronic_pe", "acute_and_chronic_pe"),
    "right_heart_strain": ("rv_lv_ratio_gte_1",),
}
_FINDING_COLUMNS = tuple(column for columns in _FINDINGS.values() for column in columns)

#: What an identifier consists of: it names folders and files.
SAFE_ID = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"

#: Reasons why a scan of RSPECT has no label.
EXCLUSIONS = (
    "exam_labels_differ_between_slices",
    "negative_and_indeterminate",
    "negative_exam_with_positive_slices",
    "indeterminate",
    "positive_exam_without_positive_slices",
    "no_label",
)


def _refuse(what: str, path: Path) -> InputError:
    return InputError(
        what,
        where=path,
        expected=f"RSPECT's label table with {', '.join([*ID_COLUMNS, SLICE_COLUMN, *_USED])}",
        remedy="put the train.csv of the RSPECT release there",
    )


def _read_columns(path: Path, columns: Sequence[str], optional: Sequence[str]) -> pa.Table:
    """The columns, and optional ones that are there, as text.

    All but the instances' names are dictionaries, which keeps 1.8 M rows small.
    """
    if not path.is_file():
        raise _refuse("the label file is missing", path)
    if record_path(path).is_file():  # a user's own table has none
        check_record(path, "label table", "run snakemake --cores all --forcerun list_series download_series")
    try:
        header = pd.read_csv(path, nrows=0).columns
        missing = [column for column in columns if column not in header]
        if missing:
            raise _refuse(f"the label file lacks the columns {missing}", path)
        columns = [*columns, *(column for column in optional if column in header)]
        repeated = pa.dictionary(pa.int32(), pa.string())
        types = {c: pa.string() if c == ID_COLUMNS[2] else repeated for c in columns}
        return pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            convert_options=pyarrow.csv.ConvertOptions(include_columns=list(columns), column_types=types),
        ).unify_dictionaries()
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise _refuse(f"the label file does not parse: {error}", path) from error


def _flag(table: pa.Table, column: str, path: Path) -> np.ndarray:
    codes = table[column].combine_chunks()
    words = codes.dictionary.to_pylist()
    bad = [word for word in words if word not in ("0", "1")]
    if bad:
        at = pc.indices_nonzero(pc.is_in(table[column].cast(pa.string()), pa.array(bad, pa.string())))
        raise _refuse(
            f"{len(at)} value(s) of {column} are not 0 or 1: rows {at[:5].to_pylist()}, {bad[:5]}", path
        )
    return np.array([int(word) for word in words], dtype=np.int8)[codes.indices.to_numpy()]


def read_train_csv(path: Path, *, findings: bool = False) -> pd.DataFrame:
    """Read the columns of train.csv that give labels: identifiers as text, flags as 0 or 1.

    Args:
        path: of the table.
        findings: also read those columns that say what was found, as far as the table has them.

    Raises:
        InputError: the file is missing, lacks a column, repeats an instance, holds an identifier that
            could not name a file, or a flag is not 0 or 1.
    """
    flags = [SLICE_COLUMN, *_USED]
    table = _read_columns(path, [*ID_COLUMNS, *flags], _FINDING_COLUMNS if findings else ())
    flags = [name for name in table.column_names if name not in ID_COLUMNS]
    for column in ID_COLUMNS:
        values = table[column]
        if pa.types.is_dictionary(values.type):
            values = values.combine_chunks().dictionary
        unsafe = values.filter(pc.invert(pc.match_substring_regex(values, f"^{SAFE_ID}$")))
        if len(unsafe):
            shown = unsafe[:3].to_pylist()
            raise _refuse(f"{len(unsafe)} value(s) of {column} are no identifiers: {shown}", path)
    frame = table.select(list(ID_COLUMNS)).to_pandas()
    twice = frame[frame["SOPInstanceUID"].duplicated()]
    if len(twice):
        raise _refuse(
            f"{len(twice)} instance(s) occur twice: {twice['SOPInstanceUID'].head(3).tolist()}", path
        )
    return frame.assign(**{column: _flag(table, column, path) for column in flags})


def count_instances(labels: pd.DataFrame) -> pd.DataFrame:
    """The series of train.csv: study_id, series_id, num_instances, sorted."""
    found = labels.groupby(["StudyInstanceUID", "SeriesInstanceUID"], observed=True, sort=True).size()
    return pd.DataFrame(
        {
            "study_id": found.index.get_level_values(0).astype("str"),
            "series_id": found.index.get_level_values(1).astype("str"),
            "num_instances": found.to_numpy(),
        }
    ).sort_values(["study_id", "series_id"], ignore_index=True)


def train_csv(entry: dict, root: Path) -> Path:
    """Where the label table of a dataset lies: in the user's folder, or where it was downloaded to."""
    owned = entry.get("folder") if entry.get("from", "folder") == "folder" else None
    return Path(owned or root) / "train.csv"


def _decide(exams: pd.DataFrame, taken_as: str) -> pd.DataFrame:
    """Label and exclusion of every exam; the first reason of EXCLUSIONS that holds is given.

    Args:
        exams: their flags.
        taken_as: what indeterminate exams are: excluded, positive or negative.
    """
    negative, indeterminate = exams["negative"] == 1, exams["indeterminate"] == 1
    differ = (exams["negative"] != exams["negative_min"]) | (
        exams["indeterminate"] != exams["indeterminate_min"]
    )
    marked = exams["slices"] > 0
    without_slices = ~negative & ~marked & ~indeterminate
    excluded = indeterminate & (taken_as == "excluded")
    conditions = [differ, negative & indeterminate, negative & marked, excluded, without_slices]
    reason = pd.Series(None, index=exams.index, dtype="object")
    for condition, word in zip(reversed(conditions), reversed(EXCLUSIONS[:-1]), strict=True):
        reason[condition] = word
    positive = ~negative & ~(indeterminate & (taken_as == "negative"))
    label = pd.Series(positive.astype("Int64"), index=exams.index).mask(reason.notna())
    return pd.DataFrame({"label": label, "exclusion": reason})


def _findings(labels: pd.DataFrame, scans: pd.DataFrame) -> dict[str, pd.Series]:
    """Columns of the table ``findings`` of positive scans, as far as train.csv has them."""
    exams = labels.groupby("StudyInstanceUID", observed=True)
    columns = {}
    for name, sources in _FINDINGS.items():
        known = [source for source in sources if source in labels]
        if known:
            found = exams[known].max().max(axis=1)
            found.index = found.index.astype("str")
            columns[name] = scans["study_id"].map(found).astype("Int64").where(scans["label"] == 1)
    return columns


def read_labels(entry: dict, root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels of scans (table ``labels``) and slices (table ``slice_labels``) from train.csv.

    pe = not negative_exam_for_pe and not indeterminate. Scans without a label, each with its reason:

    - ``indeterminate``: the readers could not tell, whatever slices are marked. The entry's ``indeterminate``
      takes these exams as positive or as negative instead (bounds of what their exclusion may hide).
    - ``negative_exam_with_positive_slices``, ``positive_exam_without_positive_slices``,
      ``negative_and_indeterminate``, ``exam_labels_differ_between_slices``: the table contradicts
      itself. Such scans are excluded: the exam's label is what models are scored on and the slices'
      labels are what windows are trained on, and nothing in the release says which of the two is
      right. Taking either would be a guess that changes labels, and dropping the slices' labels alone
      would train and score one scan on different rules than the others. The reason stays in the
      ledger, so that another decision can be made from it.
    - ``no_label``: train.csv does not name the study.

    Columns of the table ``findings`` stand beside the labels of positive scans.

    Raises:
        InputError: train.csv is missing or bad.
    """
    labels = read_train_csv(train_csv(entry, root), findings=True)
    labels = labels[labels["StudyInstanceUID"].isin(series["study_id"])]
    exams = labels.groupby("StudyInstanceUID", observed=True).agg(
        slices=(SLICE_COLUMN, "sum"),
        negative=("negative_exam_for_pe", "max"),
        negative_min=("negative_exam_for_pe", "min"),
        indeterminate=("indeterminate", "max"),
        indeterminate_min=("indeterminate", "min"),
    )
    exams.index = exams.index.astype("str")
    decided = _decide(exams, entry.get("indeterminate", "excluded"))
    decided = decided.reindex(pd.Index(series["study_id"].astype("str")))
    named = decided.index.isin(exams.index)
    decided.loc[~named, "exclusion"] = "no_label"
    for reason in EXCLUSIONS:
        studies = decided.index[decided["exclusion"] == reason].tolist()
        if studies:
            logging.warning(
                "%s: %d scan(s) excluded, %s: %s", entry["name"], len(studies), reason, studies[:5]
            )
    scans = pd.DataFrame(
        {
            "dataset": entry["name"],
            "patient_id": series["patient_id"].tolist(),
            "study_id": series["study_id"].tolist(),
            "label": decided["label"].array,
            "exclusion": decided["exclusion"].tolist(),
            "baseline": None,
        }
    )
    scans = scans.assign(**_findings(labels, scans))
    positive = labels[labels[SLICE_COLUMN] == 1]
    slices = pd.DataFrame(
        {
            "study_id": positive["StudyInstanceUID"].astype("str"),
            "sop_instance_uid": positive["SOPInstanceUID"].astype("str"),
            "z_mm": None,
            "num_readers": 1,
        }
    )
    return scans, slices

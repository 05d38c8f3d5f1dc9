"""RSPECT (RSNA-STR pulmonary embolism CT) from a folder that the user has, in Kaggle's layout.

Colak et al., The RSNA Pulmonary Embolism CT Dataset, Radiology: Artificial Intelligence 3(2):e200254,
2021. The published tables name no patient, so a study stands for its patient.
"""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from chestct.download import layout
from chestct.errors import InputError

LAYOUT = "train.csv, train/STUDY/SERIES/INSTANCE.dcm"
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


def read_train_csv(path: Path) -> pd.DataFrame:
    """Read the columns of train.csv that give labels: identifiers as text, flags as 0 or 1.

    Raises:
        InputError: the file is missing, lacks a column, repeats an instance, or a flag is not 0 or 1.
    """

    def refuse(what: str) -> InputError:
        return InputError(
            what,
            where=path,
            expected=f"RSPECT's label table with {', '.join([*ID_COLUMNS, SLICE_COLUMN, *_USED])}",
            remedy="put the train.csv of the RSPECT release there",
        )

    if not path.is_file():
        raise refuse("the label file is missing")
    flags = [SLICE_COLUMN, *_USED]
    try:
        header = pd.read_csv(path, nrows=0).columns
        missing = [column for column in [*ID_COLUMNS, *flags] if column not in header]
        if missing:
            raise refuse(f"the label file lacks the columns {missing}")
        table = pd.read_csv(
            path, usecols=[*ID_COLUMNS, *flags], dtype=dict.fromkeys(ID_COLUMNS, "string"), na_filter=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise refuse(f"the label file does not parse: {error}") from error
    for column in flags:
        bad = table[~table[column].isin([0, 1])]
        if len(bad):
            raise refuse(
                f"{len(bad)} value(s) of {column} are not 0 or 1: rows {bad.index[:5].tolist()}, "
                f"{bad[column].head(5).tolist()}"
            )
    twice = table[table["SOPInstanceUID"].duplicated()]
    if len(twice):
        raise refuse(f"{len(twice)} instance(s) occur twice: {twice['SOPInstanceUID'].head(3).tolist()}")
    return table


def list_series(entry: dict, root: Path, shard_size: int) -> pd.DataFrame:
    """List the series of train.csv (table ``series``, paths absolute); a study stands for its patient.

    Raises:
        InputError: no folder, no or a bad train.csv, a study with two series, or a labelled series
            whose folder is not there.
    """
    folder = layout.existing_folder(entry, LAYOUT)
    labels = read_train_csv(folder / "train.csv")
    found = labels.groupby(["StudyInstanceUID", "SeriesInstanceUID"], sort=True).size().reset_index()
    found.columns = pd.Index(["study_id", "series_id", "num_instances"])
    table = found.assign(
        dataset=entry["name"],
        patient_id=found["study_id"],
        path=[
            str(folder / "train" / a / b) for a, b in zip(found["study_id"], found["series_id"], strict=True)
        ],
    )
    table = layout.select_patients(table, entry, folder)
    double = table[table["study_id"].duplicated()]
    absent = table[[not Path(path).is_dir() for path in table["path"]]]
    if len(double) or len(absent):
        rows = (absent if len(absent) else double)["study_id"].head(5).tolist()
        raise InputError(
            f"{len(absent)} labelled series have no folder, {len(double)} studies have two series: {rows}",
            where=folder / "train",
            expected=LAYOUT,
            remedy=f"complete the folder, or name the studies you have in `patients` of {entry['name']}",
        )
    return layout.assign_shards(table, shard_size)


def obtain(entry: dict, root: Path, series_rows: pd.DataFrame, progress: Callable[[int], object]) -> None:
    """Nothing to fetch: check that the listed series lie in the user's folder with all instances.

    Raises:
        InputError: a series is gone or lacks instances that train.csv names.
    """
    for row in series_rows.to_dict("records"):
        if not layout.is_whole(root, row["path"], row["num_instances"]):
            raise InputError(
                f"series {row['series_id']} is gone or lacks instances",
                where=row["path"],
                expected=f"{row['num_instances']} DICOM files, as train.csv names",
                remedy="complete the folder, or leave the study out through `patients`",
            )
        progress(1)


def read_labels(entry: dict, root: Path, series: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels of scans (table ``labels``) and slices (table ``slice_labels``) from train.csv.

    pe = not negative_exam_for_pe and not indeterminate. Excluded: ``indeterminate`` exams;
    ``contradictory_labels`` where a negative exam has positive slices, a positive one has none, an
    exam is both negative and indeterminate, or its slices differ in an exam's label; ``no_label``
    where train.csv does not name the study.

    Raises:
        InputError: train.csv is missing or bad.
    """
    folder = Path(entry["folder"]) if entry.get("folder") else root
    labels = read_train_csv(folder / "train.csv")
    labels = labels[labels["StudyInstanceUID"].isin(series["study_id"])]
    exams = labels.groupby("StudyInstanceUID").agg(
        slices=(SLICE_COLUMN, "sum"),
        negative=("negative_exam_for_pe", "max"),
        negative_min=("negative_exam_for_pe", "min"),
        indeterminate=("indeterminate", "max"),
        indeterminate_min=("indeterminate", "min"),
    )
    rows = []
    for row in series.to_dict("records"):
        label, exclusion = None, None
        if row["study_id"] not in exams.index:
            exclusion = "no_label"
        else:
            exam = exams.loc[row["study_id"]]
            differs = exam["negative"] != exam["negative_min"] or (
                exam["indeterminate"] != exam["indeterminate_min"]
            )
            if differs or (exam["negative"] and (exam["slices"] > 0 or exam["indeterminate"])):
                exclusion = "contradictory_labels"
            elif exam["indeterminate"]:
                exclusion = "indeterminate"
            elif not exam["negative"] and exam["slices"] == 0:
                exclusion = "contradictory_labels"
            else:
                label = int(not exam["negative"])
        rows.append(
            {
                "dataset": entry["name"],
                "patient_id": row["patient_id"],
                "study_id": row["study_id"],
                "label": label,
                "exclusion": exclusion,
                "baseline": None,
            }
        )
    positive = labels[labels[SLICE_COLUMN] == 1]
    slices = pd.DataFrame(
        {
            "study_id": positive["StudyInstanceUID"],
            "sop_instance_uid": positive["SOPInstanceUID"],
            "z_mm": None,
            "num_readers": 1,
        }
    )
    return pd.DataFrame(rows), slices


def manifest(entry: dict) -> dict:
    """Where the data come from, for provenance."""
    return {
        "version": "RSNA-STR pulmonary embolism CT, training part",
        "source": str(entry.get("folder")),
        "licence": "non-commercial use, no redistribution (RSNA's terms of the competition)",
        "citation": "Colak et al., The RSNA Pulmonary Embolism CT Dataset, Radiology: Artificial "
        "Intelligence 3(2):e200254, 2021",
        "stand_in": False,
        "description": "CT pulmonary angiograms labelled for pulmonary embolism; the user's own copy",
    }

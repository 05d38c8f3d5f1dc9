"""Synthetic pulmonary embolism scans in RSPECT's layout: train.csv, train/STUDY/SERIES/INSTANCE.dcm."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from chestct.download.labels import rspect_labels
from chestct.download.phantoms.anatomy import phantom_rng
from chestct.download.phantoms.dicom import PhantomIds, encode_slices, phantom_ids
from chestct.download.phantoms.headers import draw_header
from chestct.download.phantoms.rspect_patients import DIFFICULTY, RspectPlan, plan_patient, render
from chestct.download.phantoms.scanners import scanner_of
from chestct.download.phantoms.scans import list_scans, phantom_manifest, write_scans
from chestct.download.sources.study_folders import Listing
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from chestct.records import recorded_digest, write_recorded

#: Labels come back through the code that reads the real collection.
read_labels = rspect_labels.read_labels


def patient_ids(entry: dict, index: int) -> PhantomIds:
    """Identifiers of patient ``index``; they change with dataset, seed, scanner and difficulty."""
    return phantom_ids("PE-PHANTOM", entry, index, "rspect", DIFFICULTY)


def list_series(entry: dict, root: Path, shard_size: int, settings: TransferSettings) -> Listing:
    """List ``num_patients`` scans (table ``series``), a study and series each.

    Raises:
        InputError: a patient named in ``patients`` does not exist.
    """
    return list_scans(entry, shard_size, patient_ids, lambda ids: f"train/{ids.study_id}/{ids.series_id}")


def train_csv_rows(plan: RspectPlan, ids: PhantomIds, entry: dict, index: int) -> list[dict[str, object]]:
    """Rows of train.csv for one scan: all columns of the published table."""
    rng = phantom_rng(entry["name"], entry["seed"], index, "rspect-exam")
    positive = plan.label == 1
    sides = {embolus.side for embolus in plan.emboli}
    strained = positive and rng.random() < 0.3
    chronic = rng.random() if positive else 1.0
    exam: dict[str, object] = {
        **dict.fromkeys(rspect_labels.STUDY_COLUMNS, 0),
        "negative_exam_for_pe": int(not positive and not plan.indeterminate),
        "qa_contrast": int(plan.indeterminate),
        "flow_artifact": int(plan.mixed),
        "rv_lv_ratio_gte_1": int(strained),
        "rv_lv_ratio_lt_1": int(positive and not strained),
        "leftsided_pe": int("left" in sides),
        "rightsided_pe": int("right" in sides),
        "central_pe": int("central" in sides),
        "chronic_pe": int(chronic < 0.1),
        "acute_and_chronic_pe": int(0.1 <= chronic < 0.15),
        "true_filling_defect_not_pe": int(bool(plan.mimics)),
        "indeterminate": int(plan.indeterminate),
    }
    shown = plan.positive_slices()
    return [
        {
            **dict(zip(rspect_labels.ID_COLUMNS, (ids.study_id, ids.series_id, sop), strict=True)),
            rspect_labels.SLICE_COLUMN: int(k in shown),
            **exam,
        }
        for k, sop in enumerate(ids.sop_ids)
    ]


def write_train_csv(entry: dict, root: Path) -> None:
    """Write the label table of all patients, unless it is there already.

    Every shard's job may do so at once: they write the same text, each whole.
    """
    rows = []
    for index in range(entry["num_patients"]):
        plan = plan_patient(entry["name"], entry["seed"], index)
        rows += train_csv_rows(plan, patient_ids(entry, index), entry, index)
    # The published table is in the order of instances' names, not of slices.
    table = pd.DataFrame(rows, columns=list(rspect_labels.COLUMNS))
    text = table.sort_values(list(rspect_labels.ID_COLUMNS)).to_csv(index=False)
    path = root / "train.csv"
    known = recorded_digest(path) is not None and path.is_file()
    if not known or path.read_text(encoding="utf-8", errors="replace") != text:
        write_recorded(path, text)


def obtain(
    entry: dict, root: Path, series_rows: pd.DataFrame, settings: TransferSettings
) -> dict[str, Unobtainable]:
    """Write train.csv and the listed scans under ``root``, each study whole or not at all.

    Files are named by SOPInstanceUID, so only the headers tell where a slice lies.
    """

    def files(index: int, ids: PhantomIds) -> Iterator[tuple[str, bytes]]:
        name, seed, scanner = entry["name"], entry["seed"], scanner_of(entry)
        plan = plan_patient(name, seed, index)
        # Arteries are looked at, so everybody was given a contrast agent.
        fields = draw_header(name, seed, index, plan.label, contrast_share=1.0, scanner=scanner)
        slices = encode_slices(render(plan, name, seed, index, scanner), ids, fields)
        return zip((f"{sop}.dcm" for sop in ids.sop_ids), slices, strict=True)

    write_train_csv(entry, root)
    write_scans(entry, root, series_rows, patient_ids, files)
    return {}


def manifest(entry: dict) -> dict:
    """What these scans are, for provenance."""
    return phantom_manifest(
        entry,
        DIFFICULTY.version,
        "Synthetic enhanced arteries with and without filling defects, in the layout and label format of "
        "RSPECT",
    )

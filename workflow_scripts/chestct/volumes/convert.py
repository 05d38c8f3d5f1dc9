"""Conversion of scans: one at a time, and a shard of them with its tables."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import pandas as pd

from chestct.errors import InputError
from chestct.store import Volume, write_shard
from chestct.tables import column_types, write_table
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.scan import Report, Scan
from chestct.volumes.series import read_series

log = logging.getLogger(__name__)

#: Series identifiers of this form are DICOM UIDs and must match the files; others are stand-ins.
_UID = re.compile(r"\d+(\.\d+){4,}")


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What became of one scan.

    Attributes:
        ledger: the row of the ledger (``schemas/ledger.schema.yaml``).
        scan, volume: None where the scan is refused; ``volume`` holds the scan's voxels for the store.
    """

    ledger: dict[str, object]
    scan: Scan | None
    volume: Volume | None

    @property
    def accepted(self) -> bool:
        """Whether there is a volume, repaired or not."""
        return self.volume is not None


def convert_one(
    path: str | Path,
    *,
    dataset: str,
    size_px: int | None,
    patient_id: str | None = None,
    study_id: str | None = None,
    series_id: str | None = None,
    num_instances: int = 0,
) -> Conversion:
    """Convert one scan; a scan that can't be converted is refused in the ledger row, not raised.

    Args:
        path: folder of one DICOM series, or a volume file.
        dataset: name for the ledger.
        size_px: rows and columns after area averaging; None keeps those of the scan.
        patient_id, study_id, series_id: identifiers in the tables; None takes those in the files, else
            the name of the path. A ``series_id`` that is a DICOM UID must be that of the files.
        num_instances: DICOM files that there must be at least, 0 where unknown.
    """
    report = Report()
    expected = series_id if series_id is not None and _UID.fullmatch(series_id) else None
    scan: Scan | None = None
    refused: RefusedScan | None = None
    try:
        scan, _ = read_series(
            path, size_px=size_px, num_instances=num_instances, series_id=expected, report=report
        )
    except RefusedScan as refusal:
        refused = refusal
    name = Path(path).name
    patient_id = patient_id or report.patient_id or name
    study_id = study_id or report.study_id or name
    series_id = series_id or report.series_id or name
    row: dict[str, object] = {
        "dataset": dataset,
        "patient_id": patient_id,
        "study_id": study_id,
        "series_id": series_id,
        "num_files": report.num_files,
        "num_slices": report.num_slices,
    }
    if scan is None:
        assert refused is not None
        row |= {"status": "refused", "reason": refused.reason, "detail": refused.detail}
        return Conversion(ledger=row, scan=None, volume=None)
    remarks = [f"{reason}: {numbers}" for reason, numbers in report.repairs] + report.notes
    row |= {
        "status": "repaired" if report.repairs else "accepted",
        "reason": "; ".join(reason for reason, _ in report.repairs) or None,
        "detail": "; ".join(remarks) or None,
    }
    volume = Volume(
        patient_id=patient_id,
        study_id=study_id,
        series_id=series_id,
        hu=scan.hu,
        spacing_mm=scan.spacing_mm,
        z_mm=scan.z_mm,
    )
    return Conversion(ledger=row, scan=scan, volume=volume)


def _check_identifiers(series: pd.DataFrame, dataset: str) -> None:
    """Refuse tables whose scans could not be told apart in a shard."""
    ids = series["study_id"]
    bad = ids[ids.duplicated() | ids.str.contains("/", regex=False) | ids.isin([".", ""])]
    if len(bad):
        raise InputError(
            f"study_id given twice, empty, or with a slash: {bad.unique()[:5].tolist()}",
            where=f"series table of dataset '{dataset}'",
            expected="one series a study_id; identifiers without '/'",
            remedy="correct the dataset's table of scans",
        )


def convert_shard(
    series: pd.DataFrame,
    *,
    obtained: pd.DataFrame,
    root: str | Path,
    dataset: str,
    size_px: int | None,
    store_path: str | Path,
    index_path: str | Path,
    slices_path: str | Path,
    ledger_path: str | Path,
    num_threads: int = 1,
) -> None:
    """Convert the scans of one shard, one in memory at a time.

    A refused scan gets its row in the ledger and the shard goes on; a shard of refused scans only is
    valid and empty. Each output appears whole or not at all, the shard before its tables.

    Args:
        series: rows of the table ``series`` that belong to the shard.
        obtained: table ``shard``; a series that could not be had is refused as ``not_obtained``.
        root: folder that relative paths in ``series`` start from.
        dataset: name in the tables.
        size_px: rows and columns after area averaging; None keeps those of each scan.
        store_path: shard to write (``chestct.store``).
        index_path, slices_path, ledger_path: tables to write.
        num_threads: threads that resampling may use.

    Raises:
        InputError: the series table names one scan twice, or has impossible identifiers.
    """
    cv2.setNumThreads(num_threads)
    _check_identifiers(series, dataset)
    index: list[dict[str, object]] = []
    slices: list[pd.DataFrame] = []
    ledger: list[dict[str, object]] = []
    failed = obtained[obtained["status"] == "failed"]
    failures = dict(zip(failed["series_id"], failed["reason"] + ", " + failed["detail"], strict=True))

    def volumes() -> Iterator[Volume]:
        for row in series.to_dict("records"):
            if row["series_id"] in failures:
                ledger.append(_not_obtained(row, failures[row["series_id"]]))
                continue
            conversion = convert_one(
                Path(root) / row["path"],
                dataset=dataset,
                patient_id=row["patient_id"],
                study_id=row["study_id"],
                series_id=row["series_id"],
                size_px=size_px,
                num_instances=int(row["num_instances"]),
            )
            ledger.append(conversion.ledger)
            scan, volume = conversion.scan, conversion.volume
            if scan is None or volume is None:
                log.warning("%(path)s refused: %(reason)s, %(detail)s", row | conversion.ledger)
                continue
            index.append(_index_row(volume, dataset, store_path))
            slices.append(_slice_rows(volume.study_id, scan))
            del conversion, scan  # while the next scan is read, this one should be gone
            yield volume
            del volume

    write_shard(store_path, volumes())
    write_table(pd.DataFrame(index, columns=_columns("index")), index_path, "index")
    empty = pd.DataFrame(columns=_columns("slices"))
    write_table(pd.concat(slices) if slices else empty, slices_path, "slices")
    write_table(pd.DataFrame(ledger, columns=_columns("ledger")), ledger_path, "ledger")
    log.info("%d of %d scans converted", len(index), len(ledger))


def _not_obtained(row: dict, detail: str) -> dict[str, object]:
    names = ("dataset", "patient_id", "study_id", "series_id")
    outcome = {"status": "refused", "reason": "not_obtained", "detail": detail, "num_files": 0}
    return {name: row[name] for name in names} | outcome | {"num_slices": 0}


def _columns(name: str) -> list[str]:
    return list(column_types(name))


def _index_row(volume: Volume, dataset: str, store_path: str | Path) -> dict[str, object]:
    num_slices, rows, columns = volume.hu.shape
    return {
        "dataset": dataset,
        "patient_id": volume.patient_id,
        "study_id": volume.study_id,
        "series_id": volume.series_id,
        "store": str(store_path),
        "num_slices": num_slices,
        "rows": rows,
        "columns": columns,
        **dict(zip(("spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), volume.spacing_mm, strict=True)),
        "sha256": volume.sha256(),
    }


def _slice_rows(study_id: str, scan: Scan) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "study_id": study_id,
            "slice_index": range(len(scan.z_mm)),
            "z_mm": scan.z_mm,
            "sop_instance_uid": scan.sop_uids,
        }
    )

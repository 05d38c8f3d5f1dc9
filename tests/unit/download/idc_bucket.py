"""Three small series of LIDC-IDRI in a public bucket on this machine, and their index."""

from functools import cache
from io import BytesIO
from pathlib import Path

import pandas as pd
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from chestct.download.sources import lidc_idri
from chestct.download.transfer import s3
from chestct.download.transfer.retries import TransferSettings, Unobtainable
from tests.unit.download.file_server import SETTINGS, BucketServer

#: Making a client takes longer than most of these tests.
cached_client = cache(s3.make_client)
BUCKET = "idc-open-data"
NUM_FILES = 4
PATIENTS = ["LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0003"]


def dicom_file(patient: str, series: str, number: int) -> bytes:
    """A small DICOM file of some thousand bytes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{series}.{number}"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = pydicom.Dataset()
    image.file_meta = meta
    image.SOPClassUID, image.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    image.Modality, image.PatientID, image.SeriesInstanceUID = "CT", patient, series
    image.BitsAllocated = 8
    image.PixelData = bytes([number]) * (2900 + 100 * number)
    sink = BytesIO()
    image.save_as(sink, enforce_file_format=True)
    return sink.getvalue()


def prefix_of(number: int) -> str:
    return f"0000000{number}-aaaa-bbbb-cccc-000000000000/"


def contents(number: int) -> dict[str, bytes]:
    """Objects of the n-th patient's series by key."""
    names = [f"{prefix_of(number)}f{k}-0000.dcm" for k in range(NUM_FILES)]
    return {name: dicom_file(PATIENTS[number], f"1.2.{number}", k) for k, name in enumerate(names)}


def index_rows(rows: list[dict], path: Path) -> Path:
    """Write an index file in the form of idc-index-data's."""
    fixed = {"collection_id": "lidc_idri", "analysis_result_id": None, "license_short_name": "CC BY 3.0"}
    table = pd.DataFrame([{**fixed, "source_DOI": "10.1/x", "Modality": "CT", **row} for row in rows])
    table["analysis_result_id"] = table["analysis_result_id"].astype("string")
    table.to_parquet(path)
    return path


def index_row(number: int, **changes: object) -> dict:
    return {
        "PatientID": PATIENTS[number],
        "StudyInstanceUID": f"1.1.{number}",
        "SeriesInstanceUID": f"1.2.{number}",
        "instanceCount": NUM_FILES,
        "series_size_MB": sum(map(len, contents(number).values())) / 1e6,
        "series_aws_url": f"s3://{BUCKET}/{prefix_of(number)}*",
        **changes,
    }


def entry_of(bucket: BucketServer, **more: object) -> dict:
    return {"name": "lidc", "source": "lidc_idri", "from": "idc", "endpoint_url": bucket.url, **more}


def obtain(
    bucket: BucketServer, root: Path, settings: TransferSettings = SETTINGS, **more: object
) -> dict[str, Unobtainable]:
    entry = entry_of(bucket, **more)
    rows = lidc_idri.list_series(entry, root, 10, settings).series
    return lidc_idri.obtain(entry, root, rows, settings)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def expected_tree(*numbers: int) -> dict[str, bytes]:
    return {
        f"{PATIENTS[n]}/1.1.{n}/1.2.{n}/{key.rpartition('/')[2]}": content
        for n in numbers
        for key, content in contents(n).items()
    }


def key(number: int, k: int) -> str:
    return f"{prefix_of(number)}f{k}-0000.dcm"


def is_hidden(name: str) -> bool:
    return Path(name).name.startswith(".")

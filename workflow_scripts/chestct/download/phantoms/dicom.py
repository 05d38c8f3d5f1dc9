"""Phantom scans as real DICOM files: one header is built with pydicom, then patched for every slice.

Building a Dataset a slice costs more than the pixels; so the header is encoded once with placeholders
of fixed length, and only their bytes change.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import PYDICOM_ROOT_UID, UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from chestct.download.phantoms.grid import SHAPE, SPACING_MM
from chestct.download.phantoms.headers import VERSION, PhantomHeader
from chestct.download.phantoms.scanners import scanner_of

INTERCEPT = -1024
#: Position of the centre of the first voxel in patient coordinates, mm: (x, y, z).
ORIGIN_XYZ_MM = (-36.0, -40.0, -120.0)
_UID_LENGTH = 64  # of the UIDs that generate_uid makes from entropy


def phantom_uid(*entropy: object) -> str:
    """A UID under pydicom's root for generated UIDs, the same for the same words, 64 characters."""
    # generate_uid joins its sources without a mark between them: (1, 11) would equal (11, 1).
    words = "/".join(["chestct", *map(str, entropy)])
    uid = str(generate_uid(prefix=PYDICOM_ROOT_UID, entropy_srcs=[words]))
    assert len(uid) == _UID_LENGTH
    return uid


def slice_z_mm(index: int) -> float:
    """Position of slice ``index`` (feet to head) in patient coordinates, mm."""
    return ORIGIN_XYZ_MM[2] + index * SPACING_MM[0]


@dataclass(frozen=True, kw_only=True)
class PhantomIds:
    """The identifiers of one phantom scan.

    Attributes:
        patient_id: at most 24 characters.
        study_id, series_id: DICOM UIDs.
        sop_ids: by slice, feet to head.
    """

    patient_id: str
    study_id: str
    series_id: str
    sop_ids: tuple[str, ...]


def phantom_ids(prefix: str, entry: dict, index: int, source: str, difficulty: object) -> PhantomIds:
    """Identifiers of the scan of patient ``index``.

    They change with whatever changes the patient or the files: source, dataset, seed, scanner, difficulty,
    version of the headers. So the patients of two phantom datasets are different people.
    """
    drawn = (source, entry["name"], entry["seed"], scanner_of(entry))
    entropy = (*drawn, difficulty, index, "headers", VERSION)
    of_dataset = hashlib.sha256("/".join(map(str, drawn)).encode()).hexdigest()[:6]
    return PhantomIds(
        patient_id=f"{prefix}-{of_dataset}-{index:05d}",
        study_id=phantom_uid("study", *entropy),
        series_id=phantom_uid("series", *entropy),
        sop_ids=tuple(phantom_uid("instance", *entropy, k) for k in range(SHAPE[0])),
    )


_PLACEHOLDERS = {
    "sop": b"1." + b"1" * 62,
    "study": b"1." + b"2" * 62,
    "series": b"1." + b"3" * 62,
    "frame": b"1." + b"4" * 62,
    "patient": b"@" * 24,
    "name": b"#" * 24,
    "z": b"55555.55",
    "location": b"66666.66",
    "instance": b"7777",
    "manufacturer": b"A" * 16,
    "scanner_model": b"B" * 16,
    "kernel": b"C" * 16,
    "contrast_agent": b"D" * 16,
    "thickness": b"88888.88",
    "age": b"999Y",
    "sex": b"QQ",
}


@cache
def _header() -> tuple[bytes, tuple[tuple[int, int, str], ...]]:
    """Encoded header up to the pixels, and (start, stop, placeholder) in order of position."""
    text = {key: value.decode() for key, value in _PLACEHOLDERS.items()}
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(text["sop"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    scan = Dataset()
    scan.file_meta = meta
    scan.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    scan.SOPClassUID = CTImageStorage
    scan.SOPInstanceUID = UID(text["sop"])
    scan.StudyDate = scan.SeriesDate = "20000101"
    scan.StudyTime = ""
    scan.AccessionNumber = ""
    scan.Modality = "CT"
    scan.Manufacturer = text["manufacturer"]
    scan.ReferringPhysicianName = ""
    scan.ManufacturerModelName = text["scanner_model"]
    scan.SeriesDescription = "synthetic phantom, not a patient"
    scan.PatientName = text["name"]
    scan.PatientID = text["patient"]
    scan.PatientBirthDate = ""
    scan.PatientSex = text["sex"]
    scan.PatientAge = text["age"]
    scan.BodyPartExamined = "CHEST"
    scan.ContrastBolusAgent = text["contrast_agent"]
    scan.SliceThickness = text["thickness"]
    scan.KVP = "120"
    scan.ConvolutionKernel = text["kernel"]
    scan.PatientPosition = "HFS"
    scan.StudyInstanceUID = UID(text["study"])
    scan.SeriesInstanceUID = UID(text["series"])
    scan.StudyID = "1"
    scan.SeriesNumber = 1
    scan.InstanceNumber = text["instance"]
    scan.ImagePositionPatient = [f"{ORIGIN_XYZ_MM[0]}", f"{ORIGIN_XYZ_MM[1]}", text["z"]]
    scan.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    scan.FrameOfReferenceUID = UID(text["frame"])
    scan.SliceLocation = text["location"]
    scan.SamplesPerPixel = 1
    scan.PhotometricInterpretation = "MONOCHROME2"
    scan.Rows, scan.Columns = SHAPE[1:]
    scan.PixelSpacing = list(SPACING_MM[1:])
    scan.BitsAllocated = scan.BitsStored = 16
    scan.HighBit = 15
    scan.PixelRepresentation = 0
    scan.WindowCenter, scan.WindowWidth = -600, 1500
    scan.RescaleIntercept, scan.RescaleSlope = INTERCEPT, 1
    scan.RescaleType = "HU"
    scan.PixelData = bytes(2 * SHAPE[1] * SHAPE[2])
    buffer = BytesIO()
    dcmwrite(buffer, scan, enforce_file_format=True)
    header = buffer.getvalue()[: -2 * SHAPE[1] * SHAPE[2]]
    places = []
    for key, value in _PLACEHOLDERS.items():
        start = header.find(value)
        assert start >= 0, key
        while start >= 0:
            places.append((start, start + len(value), key))
            start = header.find(value, start + 1)
    return header, tuple(sorted(places))


def encode_slices(hu: np.ndarray, ids: PhantomIds, fields: PhantomHeader) -> list[bytes]:
    """Encode a volume as DICOM files, one a slice, feet to head.

    Args:
        hu: int16, shape SHAPE, at least INTERCEPT.
        ids: identifiers of the scan.
        fields: what the headers say of patient and scanner.
    """
    assert hu.shape == SHAPE and hu.min() >= INTERCEPT
    header, places = _header()
    stored = (hu - np.int16(INTERCEPT)).astype("<u2")
    frame = phantom_uid("frame", ids.study_id)
    files = []
    for index, sop in enumerate(ids.sop_ids):
        z = f"{slice_z_mm(index):8.2f}"
        values = {
            "sop": sop,
            "study": ids.study_id,
            "series": ids.series_id,
            "frame": frame,
            "patient": f"{ids.patient_id:<24}",
            "name": f"{ids.patient_id:<24}",
            "z": z,
            "location": z,
            # Scanners count from the head here, so that InstanceNumber does not give z either.
            "instance": f"{SHAPE[0] - index:<4}",
            "manufacturer": f"{fields.manufacturer:<16}",
            "scanner_model": f"{fields.scanner_model:<16}",
            "kernel": f"{fields.kernel:<16}",
            "contrast_agent": f"{fields.contrast_agent:<16}",
            "thickness": f"{fields.slice_thickness_mm:8.2f}",
            "age": f"{fields.age:<4}",
            "sex": f"{fields.sex:<2}",
        }
        parts, at = [], 0
        for start, stop, key in places:
            value = values[key].encode("ascii")
            assert len(value) == stop - start, key
            parts += [header[at:start], value]
            at = stop
        files.append(b"".join([*parts, header[at:], stored[index].tobytes()]))
    return files

"""A small writer of DICOM series for tests: every header field can be bent, a slice at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, RLELossless, generate_uid

from chestct.volumes.convert_scan import read_series
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.scan import Scan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Edit = Callable[[int, Dataset], None]


def phantom(shape: Sequence[int] = (6, 12, 16), *, seed: int = 0) -> np.ndarray:
    """HU of a body in air, int16 (z, y, x), different in every voxel's surroundings."""
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 1500, shape)
    hu[:, :2] = -1024
    return hu.astype(np.int16)


def make_slice(
    stored: np.ndarray,
    *,
    position: Sequence[float],
    orientation: Sequence[float] = AXIAL,
    spacing: Sequence[float] = (0.75, 0.75),
    slope: float = 1.0,
    intercept: float = 0.0,
    instance: int = 1,
    series: str = "1.2.826.0.1.3680043.8.498.7.1",
    syntax: str = ExplicitVRLittleEndian,
) -> Dataset:
    """One CT slice of stored 16-bit integers (rows, columns)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(instance), str(position)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientID = "patient-007"
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.7"
    dataset.SeriesInstanceUID = series
    dataset.FrameOfReferenceUID = f"{dataset.StudyInstanceUID}.2"
    dataset.InstanceNumber = instance
    dataset.ImagePositionPatient = [f"{value:.6g}" for value in position]
    dataset.ImageOrientationPatient = [f"{value:.6g}" for value in orientation]
    dataset.PixelSpacing = [f"{value:.6g}" for value in spacing]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.RescaleSlope, dataset.RescaleIntercept = f"{slope:.8g}", f"{intercept:.8g}"
    order = ">" if syntax == "1.2.840.10008.1.2.2" else "<"
    content = stored.astype(stored.dtype.newbyteorder(order)).tobytes()
    dataset["PixelData"] = DataElement("PixelData", "OW", content)
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    return dataset


def compress(dataset: Dataset, frame: bytes, syntax: str, *, bits: int, fragments: int = 1) -> None:
    """Replace a slice's pixels by a compressed frame of values of so many bits."""
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.BitsAllocated = 8 if bits <= 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset["PixelData"] = DataElement("PixelData", "OB", encapsulate([frame], fragments_per_frame=fragments))
    dataset["PixelData"].is_undefined_length = True


def compress_with_gdcm(dataset: Dataset, compressor: str, scratch: Path) -> None:
    """Replace a slice's pixels by a frame that GDCM compresses without loss (JPEG or JPEG2000)."""
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(scratch / "frame.dcm"))
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(dataset.pixel_array[None]))
    compressed = pydicom.dcmread(scratch / "frame.dcm")
    dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
    dataset["PixelData"] = compressed["PixelData"]


def write_series(
    folder: Path,
    stored: np.ndarray,
    *,
    edit: Edit | None = None,
    order: Sequence[int] | None = None,
    origin: Sequence[float] = (-100.0, -80.0, -300.0),
    step: Sequence[float] = (0.0, 0.0, 2.5),
    z_offsets: Sequence[float] | None = None,
    slopes: Sequence[float] | None = None,
    intercepts: Sequence[float] | None = None,
    **header: object,
) -> Path:
    """Write one file a slice of ``stored`` (n, rows, columns); slice i lies at origin + i * step.

    Args:
        edit: changes dataset i before it is written.
        order: file name and instance number of slice i; default i.
        z_offsets: added to the z of slice i.
        slopes, intercepts: by slice; default 1 and 0.
        header: further arguments of ``make_slice``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for i, plane in enumerate(stored):
        position = [o + i * s for o, s in zip(origin, step, strict=True)]
        position[2] += z_offsets[i] if z_offsets is not None else 0.0
        name = order[i] if order is not None else i
        dataset = make_slice(
            plane,
            position=position,
            instance=name + 1,
            slope=slopes[i] if slopes is not None else 1.0,
            intercept=intercepts[i] if intercepts is not None else 0.0,
            **header,  # type: ignore[arg-type]
        )
        if edit is not None:
            edit(i, dataset)
        dataset.save_as(folder / f"{name:03d}.dcm", enforce_file_format=True)
    return folder


def setting(keyword: str, value: object, *, only: int | None = None) -> Edit:
    """An edit that sets one attribute, in one slice or in all."""

    def edit(i: int, dataset: Dataset) -> None:
        if only is None or i == only:
            setattr(dataset, keyword, value)

    return edit


def refusal(path: Path, **arguments: object) -> RefusedScan:
    """Why a scan is refused, as it must be."""
    with pytest.raises(RefusedScan) as caught:
        read_series(path, **arguments)  # type: ignore[arg-type]
    return caught.value


def property_test(num_examples: int) -> settings:
    """Settings of a property test that writes a folder of files an example."""
    return settings(
        max_examples=num_examples,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],  # shrinking a folder of files takes minutes
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


#: Directions of increasing column and of increasing row: the eight axial orientations.
DIRECTIONS = [
    (x, y) if not swap else (y, x)
    for swap in (False, True)
    for x in ((1, 0, 0), (-1, 0, 0))
    for y in ((0, 1, 0), (0, -1, 0))
]


def assert_equals_reference(folder: Path, scan: Scan) -> None:
    """Voxels, spacing and origin equal those of SimpleITK's own reader, after the clip at -1024."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = sitk.DICOMOrient(reader.Execute(), "LPS")
    reference = np.rint(np.maximum(sitk.GetArrayFromImage(image), -1024))
    assert scan.hu.dtype == np.int16
    np.testing.assert_array_equal(scan.hu, reference)
    np.testing.assert_allclose(scan.spacing_mm[::-1], image.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(scan.origin_mm, image.GetOrigin(), atol=1e-4)


#: Changes of a file for ``edited_bytes``: a place within it, bytes to remove, bytes to insert.
EDITS = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 12), st.binary(max_size=12)),
    min_size=1,
    max_size=4,
)


def edited_bytes(content: bytes, edits: list[tuple[float, int, bytes]], keep_length: bool) -> bytearray:
    """The bytes of a file, changed behind the preamble; inserted bytes replace others to keep the length."""
    changed = bytearray(content)
    for place, removed, inserted in edits:
        at = 128 + int(place * (len(changed) - 128))
        changed[at : at + (len(inserted) if keep_length else removed)] = inserted
    return changed

"""One scan as the volumes step holds it between reading and storing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from chestct.intensity import HU
from chestct.volumes.acquisition import Acquisition
from chestct.volumes.refusals import RefusedScan
from chestct.volumes.slice_header import SliceHeader


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A volume with its place in the patient.

    Attributes:
        hu: int16, shape (z, y, x): feet to head, front to back, the patient's right to left.
        spacing_mm: (z, y, x).
        origin_mm: centre of voxel (0, 0, 0) in DICOM's patient coordinates (x, y, z).
        z_mm: position of every slice, shape (z,); for DICOM the z of ImagePositionPatient.
        sop_uids: SOPInstanceUID of every slice; None for volume files and where it is absent.
        acquisition: how the scan was acquired, as far as its files say.
        intensity: what the values are, hu or display (``chestct.intensity``).
        content: digest of the voxels before resampling along z (``duplicates.content_digest``).
        copies: SOPInstanceUID of every identical image that was dropped -> index of the slice that stayed.
    """

    hu: np.ndarray
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float]
    z_mm: np.ndarray
    sop_uids: tuple[str | None, ...]
    acquisition: Acquisition
    intensity: str = HU
    content: str | None = None
    copies: Mapping[str, int] = field(default_factory=dict)


@dataclass(kw_only=True)
class Report:
    """What was found while reading a scan.

    Attributes:
        num_files: DICOM files in the folder, or 1.
        num_slices: slices of the series, after repairs.
        patient_id, study_id, series_id: from the file; empty where it names none.
        burned_in: whether text is burned into the pixels, as all headers say (``pictures.of_headers``).
        headers: of all DICOM files that were read.
        repairs: (reason, numbers), reasons listed in ``refusals.REPAIRS``.
        notes: remarks that change nothing.
        accept: reasons among ``refusals.ACCEPTABLE`` that the user accepts by hand.
    """

    num_files: int = 0
    num_slices: int = 0
    patient_id: str = ""
    study_id: str = ""
    series_id: str = ""
    burned_in: str | None = None
    headers: Sequence[SliceHeader] = ()
    repairs: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    accept: frozenset[str] = frozenset()

    def refuse(self, reason: str, detail: str) -> None:
        """Refuse the scan, unless the user accepts the reason by hand: then it is a repair like others.

        Raises:
            RefusedScan: the reason is not accepted.
        """
        if reason not in self.accept:
            raise RefusedScan(reason, detail)
        self.repairs.append(("accepted_by_hand", f"{reason}, {detail}"))

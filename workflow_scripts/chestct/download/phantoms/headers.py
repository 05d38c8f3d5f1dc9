"""What the headers of a phantom scan say of patient and scanner: invented, plausible, varied.

Pixels do not depend on it. Scans with a finding are of slightly older patients and a little more often of one
manufacturer, as real ones may be: the metadata alone tell the label barely better than chance.
"""

from dataclasses import dataclass

from chestct.download.phantoms.anatomy import SPACING_MM, phantom_rng

#: Raise it when ``draw_header`` changes, so that UIDs change with the headers and scans are written anew.
VERSION = 1
#: Invented manufacturers with their models and kernels.
_SCANNERS = {
    "NORTH PHANTOMS": (("N 16", "N 64"), ("SOFT", "SHARP")),
    "SOUTH PHANTOMS": (("S ONE", "S TWO"), ("P30", "P50")),
    "EAST PHANTOMS": (("E 8",), ("MEDIUM",)),
}
#: Shares of the manufacturers by label.
_SHARES = {0: (0.5, 0.3, 0.2), 1: (0.42, 0.38, 0.2)}
_THICKNESS_MM = (SPACING_MM[0], 2.0, 2.5)
_AGE_YEARS, _AGE_SD, _OLDER_YEARS = 60.0, 13.0, 2.5
#: Share of scans whose header has no age, as in archives that remove it.
_NO_AGE = 0.05


@dataclass(frozen=True, kw_only=True)
class PhantomHeader:
    """Header fields of a phantom scan; an empty text is written as an empty element.

    Attributes:
        manufacturer, scanner_model, kernel, contrast_agent: text of at most 16 characters.
        slice_thickness_mm: what the header says; slices lie SPACING_MM[0] apart.
        age: DICOM's age, e.g. 063Y, or empty.
        sex: F or M.
    """

    manufacturer: str
    scanner_model: str
    kernel: str
    slice_thickness_mm: float
    contrast_agent: str
    age: str
    sex: str


def draw_header(dataset: str, seed: int, index: int, label: int, *, contrast_share: float) -> PhantomHeader:
    """Header of patient ``index``, the same whenever it is asked again.

    Args:
        dataset, seed, index: of the patient.
        label: 1 where the scan has the finding.
        contrast_share: share of scans with a contrast agent.
    """
    rng = phantom_rng(dataset, seed, index, f"header-{VERSION}")
    manufacturer = list(_SCANNERS)[int(rng.choice(len(_SCANNERS), p=_SHARES[label]))]
    models, kernels = _SCANNERS[manufacturer]
    years = int(min(97, max(18, rng.normal(_AGE_YEARS + _OLDER_YEARS * label, _AGE_SD))))
    return PhantomHeader(
        manufacturer=manufacturer,
        scanner_model=models[int(rng.integers(len(models)))],
        kernel=kernels[int(rng.integers(len(kernels)))],
        slice_thickness_mm=_THICKNESS_MM[int(rng.choice(len(_THICKNESS_MM), p=(0.5, 0.3, 0.2)))],
        contrast_agent="IOPROMIDE" if rng.random() < contrast_share else "",
        age="" if rng.random() < _NO_AGE else f"{years:03d}Y",
        sex="FM"[int(rng.random() < 0.5)],
    )

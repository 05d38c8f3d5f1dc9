"""What the headers of a phantom scan say of patient and scanner: invented, plausible, varied.

Pixels do not depend on it. Scans with a finding are of slightly older patients and a little more often of one
manufacturer, as real ones may be: the metadata alone tell the label barely better than chance.
"""

from dataclasses import dataclass

import numpy as np

from chestct.download.phantoms.anatomy import phantom_rng
from chestct.download.phantoms.scanners import SCANNERS

#: Raise it when ``draw_header`` changes, so that UIDs change with the headers and scans are written anew.
VERSION = 1
#: Shares of a scanner's manufacturers, where it has three, by label.
_SHARES = {0: (0.5, 0.3, 0.2), 1: (0.42, 0.38, 0.2)}
#: Shares of a scanner's slice thicknesses, where it has three.
_THICKNESS_SHARES = (0.5, 0.3, 0.2)
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


def draw_header(
    dataset: str, seed: int, index: int, label: int, *, contrast_share: float, scanner: str = "a"
) -> PhantomHeader:
    """Header of patient ``index``, the same whenever it is asked again.

    Args:
        dataset, seed, index: of the patient.
        label: 1 where the scan has the finding.
        contrast_share: share of scans with a contrast agent.
        scanner: key of ``SCANNERS``.
    """
    rng = phantom_rng(dataset, seed, index, f"header-{VERSION}")
    makers, thickness_mm = SCANNERS[scanner].makers, SCANNERS[scanner].thickness_mm
    manufacturer = list(makers)[_drawn(rng, len(makers), _SHARES[label])]
    models, kernels = makers[manufacturer]
    years = int(min(97, max(18, rng.normal(_AGE_YEARS + _OLDER_YEARS * label, _AGE_SD))))
    return PhantomHeader(
        manufacturer=manufacturer,
        scanner_model=models[int(rng.integers(len(models)))],
        kernel=kernels[int(rng.integers(len(kernels)))],
        slice_thickness_mm=thickness_mm[_drawn(rng, len(thickness_mm), _THICKNESS_SHARES)],
        contrast_agent="IOPROMIDE" if rng.random() < contrast_share else "",
        age="" if rng.random() < _NO_AGE else f"{years:03d}Y",
        sex="FM"[int(rng.random() < 0.5)],
    )


def _drawn(rng: np.random.Generator, number: int, shares: tuple[float, ...]) -> int:
    """A place, by these shares if there are several; scanners have one or three of a kind."""
    return int(rng.choice(number, p=shares if number > 1 else None))

"""The scanners that phantom scans are taken with: the same anatomy, other images, other headers.

Scanner ``b`` stands for another hospital: thicker slices, that overlap, more noise and less contrast.
"""

from dataclasses import dataclass

import numpy as np

from chestct.download.phantoms.anatomy import SOFT_TISSUE_HU
from chestct.download.phantoms.grid import SPACING_MM


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """How a scanner's images differ from the drawn anatomy.

    Attributes:
        noise: factor on the noise of the phantom.
        contrast: factor on the distance of every voxel's radiodensity from that of soft tissue.
        thick: slices average over twice the spacing between them.
        makers: manufacturers of the headers with their models and kernels.
        thickness_mm: what the headers say of the slice thickness, one of these a scan.
    """

    noise: float = 1.0
    contrast: float = 1.0
    thick: bool = False
    makers: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]
    thickness_mm: tuple[float, ...]

    def image(self, volume: np.ndarray) -> np.ndarray:
        """What the scanner makes of drawn anatomy before blur and noise: float32 HU, shape (z, y, x)."""
        if self.contrast != 1.0:
            volume = np.float32(SOFT_TISSUE_HU) + np.float32(self.contrast) * (volume - SOFT_TISSUE_HU)
        if self.thick:
            # A slice of twice the spacing holds half of each neighbour; the outermost repeat themselves.
            padded = np.concatenate([volume[:1], volume, volume[-1:]])
            volume = (padded[:-2] + 2 * volume + padded[2:]) / np.float32(4)
        return volume


SCANNERS = {
    "a": Scanner(
        makers={
            "NORTH PHANTOMS": (("N 16", "N 64"), ("SOFT", "SHARP")),
            "SOUTH PHANTOMS": (("S ONE", "S TWO"), ("P30", "P50")),
            "EAST PHANTOMS": (("E 8",), ("MEDIUM",)),
        },
        thickness_mm=(SPACING_MM[0], 2.0, 2.5),
    ),
    "b": Scanner(
        noise=1.6,
        contrast=0.85,
        thick=True,
        makers={"WEST PHANTOMS": (("W 4",), ("HARD",))},
        thickness_mm=(2 * SPACING_MM[0],),
    ),
}


def scanner_of(entry: dict) -> str:
    """Name of the scanner that a phantom dataset's scans are taken with."""
    return str(entry.get("scanner", "a"))

"""What a LIDC-like phantom patient holds: vessels, nodules and who of four readers marked them.

A nodule has the radiodensity of a vessel and the cross-section of a vessel that runs along z: a
single slice does not tell them apart, the neighbouring slices do.
"""

from dataclasses import dataclass

import numpy as np

from chestct.download.phantoms.anatomy import (
    Tube,
    draw_balls,
    draw_tubes,
    finish,
    lung_with_airway,
    path_through,
    phantom_rng,
    wandering_path,
)
from chestct.download.phantoms.grid import EXTENT_MM, SPACING_MM
from chestct.download.phantoms.scanners import SCANNERS

NUM_READERS = 4


@dataclass(frozen=True, kw_only=True)
class LidcDifficulty:
    """What makes the LIDC-like phantom hard; tuned so that a good model reaches 0.80 to 0.98 AUROC.

    Pairs are the bounds of uniform distributions.

    Attributes:
        version: raise it when the drawing changes, so that UIDs change with the pixels.
        prevalence: share of scans with a nodule.
        nodules: nodules in a positive scan, where there is room.
        nodule_radius_mm: in-plane radius of a nodule.
        nodule_elongation: radius along z over the in-plane radius.
        wide_trunks: vessels as wide as nodules that run along z through the whole volume.
        trunks: narrower vessels along z.
        trunk_radius_mm: radius of the narrower ones.
        trunk_tilt: in-plane displacement of a trunk for 1 mm along z.
        branches: vessels in any direction, some of them leaving a trunk.
        branch_radius_mm: their radius at the root; tips are a third of it.
        disputed_share: share of scans with one more nodule that only one or two readers marked; nothing in
            the image tells (a ceiling that no model passes, as readers' disagreement sets in real data).
        miss_share: share of consensus nodules that one of the four readers missed.
        point_share: share of scans with point marks (nodules below 3 mm).
        noise_hu: standard deviation of the noise.
    """

    version: int = 1
    prevalence: float = 0.5
    nodules: tuple[int, int] = (2, 4)
    nodule_radius_mm: tuple[float, float] = (4.5, 6.0)
    nodule_elongation: tuple[float, float] = (0.9, 1.2)
    wide_trunks: tuple[int, int] = (1, 2)
    trunks: tuple[int, int] = (1, 2)
    trunk_radius_mm: tuple[float, float] = (1.2, 2.4)
    trunk_tilt: float = 0.2
    branches: tuple[int, int] = (1, 3)
    branch_radius_mm: tuple[float, float] = (1.0, 2.2)
    disputed_share: float = 0.12
    miss_share: float = 0.25
    point_share: float = 0.3
    noise_hu: float = 25.0


DIFFICULTY = LidcDifficulty()
VESSEL_HU = 40.0
#: Findings stay this far from the border in plane, so that a crop of 32 of 40 pixels keeps them.
MARGIN_MM = 20.0


@dataclass(frozen=True, kw_only=True)
class Nodule:
    """A planted nodule.

    Attributes:
        balls_mm: lobes, shape (n, 4): z, y, x, radius.
        centre_mm, radii_mm: the ellipsoid that the lobes fill, (z, y, x).
        marks: by reader (0 to 3): (scale, shift y, shift x in mm) of the reader's outline.
    """

    balls_mm: np.ndarray
    centre_mm: np.ndarray
    radii_mm: np.ndarray
    marks: dict[int, tuple[float, float, float]]

    def slices(self, reader: int) -> dict[int, tuple[float, float, float, float]]:
        """Slices that a reader outlined, as ellipses: slice -> (y, x, radius y, radius x) in mm."""
        scale, shift_y, shift_x = self.marks[reader]
        outlined = {}
        first = int(np.ceil((self.centre_mm[0] - self.radii_mm[0]) / SPACING_MM[0]))
        last = int(np.floor((self.centre_mm[0] + self.radii_mm[0]) / SPACING_MM[0]))
        for index in range(first, last + 1):
            offset = (index * SPACING_MM[0] - self.centre_mm[0]) / (self.radii_mm[0] * scale)
            if abs(offset) < 0.95:
                shrink = scale * float(np.sqrt(1.0 - offset**2))
                outlined[index] = (
                    self.centre_mm[1] + shift_y,
                    self.centre_mm[2] + shift_x,
                    self.radii_mm[1] * shrink,
                    self.radii_mm[2] * shrink,
                )
        return outlined


@dataclass(frozen=True, kw_only=True)
class LidcPlan:
    """Everything planted in one patient.

    Attributes:
        tubes: vessels.
        nodules: all nodules of 3 mm and more, marked by one to four readers.
        points: point marks below 3 mm: (reader, slice, y px, x px).
    """

    tubes: list[Tube]
    nodules: list[Nodule]
    points: list[tuple[int, int, int, int]]

    @property
    def label(self) -> int:
        """1 where at least three readers marked the same nodule."""
        return int(any(len(nodule.marks) >= 3 for nodule in self.nodules))


def _vessels(rng: np.random.Generator) -> list[Tube]:
    tubes = []
    wide = int(rng.integers(DIFFICULTY.wide_trunks[0], DIFFICULTY.wide_trunks[1] + 1))
    trunks = wide + int(rng.integers(DIFFICULTY.trunks[0], DIFFICULTY.trunks[1] + 1))
    branches = int(rng.integers(DIFFICULTY.branches[0], DIFFICULTY.branches[1] + 1))
    for which in range(trunks):
        point = np.array([rng.uniform(0, EXTENT_MM[0]), *rng.uniform(8.0, EXTENT_MM[1] - 8.0, 2)])
        tilt = rng.normal(0, DIFFICULTY.trunk_tilt, 2)
        path = path_through(rng, point, np.array([1.0, *tilt]), bend=0.15)
        radius = rng.uniform(*(DIFFICULTY.nodule_radius_mm if which < wide else DIFFICULTY.trunk_radius_mm))
        radii = np.linspace(radius, radius * rng.uniform(0.8, 1.0), len(path))
        if rng.random() < 0.5:
            radii = radii[::-1]
        tubes.append(Tube(points_mm=path, radii_mm=radii, hu=np.full(len(path), VESSEL_HU)))
    for _ in range(branches):
        root = rng.uniform(*DIFFICULTY.branch_radius_mm)
        if rng.random() < 0.6:
            trunk = tubes[int(rng.integers(trunks))]
            at = int(rng.integers(len(trunk.points_mm)))
            start, root = trunk.points_mm[at], min(root, 0.8 * float(trunk.radii_mm[at]))
        else:
            start = np.array([rng.uniform(0, extent) for extent in EXTENT_MM])
        direction = np.array([rng.normal(0, 0.5), *rng.normal(0, 1.0, 2)])
        path = wandering_path(rng, start, direction, rng.uniform(18, 40), bend=0.3)
        radii = np.linspace(root, root / 3, len(path))
        tubes.append(Tube(points_mm=path, radii_mm=radii, hu=np.full(len(path), VESSEL_HU)))
    return tubes


def _nodule(rng: np.random.Generator, readers: list[int], taken: list[Nodule]) -> list[Nodule]:
    """A lobulated ellipsoid away from those already placed; none where no room is left."""
    radius = rng.uniform(*DIFFICULTY.nodule_radius_mm)
    along_z = radius * rng.uniform(*DIFFICULTY.nodule_elongation)
    low = np.array([along_z + 1.0, MARGIN_MM, MARGIN_MM])
    high = np.array(EXTENT_MM) - low
    for _ in range(50):
        centre = rng.uniform(low, high)
        if all(np.linalg.norm(centre - other.centre_mm) > 14.0 for other in taken):
            break
    else:
        return []
    # A column of balls fills the ellipsoid; small lobes at its side make it irregular.
    heights = np.linspace(-1.0, 1.0, 7) * (along_z - 0.75 * radius)
    balls = [[centre[0] + h, centre[1], centre[2], radius * np.sqrt(1 - (h / along_z) ** 2)] for h in heights]
    for _ in range(int(rng.integers(1, 4))):
        side = rng.normal(size=3) * np.array([0.8, 1.0, 1.0])
        side *= 0.55 * radius / np.linalg.norm(side)
        balls.append([*(centre + side), radius * rng.uniform(0.55, 0.7)])
    marks = {
        reader: (float(rng.uniform(0.9, 1.1)), float(rng.normal(0, 0.3)), float(rng.normal(0, 0.3)))
        for reader in readers
    }
    radii_mm = np.array([along_z, radius, radius])
    return [Nodule(balls_mm=np.array(balls), centre_mm=centre, radii_mm=radii_mm, marks=marks)]


def plan_patient(dataset: str, seed: int, index: int) -> LidcPlan:
    """Decide what patient ``index`` holds; cheap, and the same whenever it is asked again."""
    rng = phantom_rng(dataset, seed, index, f"lidc-{DIFFICULTY.version}")
    tubes = _vessels(rng)
    nodules: list[Nodule] = []
    if rng.random() < DIFFICULTY.prevalence:
        for _ in range(int(rng.integers(DIFFICULTY.nodules[0], DIFFICULTY.nodules[1] + 1))):
            readers = list(range(NUM_READERS))
            if rng.random() < DIFFICULTY.miss_share:
                readers.pop(int(rng.integers(NUM_READERS)))
            nodules += _nodule(rng, readers, nodules)
    if rng.random() < DIFFICULTY.disputed_share:
        readers = sorted(rng.choice(NUM_READERS, int(rng.integers(1, 3)), replace=False).tolist())
        nodules += _nodule(rng, readers, nodules)
    points = []
    if rng.random() < DIFFICULTY.point_share:
        at = (int(rng.integers(2, 22)), int(rng.integers(20, 76)), int(rng.integers(20, 76)))
        for reader in rng.choice(NUM_READERS, int(rng.integers(1, 5)), replace=False):
            points.append((int(reader), *at))
    return LidcPlan(tubes=tubes, nodules=nodules, points=points)


def render(plan: LidcPlan, dataset: str, seed: int, index: int, scanner: str = "a") -> np.ndarray:
    """Draw a planned patient as a scanner (key of ``SCANNERS``) shows it: int16 HU, shape SHAPE."""
    rng = phantom_rng(dataset, seed, index, f"lidc-render-{DIFFICULTY.version}")
    volume = lung_with_airway(rng)
    draw_tubes(volume, plan.tubes)
    for nodule in plan.nodules:
        draw_balls(volume, nodule.balls_mm[:, :3], nodule.balls_mm[:, 3], VESSEL_HU)
    shown = SCANNERS[scanner]
    return finish(shown.image(volume), rng, noise_hu=shown.noise * DIFFICULTY.noise_hu)

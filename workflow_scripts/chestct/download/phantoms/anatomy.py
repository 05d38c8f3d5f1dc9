"""Drawing of synthetic chest anatomy that both phantom sources share.

Volumes are float32 HU, shape (z, y, x), z ascending from feet to head. Positions are in mm from the
centre of voxel (0, 0, 0), in the order (z, y, x).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from chestct.download.phantoms.grid import EXTENT_MM, SHAPE, SPACING_MM

LUNG_HU = -850.0
SOFT_TISSUE_HU = 40.0
AIR_HU = -1000.0
#: Width of a drawn edge, the partial volume of a voxel, mm; and blur of the image in plane, pixels.
SOFT_MM = 0.9
BLUR_PX = 0.7


@dataclass(frozen=True, kw_only=True)
class Tube:
    """A vessel or airway: balls along a path.

    Attributes:
        points_mm: shape (n, 3), about 1 mm apart.
        radii_mm: shape (n,).
        hu: shape (n,), radiodensity along the path.
    """

    points_mm: np.ndarray
    radii_mm: np.ndarray
    hu: np.ndarray


def phantom_rng(dataset: str, seed: int, index: int, purpose: str) -> np.random.Generator:
    """A generator that depends on nothing but its arguments, for one patient and purpose."""
    digest = hashlib.sha256(f"{dataset}/{seed}/{index}/{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def wandering_path(
    rng: np.random.Generator,
    start_mm: np.ndarray,
    direction: np.ndarray,
    length_mm: float,
    *,
    bend: float,
    step_mm: float = 1.0,
) -> np.ndarray:
    """A smooth random path, shape (n, 3), ``step_mm`` apart.

    Args:
        rng: source of randomness.
        start_mm: first point, (z, y, x).
        direction: initial direction, any length.
        length_mm: length of the path.
        bend: standard deviation of the direction's change over 10 mm (0: straight).
        step_mm: distance between points.
    """
    num_steps = max(2, int(length_mm / step_mm))
    direction = np.asarray(direction, dtype=float) / np.linalg.norm(direction)
    turns = rng.normal(0.0, bend * np.sqrt(step_mm / 10.0), (num_steps - 1, 3))
    directions = direction + np.vstack([np.zeros(3), np.cumsum(turns, axis=0)])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    steps = np.vstack([np.zeros(3), directions[:-1] * step_mm])
    return np.asarray(start_mm, dtype=float) + np.cumsum(steps, axis=0)


def path_through(
    rng: np.random.Generator, point_mm: np.ndarray, direction: np.ndarray, *, bend: float
) -> np.ndarray:
    """A path that crosses the whole volume along z and passes through ``point_mm``.

    ``direction`` needs a z component; the path runs from below the first to above the last slice.
    """
    direction = np.asarray(direction, dtype=float)
    stretch = np.linalg.norm(direction) / abs(direction[0])
    up = wandering_path(
        rng, point_mm, direction, (EXTENT_MM[0] - point_mm[0] + 4.0) * stretch * 1.1, bend=bend
    )
    down = wandering_path(rng, point_mm, -direction, (point_mm[0] + 4.0) * stretch * 1.1, bend=bend)
    return np.vstack([down[:0:-1], up])


def _stamp(target: np.ndarray, centre_mm: np.ndarray, radius_mm: float, hu: float, *, darken: bool) -> None:
    """Blend one ball into the volume; bright structures win over what is there, or dark ones do."""
    reach = radius_mm + SOFT_MM
    bounds = []
    for axis in range(3):
        low = int(np.ceil((centre_mm[axis] - reach) / SPACING_MM[axis]))
        high = int(np.floor((centre_mm[axis] + reach) / SPACING_MM[axis])) + 1
        low, high = max(low, 0), min(high, SHAPE[axis])
        if low >= high:
            return
        bounds.append((low, high))
    squares = [
        ((np.arange(low, high, dtype=np.float32) * SPACING_MM[axis] - np.float32(centre_mm[axis])) ** 2)
        for axis, (low, high) in enumerate(bounds)
    ]
    distance = np.sqrt(squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :])
    cover = np.clip((radius_mm + SOFT_MM / 2 - distance) / np.float32(SOFT_MM), 0.0, 1.0)
    box = target[tuple(slice(low, high) for low, high in bounds)]
    blended = box + cover * (np.float32(hu) - box)
    np.copyto(box, np.minimum(box, blended) if darken else np.maximum(box, blended))


def draw_balls(
    volume: np.ndarray,
    points_mm: np.ndarray,
    radii_mm: np.ndarray,
    hu: np.ndarray | float,
    *,
    darken: bool = False,
) -> None:
    """Draw balls with soft edges into a volume in place.

    Args:
        volume: float32 HU, shape SHAPE.
        points_mm: centres, shape (n, 3).
        radii_mm: shape (n,).
        hu: one value or one a ball.
        darken: only darken (filling defects, airways) instead of only brighten (vessels).
    """
    hus = np.broadcast_to(np.asarray(hu, dtype=np.float32), len(points_mm))
    for point, radius, value in zip(points_mm, radii_mm, hus, strict=True):
        _stamp(volume, point, float(radius), float(value), darken=darken)


def draw_tubes(volume: np.ndarray, tubes: Iterable[Tube], *, darken: bool = False) -> None:
    """Draw tubes into a volume in place; see ``draw_balls``."""
    for tube in tubes:
        # Balls that their neighbours cover but for a tenth of a millimetre are left out.
        few = slice(None, None, max(1, int(0.4 * tube.radii_mm.min())))
        draw_balls(volume, tube.points_mm[few], tube.radii_mm[few], tube.hu[few], darken=darken)


def _lung(rng: np.random.Generator) -> np.ndarray:
    """Lung with a strip of chest wall on one side and of mediastinum on the other, HU.

    Both strips lie at the border, where findings are never planted.
    """
    volume = np.full(SHAPE, LUNG_HU, dtype=np.float32)
    z = np.arange(SHAPE[0], dtype=np.float32)[:, None, None]
    y = np.arange(SHAPE[1], dtype=np.float32)[None, :, None]
    x = np.arange(SHAPE[2], dtype=np.float32)[None, None, :]
    phase = rng.uniform(0, 2 * np.pi, 2)
    wall = rng.uniform(4, 6) + 2 * np.sin(y / 22 + phase[0]) + rng.uniform(-0.1, 0.1) * z
    mediastinum = rng.uniform(4, 6) + 2 * np.sin(y / 15 + phase[1]) + rng.uniform(-0.1, 0.1) * z
    if rng.random() < 0.5:
        wall, mediastinum = mediastinum, wall
    cover = np.clip(wall - x, 0, 1) + np.clip(mediastinum - (SHAPE[2] - 1 - x), 0, 1)
    volume += np.clip(cover, 0, 1) * (SOFT_TISSUE_HU - LUNG_HU)
    return volume


def _airway(rng: np.random.Generator) -> tuple[Tube, Tube]:
    """A bronchus as (wall, lumen), to be drawn brightening and then darkening."""
    start = np.array([-2.0, *rng.uniform(12.0, EXTENT_MM[1] - 12.0, 2)])
    path = wandering_path(rng, start, np.array([1.0, *rng.normal(0, 0.5, 2)]), EXTENT_MM[0] * 1.3, bend=0.1)
    lumen = np.linspace(rng.uniform(1.4, 2.4), 1.0, len(path))
    wall = Tube(points_mm=path, radii_mm=lumen + 0.6, hu=np.full(len(path), -350.0))
    return wall, Tube(points_mm=path, radii_mm=lumen, hu=np.full(len(path), AIR_HU))


def lung_with_airway(rng: np.random.Generator) -> np.ndarray:
    """Lung and one bronchus, HU; what is drawn after it is not cut by the bronchus."""
    volume = _lung(rng)
    wall, lumen = _airway(rng)
    draw_tubes(volume, [wall])
    draw_tubes(volume, [lumen], darken=True)
    return volume


def finish(volume: np.ndarray, rng: np.random.Generator, *, noise_hu: float) -> np.ndarray:
    """Blur in plane, add slightly correlated noise, clip: int16 HU in [-1024, 3071]."""
    noise = gaussian_filter(rng.standard_normal(SHAPE, dtype=np.float32), (0.0, 0.6, 0.6), truncate=2.5)
    noise *= noise_hu / noise.std()
    blurred = gaussian_filter(volume, (0.0, BLUR_PX, BLUR_PX), truncate=2.5)
    return np.clip(np.rint(blurred + noise), -1024, 3071).astype(np.int16)

"""What a RSPECT-like phantom patient holds: enhanced arteries, veins beside them, and emboli.

An embolus is a dark core inside an enhanced artery over several slices. Negative scans have what
resembles it: veins that received no contrast agent and touch an artery, and contrast agent that mixes
incompletely over the whole lumen.
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


@dataclass(frozen=True, kw_only=True)
class RspectDifficulty:
    """What makes the RSPECT-like phantom hard; tuned so that a good model reaches 0.80 to 0.98 AUROC.

    Pairs are the bounds of uniform distributions.

    Attributes:
        version: raise it when the drawing changes, so that UIDs change with the pixels.
        prevalence: share of scans with an embolus.
        indeterminate_every: one scan in so many has too little contrast to tell.
        arteries: enhanced arteries through the whole volume.
        artery_radius_mm: their radius where they enter.
        enhancement_hu: their radiodensity.
        branches: arterial branches.
        veins: veins without contrast agent; about half of them touch an artery.
        emboli: emboli in a positive scan.
        embolus_length_mm: extent along z.
        embolus_fraction: radius of the dark core over that of the lumen.
        embolus_hu: radiodensity of the core.
        mimic_share: share of other scans with one filling defect that is no embolus; nothing in the
            image tells (a ceiling that no model passes, as readers' disagreement sets in real data).
        mixing_share: share of arteries with incompletely mixed contrast agent.
        mixing_drop_hu: how much darker such a stretch of artery is.
        noise_hu: standard deviation of the noise.
    """

    version: int = 1
    prevalence: float = 0.45
    indeterminate_every: int = 50
    arteries: tuple[int, int] = (2, 3)
    artery_radius_mm: tuple[float, float] = (4.5, 7.0)
    enhancement_hu: tuple[float, float] = (320.0, 380.0)
    branches: tuple[int, int] = (1, 2)
    veins: tuple[int, int] = (1, 1)
    emboli: tuple[int, int] = (2, 2)
    embolus_length_mm: tuple[float, float] = (22.0, 30.0)
    embolus_fraction: tuple[float, float] = (0.7, 0.85)
    embolus_hu: tuple[float, float] = (60.0, 90.0)
    mimic_share: float = 0.07
    mixing_share: float = 0.6
    mixing_drop_hu: tuple[float, float] = (80.0, 220.0)
    noise_hu: float = 25.0


DIFFICULTY = RspectDifficulty()
VEIN_HU = 45.0
#: Findings stay this far from the border in plane, so that a crop of 32 of 40 pixels keeps them.
MARGIN_MM = 20.0
#: A slice shows an embolus where a ball of its core is cut at least this deep (share of its radius).
VISIBLE_DEPTH = 0.4


@dataclass(frozen=True, kw_only=True)
class Embolus:
    """A filling defect: dark balls along an artery, shape (n, 3) and (n,), and where it lies."""

    points_mm: np.ndarray
    radii_mm: np.ndarray
    hu: float
    side: str

    def slices(self) -> set[int]:
        """Indices of the slices that show it."""
        z = np.arange(int(EXTENT_MM[0] / SPACING_MM[0]) + 1) * SPACING_MM[0]
        depth = self.radii_mm[:, None] - np.abs(z[None, :] - self.points_mm[:, :1])
        return set(np.flatnonzero((depth >= VISIBLE_DEPTH * self.radii_mm[:, None]).any(axis=0)).tolist())


@dataclass(frozen=True, kw_only=True)
class RspectPlan:
    """Everything planted in one patient.

    Attributes:
        arteries, veins: vessels.
        emboli: filling defects.
        mimics: filling defects that are no emboli.
        mixed: flow artefacts were drawn.
        indeterminate: the arteries hold too little contrast agent for a reading.
    """

    arteries: list[Tube]
    veins: list[Tube]
    emboli: list[Embolus]
    mimics: list[Embolus]
    mixed: bool
    indeterminate: bool

    @property
    def label(self) -> int:
        """1 where an embolus was planted."""
        return int(bool(self.emboli))

    def positive_slices(self) -> set[int]:
        """Indices of the slices that show an embolus."""
        return set().union(*(embolus.slices() for embolus in self.emboli))


def _artery(rng: np.random.Generator, enhancement: float) -> tuple[Tube, bool]:
    point = np.array([EXTENT_MM[0] / 2, *rng.uniform(MARGIN_MM, EXTENT_MM[1] - MARGIN_MM, 2)])
    path = path_through(rng, point, np.array([1.0, *np.clip(rng.normal(0, 0.2, 2), -0.4, 0.4)]), bend=0.1)
    radius = rng.uniform(*DIFFICULTY.artery_radius_mm)
    radii = np.linspace(radius, radius * rng.uniform(0.6, 0.9), len(path))
    hu = np.full(len(path), enhancement)
    mixed = bool(rng.random() < DIFFICULTY.mixing_share)
    if mixed:
        centre, width = rng.uniform(0.2, 0.8) * len(path), rng.uniform(4.0, 10.0)
        dip = np.exp(-0.5 * ((np.arange(len(path)) - centre) / width) ** 2)
        hu = hu - rng.uniform(*DIFFICULTY.mixing_drop_hu) * dip
    return Tube(points_mm=path, radii_mm=radii, hu=hu), mixed


def _branch(rng: np.random.Generator, artery: Tube) -> Tube:
    at = int(rng.integers(len(artery.points_mm)))
    root = float(artery.radii_mm[at]) * rng.uniform(0.4, 0.7)
    direction = np.array([rng.normal(0, 0.6), *rng.normal(0, 1.0, 2)])
    path = wandering_path(rng, artery.points_mm[at], direction, rng.uniform(15, 35), bend=0.3)
    return Tube(
        points_mm=path,
        radii_mm=np.linspace(root, root / 3, len(path)),
        hu=np.full(len(path), float(artery.hu[at])),
    )


def _vein(rng: np.random.Generator, arteries: list[Tube]) -> Tube:
    """A vein of its own, or one that runs along an artery and touches its wall."""
    radius = rng.uniform(*DIFFICULTY.artery_radius_mm) * 0.75
    if rng.random() < 0.5:
        artery = arteries[int(rng.integers(len(arteries)))]
        angle = rng.uniform(0, 2 * np.pi)
        beside = (artery.radii_mm + radius)[:, None] * np.array([[0.0, np.sin(angle), np.cos(angle)]])
        path = artery.points_mm + beside
    else:
        point = np.array([EXTENT_MM[0] / 2, *rng.uniform(10.0, EXTENT_MM[1] - 10.0, 2)])
        path = path_through(rng, point, np.array([1.0, *rng.normal(0, 0.5, 2)]), bend=0.2)
    return Tube(points_mm=path, radii_mm=np.full(len(path), radius), hu=np.full(len(path), VEIN_HU))


def _embolus(rng: np.random.Generator, artery: Tube) -> Embolus:
    """A core inside the lumen, off its axis, tapering at both ends."""
    length = rng.uniform(*DIFFICULTY.embolus_length_mm)
    low = rng.uniform(1.0, EXTENT_MM[0] - 1.0 - length)
    z = artery.points_mm[:, 0]
    inside = (z >= low) & (z <= low + length)
    points, lumen = artery.points_mm[inside], artery.radii_mm[inside]
    fraction = rng.uniform(*DIFFICULTY.embolus_fraction)
    angle = rng.uniform(0, 2 * np.pi)
    offset = rng.uniform(0.0, 1.0 - fraction) * lumen
    taper = np.sqrt(1.0 - 0.5 * np.linspace(-1, 1, len(points)) ** 2)
    across = points[:, 2].mean() - EXTENT_MM[2] / 2
    return Embolus(
        points_mm=points + offset[:, None] * np.array([[0.0, np.sin(angle), np.cos(angle)]]),
        radii_mm=fraction * lumen * taper,
        hu=float(rng.uniform(*DIFFICULTY.embolus_hu)),
        side="central" if abs(across) < 4 else "right" if across < 0 else "left",
    )


def plan_patient(dataset: str, seed: int, index: int) -> RspectPlan:
    """Decide what patient ``index`` holds; cheap, and the same whenever it is asked again."""
    rng = phantom_rng(dataset, seed, index, f"rspect-{DIFFICULTY.version}")
    # Counted, not drawn: a study of 300 patients has six, a test of twelve has one.
    indeterminate = index % DIFFICULTY.indeterminate_every == 8
    enhancement = 90.0 if indeterminate else float(rng.uniform(*DIFFICULTY.enhancement_hu))
    num_arteries = int(rng.integers(DIFFICULTY.arteries[0], DIFFICULTY.arteries[1] + 1))
    main, mixed = zip(*(_artery(rng, enhancement) for _ in range(num_arteries)), strict=True)
    num_branches = int(rng.integers(DIFFICULTY.branches[0], DIFFICULTY.branches[1] + 1))
    branches = [_branch(rng, main[int(rng.integers(num_arteries))]) for _ in range(num_branches)]
    num_veins = int(rng.integers(DIFFICULTY.veins[0], DIFFICULTY.veins[1] + 1))
    veins = [_vein(rng, list(main)) for _ in range(num_veins)]
    emboli = []
    if not indeterminate and rng.random() < DIFFICULTY.prevalence:
        number = min(int(rng.integers(DIFFICULTY.emboli[0], DIFFICULTY.emboli[1] + 1)), num_arteries)
        for which in rng.choice(num_arteries, number, replace=False):
            emboli.append(_embolus(rng, main[int(which)]))
    mimics = []
    if not indeterminate and not emboli and rng.random() < DIFFICULTY.mimic_share:
        mimics.append(_embolus(rng, main[int(rng.integers(num_arteries))]))
    return RspectPlan(
        arteries=[*main, *branches],
        veins=veins,
        emboli=emboli,
        mimics=mimics,
        mixed=any(mixed),
        indeterminate=indeterminate,
    )


def render(plan: RspectPlan, dataset: str, seed: int, index: int, scanner: str = "a") -> np.ndarray:
    """Draw a planned patient as a scanner (key of ``SCANNERS``) shows it: int16 HU, shape SHAPE."""
    rng = phantom_rng(dataset, seed, index, f"rspect-render-{DIFFICULTY.version}")
    volume = lung_with_airway(rng)
    draw_tubes(volume, [*plan.veins, *plan.arteries])
    for defect in [*plan.emboli, *plan.mimics]:
        draw_balls(volume, defect.points_mm, defect.radii_mm, defect.hu, darken=True)
    shown = SCANNERS[scanner]
    return finish(shown.image(volume), rng, noise_hu=shown.noise * DIFFICULTY.noise_hu)

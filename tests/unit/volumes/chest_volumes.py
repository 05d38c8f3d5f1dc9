"""Volumes that are no noise: a chest in air, and what a part of one or a phantom looks like, in HU."""

import numpy as np


def chest(depth: int = 12, side: int = 48, *, noise: float = 10, seed: int = 0) -> np.ndarray:
    """A body with lungs and a spine in air: int16 HU, shape (depth, side, side)."""
    y, x = np.mgrid[:side, :side]
    middle = (side - 1) / 2
    body = ((x - middle) / (0.42 * side)) ** 2 + ((y - middle) / (0.34 * side)) ** 2 < 1
    lungs = ((np.abs(x - middle) - 0.2 * side) / (0.13 * side)) ** 2 + ((y - middle) / (0.2 * side)) ** 2 < 1
    plane = np.where(lungs, -850, np.where(body, 40, -1000))
    plane[side // 2 - 4 : side // 2 + 2, side // 2 - 4 : side // 2] = 400
    hu = np.repeat(plane[None], depth, axis=0)
    return (hu + np.random.default_rng(seed).normal(0, noise, hu.shape).round()).astype(np.int16)


def padded_chest(value: int) -> np.ndarray:
    """A chest whose corners hold one value, as outside of a scan circle."""
    hu = chest()
    y, x = np.mgrid[:48, :48]
    hu[:, (x - 23.5) ** 2 + (y - 23.5) ** 2 > 23.5**2] = value
    return hu


def lung_crop() -> np.ndarray:
    """Lung with a few vessels, nothing outside the body."""
    rng = np.random.default_rng(1)
    hu = rng.normal(-850, 40, (16, 32, 32))
    for y, x in rng.integers(2, 30, (6, 2)):
        hu[:, y - 1 : y + 1, x - 1 : x + 1] = rng.normal(40, 20, (16, 2, 2))
    return hu.astype(np.int16)


def contrast_phantom() -> np.ndarray:
    """A water cylinder in air with inserts of contrast agent, without noise."""
    y, x = np.mgrid[:48, :48]
    plane = np.where((x - 24) ** 2 + (y - 24) ** 2 < 400, 0, -1000)
    for number, value in enumerate((100, 200, 350, 1000)):
        plane[20:26, 10 + 7 * number : 14 + 7 * number] = value
    return np.repeat(plane[None], 10, axis=0).astype(np.int16)

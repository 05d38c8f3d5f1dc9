"""A scan on one picture: evenly spaced axial slices and the middle coronal and sagittal planes.

As radiologists look at them: axial slices from the feet, so that the patient's right is on the left; the
head on top otherwise. Nothing that names the patient is shown.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

#: Display windows by name: (centre, width), HU.
DISPLAY_WINDOWS = {
    "lung": (-600.0, 1500.0),
    "mediastinum": (40.0, 400.0),
    "embolism": (400.0, 1000.0),
    "bone": (450.0, 1500.0),
}

_TILE_PX, _GAP_PX, _COLUMNS = 240, 8, 4
_TEXT_PX, _LINE_PX = 15, 22
_BACKGROUND, _INK, _SOFT = 16, 235, 165


@dataclass(frozen=True)
class Picture:
    """A grey picture (uint8) with what is written above it and at its edges (left, right, top, bottom)."""

    grey: np.ndarray
    title: str
    edges: tuple[str, str, str, str]


def to_grey(hu: np.ndarray, display_window_hu: tuple[float, float]) -> np.ndarray:
    """HU to uint8 over a display window (centre, width)."""
    centre, width = display_window_hu
    values = (hu.astype(np.float32) - (centre - width / 2)) * (255 / width)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def coronal(hu: np.ndarray) -> np.ndarray:
    """The middle coronal plane, (z, x), head on top."""
    return hu[::-1, hu.shape[1] // 2]


def sagittal(hu: np.ndarray) -> np.ndarray:
    """The middle sagittal plane, (z, y), head on top, front on the left."""
    return hu[::-1, :, hu.shape[2] // 2]


def fit(grey: np.ndarray, spacing_mm: tuple[float, float], box_px: tuple[int, int]) -> np.ndarray:
    """Scale a plane with pixels of (row, column) mm into a box of (height, width), in true proportions."""
    height_mm, width_mm = grey.shape[0] * spacing_mm[0], grey.shape[1] * spacing_mm[1]
    scale = min(box_px[0] / height_mm, box_px[1] / width_mm)
    size = max(round(width_mm * scale), 1), max(round(height_mm * scale), 1)
    smaller = size[0] < grey.shape[1] and size[1] < grey.shape[0]
    return cv2.resize(
        np.ascontiguousarray(grey), size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )


def shown_slices(num_slices: int, limit: int) -> list[int]:
    """At most so many slices, evenly spaced with both ends, from the head to the feet."""
    return sorted({round(index) for index in np.linspace(0, num_slices - 1, limit)}, reverse=True)


def _label(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, anchor: str, ink: int) -> None:
    font = ImageFont.load_default(_TEXT_PX)
    # A dark rim, so that letters show on bright tissue too.
    draw.text(at, text, fill=ink, font=font, anchor=anchor, stroke_width=2, stroke_fill=_BACKGROUND)


def _paste(sheet: Image.Image, picture: Picture, corner: tuple[int, int]) -> None:
    x, y = corner
    draw = ImageDraw.Draw(sheet)
    _label(draw, (x, y + 3), picture.title, "la", _INK)
    y += _LINE_PX
    sheet.paste(Image.fromarray(picture.grey), (x, y))
    height, width = picture.grey.shape
    left, right, top, bottom = picture.edges
    _label(draw, (x + 5, y + height / 2), left, "lm", _SOFT)
    _label(draw, (x + width - 5, y + height / 2), right, "rm", _SOFT)
    if height > 4 * _LINE_PX:  # else they would write over each other
        _label(draw, (x + width / 2, y + 5), top, "ma", _SOFT)
        _label(draw, (x + width / 2, y + height - 5), bottom, "mb", _SOFT)


def contact_sheet(
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float],
    z_mm: np.ndarray,
    *,
    display_window_hu: tuple[float, float],
    num_slices: int = 12,
) -> Image.Image:
    """Draw a contact sheet.

    Args:
        hu: shape (z, y, x): feet to head, front to back, the patient's right to left.
        spacing_mm: (z, y, x).
        z_mm: position of every slice.
        display_window_hu: centre and width.
        num_slices: axial slices to show, at most.

    Returns:
        A grey picture, 1000 pixels wide.
    """
    depth_mm, height_mm, width_mm = spacing_mm

    def picture(plane: np.ndarray, row_mm: float, column_mm: float, side_px: int, *words: str) -> Picture:
        title, left, right, top, bottom = words
        grey = fit(to_grey(plane, display_window_hu), (row_mm, column_mm), (side_px, side_px))
        return Picture(grey, title, (left, right, top, bottom))

    tiles = [
        picture(
            hu[i], height_mm, width_mm, _TILE_PX, f"slice {i}, z {z_mm[i]:.1f} mm", "right", "left", "", ""
        )
        for i in shown_slices(len(hu), num_slices)
    ]
    wide = 2 * _TILE_PX + _GAP_PX
    front, side = coronal(hu), sagittal(hu)
    planes = [
        picture(front, depth_mm, width_mm, wide, "coronal, middle", "right", "left", "head", "feet"),
        picture(side, depth_mm, height_mm, wide, "sagittal, middle", "front", "back", "head", "feet"),
    ]
    step = _TILE_PX + _GAP_PX
    top = _GAP_PX + 2 * _LINE_PX + _GAP_PX
    tile_step = max(tile.grey.shape[0] for tile in tiles) + _LINE_PX + _GAP_PX
    planes_top = top + -(-len(tiles) // _COLUMNS) * tile_step
    bottom = planes_top + _LINE_PX + max(_LINE_PX, *(plane.grey.shape[0] for plane in planes)) + _GAP_PX
    sheet = Image.new("L", (_GAP_PX + _COLUMNS * step, bottom), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    centre, width = display_window_hu
    size = f"{len(hu)} slices of {hu.shape[1]} x {hu.shape[2]} pixels, {depth_mm:.2f} mm apart"
    _label(draw, (_GAP_PX, _GAP_PX), f"{size}, pixels of {height_mm:.2f} x {width_mm:.2f} mm", "la", _INK)
    words = f"Display window: centre {centre:g} HU, width {width:g} HU. Slices are numbered from the feet."
    _label(draw, (_GAP_PX, _GAP_PX + _LINE_PX), words, "la", _SOFT)
    for number, tile in enumerate(tiles):
        row, column = divmod(number, _COLUMNS)
        _paste(sheet, tile, (_GAP_PX + column * step, top + row * tile_step))
    for number, plane in enumerate(planes):
        _paste(sheet, plane, (_GAP_PX + 2 * number * step, planes_top))
    return sheet

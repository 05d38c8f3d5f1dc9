"""The contact sheet: right way up, in true proportions, readable for any scan, and without names."""

import numpy as np
import pytest
from PIL import ImageDraw

from chestct.volumes.contact_sheet import (
    DISPLAY_WINDOWS,
    contact_sheet,
    coronal,
    fit,
    sagittal,
    shown_slices,
    to_grey,
)


def body(shape=(40, 64, 64)):
    """Air with a bright block at the head, in front, on the patient's right."""
    hu = np.full(shape, -1000, dtype=np.int16)
    z, y, x = (length // 2 for length in shape)
    hu[z + 4 :, : y + 1, : x + 1] = 1000
    return hu


def test_planes_stand_on_their_feet():
    hu = body()
    front = coronal(hu)
    assert front.shape == (40, 64)
    assert front[0, 0] == 1000 and front[0, -1] == -1000 and front[-1, 0] == -1000  # head, right
    side = sagittal(hu)
    assert side[0, 0] == 1000 and side[0, -1] == -1000 and side[-1, 0] == -1000  # head, front


def test_grey_follows_the_display_window():
    hu = np.array([[-3000, -1350, -600, 150, 3000]], dtype=np.int16)
    assert to_grey(hu, DISPLAY_WINDOWS["lung"]).tolist() == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "box", "expected"),
    [
        ((40, 64), (2.5, 0.5), (200, 200), (200, 64)),  # 100 x 32 mm
        ((512, 512), (0.7, 0.7), (240, 240), (240, 240)),
        ((2, 512), (1.0, 0.7), (100, 100), (1, 100)),
    ],
)
def test_planes_keep_their_proportions(shape, spacing_mm, box, expected):
    assert fit(np.zeros(shape, np.uint8), spacing_mm, box).shape == expected


@pytest.mark.parametrize(("num", "limit"), [(133, 12), (12, 12), (3, 12), (2, 1), (764, 100)])
def test_slices_are_spread_from_head_to_feet(num, limit):
    shown = shown_slices(num, limit)
    assert len(shown) == min(num, limit) and shown == sorted(set(shown), reverse=True)
    if limit > 1:
        assert shown[0] == num - 1 and shown[-1] == 0
        assert len(set(np.diff(shown))) <= 2


@pytest.mark.parametrize("shape", [(2, 8, 8), (40, 64, 64), (5, 700, 512), (300, 16, 40)])
def test_every_scan_fits_its_sheet(shape):
    z_mm = -100 + 2.5 * np.arange(shape[0])
    sheet = contact_sheet(
        body(shape), (2.5, 0.8, 0.8), z_mm, display_window_hu=DISPLAY_WINDOWS["lung"], num_slices=12
    )
    assert sheet.width == 1000 and sheet.height < 2500 and sheet.mode == "L"
    picture = np.asarray(sheet)
    assert (picture[:, -4:] == picture[0, -1]).all() and (picture[-4:] == picture[0, -1]).all()  # nothing cut


def test_words_on_the_sheet_are_plain_and_name_nobody(monkeypatch):
    words = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda self, at, text, **k: (words.append(text), draw(self, at, text, **k)),
    )
    contact_sheet(body(), (2.5, 0.8, 0.7), np.arange(40.0), display_window_hu=(40.0, 400.0), num_slices=2)
    assert words == [
        "40 slices of 64 x 64 pixels, 2.50 mm apart, pixels of 0.80 x 0.70 mm",
        "Display window: centre 40 HU, width 400 HU. Slices are numbered from the feet.",
        "slice 39, z 39.0 mm", "right", "left", "", "",
        "slice 0, z 0.0 mm", "right", "left", "", "",
        "coronal, middle", "right", "left", "head", "feet",
        "sagittal, middle", "front", "back", "head", "feet",
    ]  # fmt: skip

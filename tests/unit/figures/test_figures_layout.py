"""What the renderer draws: no text leaves the page, and no two texts cover one another."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from chestct.figures import style
from chestct.figures.render import FIGURES, lay_out, project_style

#: A letter's box is larger than its ink: boxes may share as much, in points.
_SLACK = 1.0


def drawn_texts(figure: Figure, monkeypatch) -> list[tuple[str, Bbox]]:
    """Words and boxes, in pixels, of all texts that the renderer draws."""
    found: list[tuple[str, Bbox]] = []
    draw = Text.draw

    def record(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            found.append((text.get_text(), text.get_window_extent(renderer)))
        draw(text, renderer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.draw_without_rendering()
    return found


def cut(figure: Figure, texts: list[tuple[str, Bbox]]) -> list[str]:
    """Texts that leave the page."""
    page = figure.bbox
    return [
        words
        for words, box in texts
        if box.x0 < page.x0 or box.y0 < page.y0 or box.x1 > page.x1 or box.y1 > page.y1
    ]


def overlapping(figure: Figure, texts: list[tuple[str, Bbox]]) -> list[tuple[str, str]]:
    """Pairs of texts that cover one another, and texts that a legend covers."""
    slack = _SLACK * figure.dpi / 72
    boxes = np.array([box.extents for _, box in texts])
    low, high = boxes[:, :2], boxes[:, 2:]
    shared = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    covered = np.triu((shared > slack).all(axis=-1), 1)
    return [(texts[one][0], texts[other][0]) for one, other in np.argwhere(covered)]


def covered_panels(figure: Figure) -> list[str]:
    """Panels that another panel or the figure's legend reaches into."""
    boxes = [(axis.get_title() or axis.get_xlabel(), axis.get_window_extent()) for axis in figure.axes]
    boxes += [("legend", legend.get_window_extent()) for legend in figure.legends]
    pairs = itertools.combinations(boxes, 2)
    return [f"{first} / {second}" for (first, a), (second, b) in pairs if a.overlaps(b)]


CASES = [
    (kind, name)
    for kind in ("default", "seeds", "full")
    for name in FIGURES
    if name != "probe_vs_finetuned" and not (kind == "default" and name in ("variance_shares", "same_arm"))
]
CASES += [
    ("paper", "probe_vs_finetuned"),
    ("own_data", "variance_shares"),
    ("own_data", "paired_differences"),
    ("own_data", "auroc_by_percent"),
    ("own_data", "calibration"),
    ("smoke", "roc_curves"),
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_no_text_is_cut_or_covered(plots, monkeypatch, kind, name):
    figure = plots(kind, name)
    with project_style():
        lay_out(figure)
        texts = drawn_texts(figure, monkeypatch)
    width, height = figure.get_size_inches()
    assert width in (style.SINGLE_COLUMN, style.DOUBLE_COLUMN) and height <= style.PAGE_HEIGHT
    assert len(texts) > 8
    assert cut(figure, texts) == []
    assert overlapping(figure, texts) == []
    assert covered_panels(figure) == []


def test_cut_and_covered_texts_are_found(monkeypatch):
    figure = Figure(figsize=(3, 2))
    for place in ((0.5, 0.5), (0.52, 0.52), (0.9, 0.2)):
        figure.text(*place, "words that take room")
    texts = drawn_texts(figure, monkeypatch)
    assert len(texts) == 3
    assert len(cut(figure, texts)) == 1 + (texts[0][1].x1 > figure.bbox.x1) + (
        texts[1][1].x1 > figure.bbox.x1
    )
    assert len(overlapping(figure, texts)) == 1
    axis = figure.add_axes((0.1, 0.1, 0.5, 0.5))
    figure.add_axes((0.3, 0.3, 0.5, 0.5))
    assert len(covered_panels(figure)) == 1
    axis.remove()
    assert covered_panels(figure) == []


@pytest.mark.parametrize("dpi", [60, 150, 300])
def test_letters_are_as_wide_at_every_resolution(tables, monkeypatch, dpi):
    """Panels are laid out once, for PDF and for PNG of any resolution."""
    with project_style():
        figure = FIGURES["validity"](tables("default"))
        lay_out(figure)
        expected = [box.width / figure.dpi for _, box in drawn_texts(figure, monkeypatch)]
        figure.dpi = dpi
        texts = drawn_texts(figure, monkeypatch)
    # A box ends at a whole pixel.
    assert [box.width / dpi for _, box in texts] == pytest.approx(expected, abs=2 / dpi)
    assert cut(figure, texts) == [] and overlapping(figure, texts) == []

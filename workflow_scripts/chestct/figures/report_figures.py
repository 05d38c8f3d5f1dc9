"""The report's figures: by section, numbered in the order of the page, with title, caption and file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chestct.figures.captions import CAPTIONS, EXAMPLE_CAPTIONS, QUALITY_CAPTION, TITLES
from chestct.figures.names import ALONG_Z, EXAMPLES_INDEX, QUALITY, WINDOWS
from chestct.figures.report_attachments import embed_figure
from chestct.records import read_recorded

#: Sections with figures, in the order of the page.
_SECTIONS = (
    *("answers", "results", "efficiency", "subgroups", "scans", "variance", "validity", "quality"),
    "training",
)
#: Sections of the figures that are not in "results".
_PLACES = {
    "auroc_by_percent": "answers",
    "label_efficiency": "efficiency",
    "subgroups": "subgroups",
    "variance_shares": "variance",
    "validity": "validity",
    "same_arm": "validity",
    WINDOWS: "scans",
    ALONG_Z: "scans",
    QUALITY: "quality",
    "learning_curves": "training",
}
#: The kinds of file that a manuscript wants, the best first; PNG is always there.
_FILES = ("pdf", "svg")


def figures_of(
    folder: Path, *, dpi: int, formats: Sequence[str], points: str | Path | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Figures by section.

    Args:
        folder: holds NAME.png of every figure, figures.json and examples.json.
        dpi: of the figures, for their size on screen.
        formats: in which the study draws them.
        points: file with the points of the figures (``hover.points_of``), of an interactive report.

    Returns:
        By section, dicts with name, title, caption and reason. One that was drawn (reason is None) has
        number, file (path beside the report), the keys of ``embed_figure``, and points, empty without any.

    Raises:
        InputError: a figure is not what was written.
    """
    reasons: dict[str, str | None] = {QUALITY: None}
    for index in ("figures.json", EXAMPLES_INDEX):
        reasons |= json.loads(read_recorded(folder / index))
    captions = CAPTIONS | EXAMPLE_CAPTIONS | {QUALITY: QUALITY_CAPTION}
    sections: dict[str, list[dict[str, Any]]] = {place: [] for place in _SECTIONS}
    for name, caption in captions.items():
        figure: dict[str, Any] = {
            "name": name,
            "title": TITLES[name],
            "caption": caption,
            "reason": reasons[name],
        }
        sections[_PLACES.get(name, "results")].append(figure)
    told = {} if points is None else json.loads(read_recorded(points))
    drawn = [figure for figures in sections.values() for figure in figures if not figure["reason"]]
    for number, figure in enumerate(drawn, start=1):
        figure.update(embed_figure(folder / f"{figure['name']}.png", dpi))
        figure.update(number=number, file=figure_file(figure["name"], formats))
        figure.update(points=told.get(figure["name"], []))
    return sections


def figure_file(name: str, formats: Sequence[str]) -> str:
    """Path, beside the report, of the file of a figure that a manuscript wants."""
    kind = next((kind for kind in _FILES if kind in formats), "png")
    return f"figures/{name}.{kind}"

"""All figures of a study, written in every format."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from chestct.figures import (
    auroc_by_percent,
    calibration,
    forest,
    label_efficiency,
    learning_curves,
    paired_differences,
    probe_vs_finetuned,
    roc_and_precision_recall,
    same_arm,
    subgroups,
    validity,
    variance_shares,
    video_3d_vs_2d,
    video_vs_ct,
)
from chestct.figures.captions import CAPTIONS
from chestct.figures.hover import Group, points_of
from chestct.figures.panels import NothingToPlotError, notice
from chestct.figures.study_tables import StudyTables
from chestct.figures.style import RC_PARAMS
from chestct.records import recorded_path, write_recorded

_log = logging.getLogger(__name__)
# Otherwise fontTools logs every glyph that it embeds in a PDF, some hundred lines per figure.
logging.getLogger("fontTools").setLevel(logging.WARNING)

FIGURES: dict[str, Callable[[StudyTables], Figure]] = {
    "auroc_by_percent": auroc_by_percent.auroc_by_percent,
    "paired_differences": paired_differences.paired_differences,
    "label_efficiency": label_efficiency.label_efficiency,
    "auroc_by_percent_per_model": auroc_by_percent.auroc_by_percent_per_model,
    "forest": forest.forest,
    "video_3d_vs_2d": video_3d_vs_2d.video_3d_vs_2d,
    "video_vs_ct": video_vs_ct.video_vs_ct,
    "probe_vs_finetuned": probe_vs_finetuned.probe_vs_finetuned,
    "roc_curves": roc_and_precision_recall.roc_curves,
    "precision_recall_curves": roc_and_precision_recall.precision_recall_curves,
    "calibration": calibration.calibration,
    "subgroups": subgroups.subgroups,
    "learning_curves": learning_curves.learning_curves,
    "variance_shares": variance_shares.variance_shares,
    "validity": validity.validity,
    "same_arm": same_arm.same_arm,
}
assert list(FIGURES) == list(CAPTIONS)

# Without time stamps, so that the same tables give the same bytes.
_WRITERS: dict[str, Callable[[Figure, Path], None]] = {
    "png": lambda figure, path: FigureCanvasAgg(figure).print_png(path, metadata={"Software": None}),
    "pdf": lambda figure, path: FigureCanvasPdf(figure).print_pdf(
        path, metadata={"CreationDate": None, "Creator": None, "Producer": None}
    ),
    "svg": lambda figure, path: FigureCanvasSVG(figure).print_svg(
        path, metadata={"Date": None, "Creator": None}
    ),
}


@contextmanager
def project_style() -> Iterator[None]:
    """The project's look, whatever the user's own matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC_PARAMS)  # type: ignore[arg-type]
        yield


def lay_out(figure: Figure) -> None:
    """Lay out a figure's panels once.

    Otherwise every drawing would lay the panels out again, starting from the last layout. Laid out once, all
    formats look the same, in whatever order they are written.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def save_figure(figure: Figure, folder: str | Path, name: str, *, formats: Sequence[str], dpi: int) -> None:
    """Write a figure as ``folder/NAME.FORMAT``, the same bytes every time."""
    lay_out(figure)
    for kind in formats:
        figure.dpi = dpi  # writing a vector format changes it
        with recorded_path(Path(folder) / f"{name}.{kind}") as temporary:
            # Figure.savefig would draw everything twice.
            _WRITERS[kind](figure, temporary)


def plot_figure(
    name: str,
    study: StudyTables,
    *,
    folder: str | Path,
    formats: Sequence[str],
    dpi: int,
    with_points: bool = False,
) -> tuple[str | None, list[Group]]:
    """Write one figure, or a notice if the study lacks its data.

    Returns:
        The reason in that case, and, if asked for, the points of the figure with their words.
    """
    with project_style():
        try:
            figure, reason = FIGURES[name](study), None
        except NothingToPlotError as error:
            figure, reason = notice(name, str(error)), str(error)
            _log.info("%s: not drawn: %s", name, error)
        save_figure(figure, folder, name, formats=formats, dpi=dpi)
        return reason, points_of(figure, study) if with_points else []


def plot_figures(
    study: StudyTables,
    *,
    folder: str | Path,
    formats: Sequence[str],
    dpi: int,
    processes: int = 1,
    points: str | Path | None = None,
) -> dict[str, str | None]:
    """Write every figure as ``folder/NAME.FORMAT``, and in ``folder/figures.json`` why some are missing.

    A figure whose data the study lacks becomes a small notice, so that all studies have the same files.

    Args:
        study: tables of the study.
        folder: where to write.
        formats: some of png, pdf, svg.
        dpi: of png.
        processes: number of processes that draw in parallel.
        points: file for the points of the figures with their words, as JSON, for an interactive report.

    Returns:
        For every figure, the reason why it is missing, or None.
    """
    draw = partial(
        plot_figure, study=study, folder=folder, formats=formats, dpi=dpi, with_points=points is not None
    )
    if processes > 1:
        # Forked processes need not import matplotlib and its fonts again.
        with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
            drawn = dict(zip(FIGURES, pool.map(draw, FIGURES), strict=True))
    else:
        drawn = {name: draw(name) for name in FIGURES}
    reasons = {name: reason for name, (reason, _) in drawn.items()}
    if points is not None:
        told = {name: groups for name, (_, groups) in drawn.items()}
        write_recorded(points, json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n")
    write_recorded(Path(folder) / "figures.json", json.dumps(reasons, indent=2) + "\n")
    return reasons

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

from chestct.figures import curves, efficiency, forest, histories, lines, reliability, rivals, simulations
from chestct.figures.captions import CAPTIONS
from chestct.figures.panels import NothingToPlotError, notice
from chestct.figures.study_tables import StudyTables
from chestct.figures.style import RC_PARAMS
from chestct.files import atomic_path, write_text

_log = logging.getLogger(__name__)
# Embedding a font in a PDF is told glyph by glyph otherwise, some hundred lines a figure.
logging.getLogger("fontTools").setLevel(logging.WARNING)

FIGURES: dict[str, Callable[[StudyTables], Figure]] = {
    "auroc_by_percent": lines.auroc_by_percent,
    "label_efficiency": efficiency.label_efficiency,
    "auroc_by_percent_per_model": lines.auroc_by_percent_per_model,
    "forest": forest.forest,
    "video_3d_vs_2d": rivals.video_3d_vs_2d,
    "video_vs_ct": rivals.video_vs_ct,
    "probe_vs_finetuned": rivals.probe_vs_finetuned,
    "roc_curves": curves.roc_curves,
    "precision_recall_curves": curves.precision_recall_curves,
    "calibration": reliability.calibration,
    "learning_curves": histories.learning_curves,
    "validity": simulations.validity,
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
    """Arrange a figure's panels once and for all.

    Every drawing would lay the panels out anew from where the last one left them; laid out once, all formats
    look the same, in whatever order they are written.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def save_figure(figure: Figure, folder: str | Path, name: str, *, formats: Sequence[str], dpi: int) -> None:
    """Write a figure as ``folder/NAME.FORMAT``, the same bytes every time."""
    lay_out(figure)
    for kind in formats:
        figure.dpi = dpi  # a vector format leaves its own
        with atomic_path(Path(folder) / f"{name}.{kind}") as temporary:
            # Figure.savefig would draw everything twice, the first time to no end.
            _WRITERS[kind](figure, temporary)


def plot_figure(
    name: str, study: StudyTables, *, folder: str | Path, formats: Sequence[str], dpi: int
) -> str | None:
    """Write one figure, or a small notice where the study lacks its data; return why it shows nothing."""
    with project_style():
        try:
            figure, reason = FIGURES[name](study), None
        except NothingToPlotError as error:
            figure, reason = notice(name, str(error)), str(error)
            _log.info("%s: not drawn: %s", name, error)
        save_figure(figure, folder, name, formats=formats, dpi=dpi)
    return reason


def plot_figures(
    study: StudyTables, *, folder: str | Path, formats: Sequence[str], dpi: int, processes: int = 1
) -> dict[str, str | None]:
    """Write every figure as ``folder/NAME.FORMAT`` and say in ``folder/figures.json`` which show nothing.

    A figure whose data the study lacks becomes a small notice, so that the files are the same for all
    studies.

    Args:
        study: tables of the study.
        folder: where to write.
        formats: some of png, pdf, svg.
        dpi: of png.
        processes: that draw side by side.

    Returns:
        For every figure, why it shows nothing, or None.
    """
    draw = partial(plot_figure, study=study, folder=folder, formats=formats, dpi=dpi)
    if processes > 1:
        # Forked, so that none imports matplotlib and its fonts again.
        with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
            reasons = dict(zip(FIGURES, pool.map(draw, FIGURES), strict=True))
    else:
        reasons = {name: draw(name) for name in FIGURES}
    write_text(Path(folder) / "figures.json", json.dumps(reasons, indent=2) + "\n")
    return reasons

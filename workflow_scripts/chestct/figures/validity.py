"""Validity: coverage of the intervals, power by number of test scans, control with permuted labels."""

from itertools import cycle, product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from chestct.figures import panels, style
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import contrast_title, metric_title

_METHODS = {"student": "Student", "bca": "BCa", "delong": "DeLong"}
#: Test sets with a fixed number of positive scans have full markers, those with a drawn one open markers.
_PREVALENCES = ("fixed", "sampled")
_SPREAD = 0.5
_COVERAGE_SPREAD = 0.7


def validity(study: StudyTables) -> Figure:
    """Coverage on the left; on the right power above the control with permuted labels.

    Raises:
        NothingToPlotError: the study ran no simulation.
    """
    coverage, power, permuted = study.coverage, study.power, study.permuted
    if coverage.empty:
        raise panels.NothingToPlotError("the study ran no simulations.")
    datasets = panels.present(study.datasets, coverage)
    settings = _shown(coverage).drop_duplicates(["dataset", "metric", "quantity"])
    controls = [part for part in (power, permuted) if len(part)]
    width = style.DOUBLE_COLUMN if controls else style.SINGLE_COLUMN
    height = max(1.0 + 0.3 * (len(settings) + settings["dataset"].nunique()), 4.0 if controls else 1.8)
    figure = Figure(figsize=(width, min(height, style.PAGE_HEIGHT)), layout="constrained")
    grid = figure.add_gridspec(max(len(controls), 1), 2 if controls else 1)
    _draw_coverage(figure.add_subplot(grid[:, 0]), coverage, study)
    for row, part in enumerate(controls):
        axis = figure.add_subplot(grid[row, 1])
        if part is power:
            _draw_power(axis, power, study)
        else:
            _draw_permuted(axis, permuted, study)
    return panels.finish(
        figure,
        study,
        datasets=datasets,
        arms=[],
        handles=[_dataset_handle(study, name) for name in datasets] if controls else [],
        note=(
            f"{100 * study.confidence:g} % Monte Carlo intervals over "
            f"{int(coverage['num_simulations'].max())} simulated test sets with a fixed (full markers) or a "
            "drawn (open markers) number of positive scans."
        ),
    )


def _look(mark: style.Mark, size: float = 4) -> dict[str, Any]:
    return {
        "color": mark.colour,
        "marker": mark.marker,
        "markersize": size,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def _shown(coverage: pd.DataFrame) -> pd.DataFrame:
    """Rows of the figure: every metric, and the difference in AUROC; the table has all differences."""
    return coverage[(coverage["quantity"] == "value") | (coverage["metric"] == "auroc")]


def _draw_coverage(axis: Axes, coverage: pd.DataFrame, study: StudyTables) -> None:
    """A heading per dataset; below it a row per quantity, with methods and prevalences one by one."""
    rows = _shown(coverage)
    labels: list[str] = []
    headings: list[int] = []
    kinds = list(product(_METHODS, _PREVALENCES))
    offsets = dict(zip(kinds, np.linspace(0.5, -0.5, len(kinds)) * _COVERAGE_SPREAD, strict=True))
    marks = dict(zip(_METHODS, style.METHOD_MARKS, strict=True))
    for dataset in panels.present(study.datasets, rows):
        headings.append(len(labels))
        labels.append(style.wrap_name(dataset, 24))
        of_dataset = rows[rows["dataset"] == dataset]
        for (metric, quantity), part in of_dataset.groupby(["metric", "quantity"], sort=False):
            title = metric_title(str(metric))
            words = title if quantity == "value" else f"difference in {title}"
            for method, prevalence in kinds:
                own = part[(part["method"] == method) & (part["prevalence"] == prevalence)]
                y, mark = offsets[method, prevalence] - len(labels), marks[method]
                axis.hlines([y] * len(own), own["low"], own["high"], color=mark.colour, linewidth=0.7)
                look = _look(mark, 3)
                if prevalence != _PREVALENCES[0]:
                    look |= {"markerfacecolor": "white", "markeredgecolor": mark.colour}
                axis.plot(own["coverage"], [y] * len(own), linestyle="none", **look)
            labels.append(style.wrap_name(words, 24))
    nominal = float(rows["nominal"].iloc[0])
    axis.axvline(nominal, color=style.REFERENCE_COLOUR, linewidth=0.8, linestyle=(0, (3, 2)))
    for tick, place in zip(
        axis.set_yticks([-place for place in range(len(labels))], labels), range(len(labels)), strict=True
    ):
        if place in headings:
            tick.label1.set_fontweight("bold")
            tick.gridline.set_visible(False)
    axis.set_ylim(-len(labels) + 0.4, 0.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_xlabel(f"Coverage of {100 * nominal:g} % intervals")
    handles = [
        Line2D([], [], linestyle="none", label=words, **_look(mark))
        for words, mark in zip(_METHODS.values(), style.METHOD_MARKS, strict=True)
    ]
    axis.legend(
        handles=handles, ncols=len(handles), loc="lower center", bbox_to_anchor=(0.5, 1), borderaxespad=0.2
    )


def _marks(study: StudyTables) -> dict[str, style.Mark]:
    return dict(zip(study.datasets, cycle(style.DATASET_MARKS), strict=False))


def _dataset_handle(study: StudyTables, dataset: str) -> Line2D:
    mark = _marks(study)[dataset]
    size = study.means.loc[study.means["dataset"] == dataset, "num_scans"].iloc[0]
    words = f"{dataset} (marker: its {size} test scans)"
    return Line2D([], [], linestyle=mark.line, label=words, **_look(mark, 5))


def _draw_power(axis: Axes, rows: pd.DataFrame, study: StudyTables) -> None:
    sizes = study.means.groupby("dataset")["num_scans"].first()
    marks = _marks(study)
    first = rows.iloc[0]  # of the claims' contrasts; the others are in the table
    rows = rows[rows["contrast"] == first["contrast"]]
    for dataset in panels.present(study.datasets, rows):
        mark = marks[dataset]
        own = rows[rows["dataset"] == dataset].sort_values("num_scans")
        x, low, high = panels.floats(own, "num_scans", "low", "high")
        axis.fill_between(x, low, high, color=mark.colour, alpha=0.12, linewidth=0)
        axis.plot(x, own["power"], color=mark.colour, linestyle=mark.line)
        power = float(np.interp(np.log(sizes[dataset]), np.log(x), own["power"]))
        axis.plot([sizes[dataset]], [power], linestyle="none", **_look(mark, 6.5))
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(-0.02, 1.02)
    axis.set_ylabel(f"Power to detect {first['true_difference']:g},\n{contrast_title(first['contrast'])}")
    axis.set_xlabel("Test scans")


def _draw_permuted(axis: Axes, rows: pd.DataFrame, study: StudyTables) -> None:
    contrasts = list(rows["contrast"].unique())
    datasets, marks = panels.present(study.datasets, rows), _marks(study)
    for position, dataset in enumerate(datasets):
        mark = marks[dataset]
        own = rows[rows["dataset"] == dataset]
        shift = ((len(datasets) - 1) / 2 - position) * _SPREAD / max(len(datasets), 2)
        y = [shift - contrasts.index(contrast) for contrast in own["contrast"]]
        axis.hlines(y, own["low"], own["high"], color=mark.colour, linewidth=0.9)
        axis.plot(own["share_significant"], y, linestyle="none", **_look(mark))
    level = 1 - study.confidence
    axis.axvline(level, color=style.REFERENCE_COLOUR, linewidth=0.8, linestyle=(0, (3, 2)))
    axis.set_yticks([-place for place in range(len(contrasts))], list(map(contrast_title, contrasts)))
    axis.set_ylim(-len(contrasts) + 0.4, 0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_xlim(left=-0.005)
    axis.set_xlabel(f"Share of permutations with p < {level:.2g}")

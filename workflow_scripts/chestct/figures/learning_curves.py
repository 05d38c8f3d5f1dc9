"""Learning curves: validation and test AUROC by model, and validation loss, against the windows seen."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from chestct.catalogue import MODELS
from chestct.figures import hover_words, panels, small_multiples, style
from chestct.figures.hover import note_points
from chestct.figures.intervals import draw_intervals, value_limits
from chestct.figures.study_tables import StudyTables
from chestct.window_forms import TABLES

_ARM = ["dataset", "model", "init"]
_RUN = ["model", "init", "seed", "fold"]
_COLUMNS = 7
_MANY = 1000
#: More runs of an arm are not told one by one.
_NOTED_RUNS = 6
_TICKS = 3
#: Room at either end of the axis of windows, as a factor.
_ROOM = 1.3
_AXIS = "Training windows seen"
_DODGE = 0.015  # of an axis, between the test scores of a panel


def learning_curves(study: StudyTables) -> Figure:
    """A panel per model and dataset with the AUROC; below, a panel per dataset with the loss of all models.

    Lines are validation scores. A test score exists for the weights that were kept, so that it is one point
    of an arm: at the windows that its runs saw up to their best validation (their median).

    Raises:
        NothingToPlotError: no run was validated.
    """
    rows = panels.own_models(study.histories).dropna(subset="validation_auroc")
    if rows.empty:
        raise panels.NothingToPlotError("no run of the study was validated while it trained.")
    percent = int(rows["percent"].max())
    rows = rows[rows["percent"] == percent]
    sees = rows["model"].map(lambda model: MODELS[model].sees)
    rows = rows.assign(number=rows.groupby(["dataset", *_RUN]).cumcount(), sees=sees)
    tests = tested_arms(study, percent)
    datasets = panels.present(study.datasets, rows)
    counts = [rows.loc[rows["dataset"] == name, "model"].nunique() for name in datasets]
    columns = small_multiples.balanced_columns(max(counts), _COLUMNS)
    figure, losses, blocks = small_multiples.large_and_small_panels(
        counts, columns, large=1.8, small=1.3, large_first=False
    )
    for dataset, block, below in zip(datasets, blocks, losses, strict=True):
        part, of_test = rows[rows["dataset"] == dataset], tests[tests["dataset"] == dataset]
        limits = _limits(part["validation_auroc"])
        if len(of_test):
            low, high = value_limits(of_test)
            limits = min(limits[0], low), max(limits[1], high)
        y = f"{style.wrap_name(dataset, 20)}\nAUROC"
        small_multiples.name_block(block, columns, x=_AXIS, y=y)
        for axis, model in zip(block, sorted(part["model"].unique(), key=style.model_rank), strict=True):
            kind = MODELS[model].sees
            axis.set_ylim(limits)
            _draw(axis, part[part["model"] == model], "validation_auroc")
            _windows_axis(axis, part.loc[part["sees"] == kind, "windows_seen"])
            if kind != "window":  # slices or whole scans are counted, on an axis of their own
                axis.tick_params(labelbottom=True)
                axis.set_xlabel(f"{TABLES[kind].capitalize()} seen")
            _draw_tests(axis, of_test[of_test["model"] == model])
            small_multiples.name_panel(axis, model, (figure.get_figwidth() - 0.6) / columns)
        of_windows = part[part["sees"] == "window"]
        some = 0 < len(of_windows) < len(part)
        part, which = (of_windows, "models of windows") if some else (part, "all models")
        scored = part.dropna(subset="validation_loss")
        _draw(below, scored, "validation_loss")
        _windows_axis(below, part["windows_seen"])
        if len(scored):
            below.set_ylim(*_limits(scored["validation_loss"]))
        letters = int((figure.get_figwidth() / len(datasets) - 0.6) * style.LETTERS_PER_INCH)
        below.set_title(style.wrap_name(f"{dataset}, {which}", letters))
        below.set_xlabel(_AXIS)
    losses[0].set_ylabel("Validation loss")
    grey = style.REFERENCE_COLOUR
    handles = [panels.init_handle(init) for init in panels.inits_of(rows)]
    handles.append(Line2D([], [], color=grey, label="Lines: validation"))
    handles.append(Line2D([], [], color=grey, linestyle="none", marker="o", label="Markers: test"))
    return panels.finish(
        figure,
        study,
        datasets=datasets,
        arms=panels.arms_of(rows),
        handles=handles,
        note=(
            f"{percent} % of training patients. Thin lines: runs (seeds, folds); thick: their median, while "
            "at least half of them train. A marker is the test AUROC of the weights that were kept, at the "
            "windows seen up to the best validation (median over runs); no other weights were tested."
        ),
        rows=tests,
    )


def tested_arms(study: StudyTables, percent: int) -> pd.DataFrame:
    """Test AUROC of every arm of a single model, a row of the table "means" each.

    Returns:
        The rows with a column windows_seen: up to the best validation, the median over the arm's runs.
    """
    rows = panels.own_models(panels.auroc_rows(study))
    runs = study.runs[study.runs["percent"] == percent]
    best = runs.groupby(_ARM)["best_windows_seen"].median().rename("windows_seen")
    return rows[rows["percent"] == percent].merge(best.reset_index(), on=_ARM)


def _draw(axis: Axes, rows: pd.DataFrame, column: str) -> None:
    for init in panels.inits_of(rows):
        mark = style.INIT_MARKS[init]
        arm = rows[rows["init"] == init]
        alpha = min(0.4, 6 / arm.groupby(_RUN).ngroups)  # many runs overlap
        lines = [
            part[["windows_seen", column]].to_numpy(dtype=float) for _, part in arm.groupby(_RUN, sort=False)
        ]
        axis.add_collection(LineCollection(lines, colors=mark.colour, linewidths=0.35, alpha=alpha))
        x, y = _median(arm, column)
        axis.plot(x, y, color=mark.colour, linestyle=mark.line)
        _note(axis, arm, column, x, y)
    axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))


def _note(axis: Axes, arm: pd.DataFrame, column: str, x: np.ndarray, y: np.ndarray) -> None:
    """Note the validations of every run; those of many runs as the median of an arm, shape (len(x),)."""
    words = hover_words.of_histories(column)
    for model, part in arm.groupby("model", sort=False):
        if part.groupby(_RUN).ngroups <= _NOTED_RUNS:
            seen, values = panels.floats(part, "windows_seen", column)
            note_points(axis, seen, values, part, words)
        elif arm["model"].nunique() == 1:
            first = part.iloc[0]
            median = pd.DataFrame({"windows_seen": x, column: y}).assign(
                model=model, seed=np.nan, **{key: first[key] for key in ("dataset", "init", "percent")}
            )
            note_points(axis, x, y, median, words)


def _median(rows: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Median over runs of their windows and values at every validation that at least half of them reach."""
    by_number = rows.groupby("number")
    enough = by_number.size() >= rows.groupby(_RUN).ngroups / 2
    medians = by_number[["windows_seen", column]].median()[enough]
    return medians["windows_seen"].to_numpy(dtype=float), medians[column].to_numpy(dtype=float)


def _draw_tests(axis: Axes, tests: pd.DataFrame) -> None:
    inits = panels.inits_of(tests)
    low, high = axis.get_xlim()
    for position, init in enumerate(inits):
        arm = tests[tests["init"] == init]
        places, values = panels.floats(arm, "windows_seen", "value")
        # Shifted sideways, the intervals of several arms do not cover each other.
        places = places * (high / low) ** ((position - (len(inits) - 1) / 2) * _DODGE)
        draw_intervals(axis, places, arm, style.INIT_MARKS[init].colour, vertical=True, thickness=0.8)
        axis.plot(places, values, linestyle="none", markersize=4, **panels.marker_look(init))
        note_points(axis, places, values, arm, hover_words.of_means)


def _windows_axis(axis: Axes, windows: pd.Series) -> None:
    """Logarithmic axis of the windows seen, with a few round numbers."""
    low, high = float(windows.min()) / _ROOM, float(windows.max()) * _ROOM
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    if len(ticks) > _TICKS:
        picks = np.round(np.linspace(0, len(ticks) - 1, _TICKS)).astype(int)
        ticks = [ticks[pick] for pick in picks]
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FixedFormatter([_short(tick) for tick in ticks]))


def _short(number: float) -> str:
    """ "500", "20k", "1M"."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _limits(values: pd.Series) -> tuple[float, float]:
    """Axis limits around all points; of very many points, without the most extreme ones at either end."""
    share = 0.005 if len(values) > _MANY else 0.0
    low, high = np.quantile(values.to_numpy(dtype=float), [share, 1 - share])
    margin = max(0.06 * (high - low), 0.01)
    return float(low - margin), float(high + margin)

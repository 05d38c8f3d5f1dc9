"""Label efficiency: AUROC against the number of training patients, and the data multiplier of pretraining."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from chestct.figures import hover_words, panels, style
from chestct.figures.hover import note_points
from chestct.figures.intervals import draw_intervals, shown_ends, value_limits
from chestct.figures.references import draw_references, line_handles, references_of
from chestct.figures.study_tables import StudyTables

_DODGE = 0.04  # decades between the inits of a panel
_ARROW_POINTS = 11


def label_efficiency(study: StudyTables) -> Figure:
    """AUROC against the number of training patients above, the data multiplier below; one column per dataset.

    Raises:
        NothingToPlotError: as ``subject_of``, or the study has a single percentage.
    """
    rows = panels.auroc_rows(study)
    references = references_of(rows)
    subject = panels.subject_of(rows)
    if subject["percent"].nunique() < 2:
        raise panels.NothingToPlotError("the study has only one percentage of the training patients.")
    multipliers = study.multipliers[study.multipliers["model"].isin(subject["model"].unique())]
    datasets = panels.present(study.datasets, subject)

    width = style.SINGLE_COLUMN if len(datasets) == 1 else style.DOUBLE_COLUMN
    num_rows = 2 if len(multipliers) else 1
    figure, axes = panels.new_panels(
        num_rows,
        len(datasets),
        width=width,
        height=0.85 + 2.35 + 1.75 * (num_rows - 1),
        sharex="col",
        sharey="row",
        height_ratios=[4, 3][:num_rows],
    )
    limits = value_limits(pd.concat([subject, references]))
    for column, dataset in enumerate(datasets):
        of_panel = subject[subject["dataset"] == dataset]
        top = axes[0, column]
        _patients_axis(top, of_panel["num_patients"])
        top.set_ylim(limits)
        panels.draw_arms(top, of_panel, bands=subject["init"].nunique() <= 2, column="num_patients")
        draw_references(top, references[references["dataset"] == dataset], "num_patients")
        top.set_title(panels.dataset_title(of_panel, width / len(datasets) - 0.6))
        if len(multipliers):
            _multiplier_axis(axes[1, column], multipliers)
            _draw_multipliers(axes[1, column], multipliers[multipliers["dataset"] == dataset])
        axes[-1, column].set_xlabel(panels.counted_patients(subject))
    axes[0, 0].set_ylabel(panels.subject_label(subject))
    if len(multipliers):
        axes[1, 0].set_ylabel("Data multiplier\n(times as many patients)")
    bounds = _BOUNDS if (multipliers["bound"] != "exact").any() else ""
    notes = [panels.fewer_models(subject), _few_scans(subject), bounds]
    return panels.finish(
        figure,
        study,
        datasets=datasets,
        arms=panels.arms_of(subject),
        handles=line_handles(study, subject, references),
        note=" ".join(filter(None, notes)),
        rows=subject,
    )


def _few_scans(rows: pd.DataFrame) -> str:
    """Sentence on the subsets with few scans of a class; empty if there are none."""
    few = sorted(rows.loc[panels.has_few_scans(rows), "percent"].astype(int).unique())
    percents = ", ".join(map(str, few))
    return f"Fewer than {panels.FEW_SCANS} training scans of a class: {percents} %." if few else ""


_BOUNDS = (
    "Open markers with arrows are bounds: no training set from scratch reaches this AUROC, or the smallest "
    "does."
)


def _patients_axis(axis: Axes, patients: pd.Series) -> None:
    axis.set_xscale("log")
    axis.set_xlim(patients.min() / 1.5, patients.max() * 1.5)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if patients.max() < 30 * patients.min() else (1,)))
    axis.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}".replace(",", "\N{THIN SPACE}"))
    )
    axis.xaxis.set_minor_formatter(NullFormatter())


def _draw_multipliers(axis: Axes, rows: pd.DataFrame) -> None:
    axis.axhline(1, color=style.REFERENCE_COLOUR, linewidth=0.8)
    inits = panels.inits_of(rows)
    for position, init in enumerate(inits):
        mark = style.INIT_MARKS[init]
        arm = rows[rows["init"] == init].sort_values("num_patients")
        x = arm["num_patients"].to_numpy(dtype=float) * 10 ** ((position - (len(inits) - 1) / 2) * _DODGE)
        (y,) = panels.floats(arm, "multiplier")
        note_points(axis, x, y, arm, hover_words.of_multipliers)
        draw_intervals(axis, x, arm, mark.colour, vertical=True, thickness=0.8)
        for filled in (True, False):
            chosen = (arm["bound"] == "exact").to_numpy(dtype=bool) == filled
            axis.plot(
                x[chosen],
                y[chosen],
                color=mark.colour,
                linestyle="none",
                **panels.marker_look(init, filled=filled),
            )
        for place, height, bound in zip(x, y, arm["bound"], strict=True):
            if bound != "exact":
                axis.annotate(
                    "",
                    (place, height),
                    xytext=(0, _ARROW_POINTS if bound == "at_least" else -_ARROW_POINTS),
                    textcoords="offset points",
                    arrowprops={"arrowstyle": "<-", "color": mark.colour, "linewidth": 0.9, "shrinkA": 0},
                    annotation_clip=False,
                )


def _multiplier_axis(axis: Axes, rows: pd.DataFrame) -> None:
    low_ends, high_ends = shown_ends(rows)
    low = min(float(np.clip([*low_ends, *rows["multiplier"]], 0.02, None).min()), 1)
    high = max(float(np.max([*high_ends, *rows["multiplier"]])), 1)
    axis.set_yscale("log")
    axis.set_ylim(low / 1.6, high * 1.6)
    decades = np.log10(high / low)
    axis.yaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,))
    )
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())

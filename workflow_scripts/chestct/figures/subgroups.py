"""AUROC by subgroup of the test scans: groups of scanner, patient and finding, one panel per dataset."""

from itertools import groupby

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from chestct.figures import panels, style
from chestct.figures.study_tables import StudyTables

_ENTRY_HEIGHT = 0.17  # inches per group
_SPREAD = 0.6  # part of a group's row over which its points are spread
_ALL = "All test scans"


def subgroups(study: StudyTables) -> Figure:
    """AUROC of the study's 3D models within every group, by starting point, at the largest training set.

    Groups that hold all scans are left out; those with few scans of a class are named without a point.

    Raises:
        NothingToPlotError: no header or label tells scans apart, or as ``panels.subject_of``.
    """
    groups = telling_groups(study.subgroups)
    if groups.empty:
        raise panels.NothingToPlotError("no header field or label puts the test scans into several groups.")
    means = panels.auroc_rows(study)
    overall = panels.subject_of(means[means["percent"] == max(study.percents)])
    datasets = panels.present(study.datasets, groups)
    lines = {name: _lines(groups[groups["dataset"] == name]) for name in datasets}
    height = 1.0 + _ENTRY_HEIGHT * max(len(own) for own in lines.values())
    width = style.SINGLE_COLUMN if len(datasets) == 1 else style.DOUBLE_COLUMN
    figure, axes = panels.new_panels(1, len(datasets), width=width, height=height)
    subject = groups[groups["model"].isin(overall["model"].unique())]
    shown = pd.concat([subject, overall[overall["dataset"].isin(datasets)]])
    limits = _limits(shown)
    for axis, dataset in zip(axes.flat, datasets, strict=True):
        _draw_panel(axis, lines[dataset], overall[overall["dataset"] == dataset], subject, dataset)
        axis.set_xlim(limits)
        axis.set_title(style.wrap_name(dataset, int(width / len(datasets) * style.LETTERS_PER_INCH * 0.6)))
        axis.set_xlabel(panels.subject_label(overall))
    return panels.finish(
        figure,
        study,
        datasets=datasets,
        arms=panels.arms_of(overall),
        handles=[panels.init_handle(init, line=False) for init in panels.inits_of(overall)],
        note="Numbers behind groups: positive of all scans. Grey: fewer than ten scans of a class.",
        intervals="over patients alone",
    )


def telling_groups(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the attributes that form at least two groups in their dataset."""
    number = rows.groupby(["dataset", "attribute"])["group"].transform("nunique")
    return rows[number > 1]


def _lines(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(attribute, group, words) of the lines of a panel from the top; headings have no group."""
    found = rows.drop_duplicates(["attribute", "group"])
    lines = [("", _ALL, _ALL)]
    for attribute, members in groupby(found.to_dict("records"), key=lambda row: str(row["attribute"])):
        lines.append((attribute, "", attribute[0].upper() + attribute[1:]))
        lines += [
            (attribute, str(row["group"]), f"{row['group']} ({row['num_positive']}/{row['num_scans']})")
            for row in members
        ]
    return lines


def _draw_panel(
    axis: Axes, lines: list[tuple[str, str, str]], overall: pd.DataFrame, subject: pd.DataFrame, dataset: str
) -> None:
    own = subject[subject["dataset"] == dataset]
    inits = panels.inits_of(overall)
    heights = {line[:2]: len(lines) - 1.0 - place for place, line in enumerate(lines)}
    texts = axis.set_yticks(list(heights.values()), [words for _, _, words in lines])
    tested = {("", _ALL), *zip(own["attribute"], own["group"], strict=True)}
    for tick, (attribute, group, _) in zip(texts, lines, strict=True):
        if not group or group == _ALL:
            tick.label1.set_fontweight("bold")
        elif (attribute, group) not in tested:
            tick.label1.set_color(style.REFERENCE_COLOUR)
    for position, init in enumerate(inits):
        shift = ((len(inits) - 1) / 2 - position) * _SPREAD / max(len(inits), 2)
        whole = overall[overall["init"] == init]
        axis.axvline(
            float(whole["value"].iloc[0]), color=style.INIT_MARKS[init].colour, linewidth=0.5, linestyle=":"
        )
        rows = pd.concat([whole.assign(attribute="", group=_ALL), own[own["init"] == init]])
        y = [heights[key] + shift for key in zip(rows["attribute"], rows["group"], strict=True)]
        value, low, high = panels.floats(rows, "value", "patients_low", "patients_high")
        axis.hlines(y, low, high, color=style.INIT_MARKS[init].colour, linewidth=0.9)
        axis.plot(value, y, linestyle="none", zorder=3, **panels.marker_look(init))
    axis.set_ylim(-0.7, len(lines) - 0.3)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    low = float(np.nanmin(rows[["value", "patients_low"]].to_numpy(dtype=float)))
    high = float(np.nanmax(rows[["value", "patients_high"]].to_numpy(dtype=float)))
    return max(0.0, low - 0.02), min(1.0, high + 0.02)

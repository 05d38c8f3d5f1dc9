"""Scan quality: outcome of the conversion, slice spacing and number of slices, and thumbnails."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from chestct.figures import style
from chestct.figures.names import QUALITY
from chestct.figures.render import project_style, save_figure
from chestct.figures.study_tables import phantoms_of
from chestct.tables import read_table

_PANEL_HEIGHT = 1.75
_NUM_BINS = 24
_LABEL_LETTERS = 30
#: Number of reasons shown; rarer ones are counted together.
_MAX_REASONS = 6
#: Colour and hatching of an outcome; the hatching distinguishes them in grey.
_OUTCOMES = {
    "accepted": (style.PALETTE[0], ""),
    "repaired": (style.PALETTE[1], "///"),
    "refused": (style.PALETTE[3], "xxx"),
}


def count_outcomes(ledger: pd.DataFrame) -> list[tuple[str, str, int]]:
    """Count the scans of a ledger by outcome and reason.

    Args:
        ledger: the table "ledger".

    Returns:
        (status, reason, number of scans): converted scans first, then by frequency. A scan that was repaired
        in several ways counts once for each.
    """
    counts: list[tuple[str, str, int]] = []
    for status in _OUTCOMES:
        reasons = ledger.loc[ledger["status"] == status, "reason"].fillna("").str.split("; ").explode()
        counts += [(status, reason.replace("_", " "), number) for reason, number in _ordered(reasons)]
    return counts


def _ordered(reasons: pd.Series) -> list[tuple[str, int]]:
    counts = reasons.value_counts()
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))  # type: ignore[misc,arg-type]


def plot_quality(
    datasets: Sequence[str],
    *,
    indexes: Sequence[str | Path],
    ledgers: Sequence[str | Path],
    manifests: Sequence[str | Path],
    folder: str | Path,
    formats: Sequence[str],
    dpi: int,
) -> None:
    """Write ``folder/scan_quality.FORMAT``: one row of panels per dataset.

    Args:
        datasets: names.
        indexes, ledgers, manifests: of the datasets, in their order.
        folder: where to write.
        formats: some of png, pdf, svg.
        dpi: of png.

    Raises:
        InputError: a table or manifest is missing or broken.
    """
    stand_ins = phantoms_of(datasets, manifests)
    with project_style():
        figure = _figure(
            datasets,
            [read_table(path, "index") for path in indexes],
            [read_table(path, "ledger") for path in ledgers],
        )
        if stand_ins:
            words = f"Stand-in data: phantom scans in {', '.join(stand_ins)}."
            figure.supxlabel(words, fontsize=style.FOOTER_SIZE, color=style.FOOTER_COLOUR, x=0.01, ha="left")
        save_figure(figure, folder, QUALITY, formats=formats, dpi=dpi)


def _figure(
    datasets: Sequence[str], indexes: Sequence[pd.DataFrame], ledgers: Sequence[pd.DataFrame]
) -> Figure:
    height = min(_PANEL_HEIGHT * len(datasets) + 0.2, style.PAGE_HEIGHT)
    figure = Figure(figsize=(style.DOUBLE_COLUMN, height), layout="constrained")
    panels = figure.subplots(len(datasets), 3, squeeze=False, width_ratios=[1.2, 1, 1])
    for name, index, ledger, (outcomes, spacing, length) in zip(
        datasets, indexes, ledgers, panels, strict=True
    ):
        _draw_outcomes(outcomes, ledger)
        outcomes.set_title(f"{name}: {len(ledger)} scans", loc="left", weight="bold")
        _draw_histogram(spacing, index["spacing_z_mm"], "Slice spacing (mm)")
        _draw_histogram(length, index["num_slices"], "Slices per scan")
        length.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def _draw_outcomes(axis: Axes, ledger: pd.DataFrame) -> None:
    counts = count_outcomes(ledger)
    shown, rest = counts[:_MAX_REASONS], counts[_MAX_REASONS:]
    if rest:
        shown.append(("refused", f"{len(rest)} rarer reasons", sum(number for *_, number in rest)))
    total = max(len(ledger), 1)
    for place, (status, _, number) in enumerate(shown):
        colour, hatch = _OUTCOMES[status]
        axis.barh(
            place, number, height=0.66, color=colour, hatch=hatch, edgecolor="white", linewidth=0, zorder=2
        )
        axis.text(
            number + 0.02 * total, place, str(number), va="center", fontsize=style.RC_PARAMS["font.size"]
        )
    labels = [textwrap.fill(": ".join(filter(None, pair)), _LABEL_LETTERS) for *pair, _ in shown]
    axis.set_yticks(range(len(shown)), labels)
    axis.set_ylim(max(len(shown), 3) - 0.5, -0.5)
    axis.set_xlim(0, 1.2 * total)
    axis.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("Scans")


def _draw_histogram(axis: Axes, values: pd.Series, label: str) -> None:
    numbers = values.to_numpy(dtype=float)
    low, high = numbers.min(), numbers.max()
    bins = np.linspace(0, 1.04 * high, _NUM_BINS + 1)
    axis.hist(numbers, bins=list(bins), color=style.PALETTE[0], linewidth=0, zorder=2)
    axis.axvline(float(np.median(numbers)), color="black", linewidth=0.8, linestyle=(0, (3, 2)), zorder=3)
    spread = f"median {np.median(numbers):.4g}, from {low:.4g} to {high:.4g}"
    axis.set_title(f"all {low:.4g}" if low == high else spread, loc="left")
    axis.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.set_xlabel(label)
    axis.set_ylabel("Scans")


def quality_of(dataset: str, ledger_path: str | Path, thumbnails_path: str | Path) -> dict[str, Any]:
    """Numbers and thumbnails of a dataset's scans for the report.

    Returns:
        dataset; num_scans, num_converted, num_repaired; counts: (status, reason, scans); converted and
        refused: thumbnails, dicts with caption, alt, jpeg (Base64 or None).

    Raises:
        InputError: a table is missing or broken.
    """
    ledger = read_table(ledger_path, "ledger")
    tiles = read_table(thumbnails_path, "thumbnails")
    status = ledger["status"]
    is_refused = tiles["status"] == "refused"
    return {
        "dataset": dataset,
        "num_scans": len(ledger),
        "num_converted": int((status != "refused").sum()),
        "num_repaired": int((status == "repaired").sum()),
        "counts": count_outcomes(ledger),
        "converted": [_tile(row) for row in tiles[~is_refused].to_dict("records")],
        "refused": [_tile(row) for row in tiles[is_refused].to_dict("records")],
    }


def _tile(row: dict[Any, Any]) -> dict[str, Any]:
    reason = "" if pd.isna(row["reason"]) else str(row["reason"]).replace("_", " ")
    slices = f"{row['num_slices']} slices" if row["num_slices"] else "no slice read"
    spacing = "" if pd.isna(row["spacing_mm"]) else f"{row['spacing_mm']:.4g} mm apart"
    words = [reason, ", ".join(filter(None, [slices, spacing])), f"line {row['ledger_row']} of the ledger"]
    view = "A slice of a refused scan" if row["status"] == "refused" else "Axial and coronal view of a scan"
    return {
        "caption": "; ".join(filter(None, words)),
        "alt": f"{view}: {'; '.join(filter(None, words[:2]))}",
        "jpeg": None if pd.isna(row["jpeg"]) else row["jpeg"],
    }

"""Where the variance of the claims' contrasts comes from: test patients, training runs or models."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from chestct.figures import panels, style
from chestct.figures.claim_sentences import contrast_rows
from chestct.figures.study_tables import StudyTables
from chestct.figures.wording import contrast_title


class Source(NamedTuple):
    """A source of variance: its name, what would reduce its part, and its look in the figure."""

    title: str
    remedy: str
    colour: str
    hatch: str


SOURCES = {
    "patients": Source("Patients", "more test patients", style.PALETTE[0], ""),
    "training": Source("Training runs", "more training runs (seeds)", style.PALETTE[1], "////"),
    "models": Source("Models", "more models", style.PALETTE[2], "...."),
}
#: Stands for the dataset in the row of a claim, which is the mean over all its cells.
ALL_CELLS = ""

_SHARES = [f"share_{source}" for source in SOURCES]
_ROW_HEIGHT = 0.155  # inches
_BAR = 0.74  # of a row


def share_rows(study: StudyTables) -> pd.DataFrame:
    """Shares of the variance: of every claim, followed by its cells.

    Returns:
        Columns contrast, dataset (``ALL_CELLS`` for a claim), model, percent (0 for a claim), difference,
        standard_error and the shares; no rows if the study tests none of the claims. Shares are missing where
        an arm has one training run, and that of the models for a single model.
    """
    columns = ["contrast", "dataset", "model", "percent", "difference", "standard_error", *_SHARES]
    parts = []
    for _, claim in study.claims[study.claims["num_cells"] > 0].iterrows():
        mean = pd.DataFrame([claim]).assign(dataset=ALL_CELLS, model="", percent=0)
        parts += [mean[columns], contrast_rows(study, str(claim["contrast"]))[columns]]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def what_helps(row: Mapping[Any, Any]) -> str:
    """The largest source of variance of a row of ``share_rows``, and its remedy; empty without shares."""
    shares = {source: float(row[f"share_{source}"]) for source in SOURCES if pd.notna(row[f"share_{source}"])}
    if not shares:
        return ""
    largest = max(shares, key=lambda source: shares[source])
    title, remedy = SOURCES[largest][:2]
    return f"{style.in_sentence(title)} make up {100 * shares[largest]:.0f} %, so {remedy} would help most"


def variance_shares(study: StudyTables) -> Figure:
    """One panel per claim: a stacked bar for the claim, and one for each of its cells below.

    Raises:
        NothingToPlotError: the study tests none of the claims, or every arm has one training run.
    """
    rows = share_rows(study)
    if rows.empty:
        raise panels.NothingToPlotError("the study tests none of the paper's claims.")
    if rows["share_patients"].isna().all():
        raise panels.NothingToPlotError(
            "nothing is decidable with one training run an arm: it needs two seeds, or folds."
        )
    contrasts = list(rows["contrast"].unique())
    places = _places(study, rows)
    width = style.SINGLE_COLUMN if len(contrasts) == 1 else style.DOUBLE_COLUMN
    height = 1.35 + _ROW_HEIGHT * (1 - min(place.y for place in places.values()))
    figure, axes = panels.new_panels(1, len(contrasts), width=width, height=height, sharey=True)
    for axis, contrast in zip(axes.flat, contrasts, strict=True):
        _draw(axis, rows[rows["contrast"] == contrast], places)
        axis.set_title(contrast_title(contrast))
    axes.flat[len(contrasts) // 2].set_xlabel("Share of the variance of the mean difference in AUROC (%)")
    _name_places(axes.flat[0], places)
    handles = [
        Patch(facecolor=source.colour, hatch=source.hatch, edgecolor="white", linewidth=0, label=source.title)
        for source in SOURCES.values()
    ]
    claims = rows[rows["dataset"] == ALL_CELLS]
    words = [(contrast_title(row["contrast"]), what_helps(row)) for row in claims.to_dict("records")]
    return panels.finish(
        figure,
        study,
        datasets=panels.present(study.datasets, rows),
        arms=_arms(study, contrasts),
        handles=handles,
        note=" ".join([*(f"{contrast}: {helps}." for contrast, helps in words if helps), _NOTE]),
    )


_NOTE = "Numbers at the right: standard error. All cells: the average over them, which tests the claim."

#: A heading or bar: dataset, percentage (0 for a heading and for all cells), model ("" for a mean).
_Entry = tuple[str, int, str]


class _Place(NamedTuple):
    """Where a heading or bar lies, in rows from the top bar down (negative), and its name."""

    y: float
    name: str


def _places(study: StudyTables, rows: pd.DataFrame) -> dict[_Entry, _Place]:
    """All cells, then each dataset's heading above its percentages (and models, where there are several)."""
    places: dict[_Entry, _Place] = {(ALL_CELLS, 0, ""): _Place(0.0, "All cells")}
    y = 0.0
    for dataset in panels.present(study.datasets, rows):
        cells = dict.fromkeys(_keys(rows[rows["dataset"] == dataset].sort_values("percent", kind="stable")))
        several = len({model for _, _, model in cells}) > 1
        heading = style.wrap_name(dataset, 22)
        reach = (1 + heading.count("\n")) / 2
        places[(dataset, 0, "")] = _Place(y - 0.5 - reach, heading)
        y -= 2 * reach
        for key in cells:
            y -= 1
            _, percent, model = key
            name = f"{percent} %, {style.model_title(model)}" if several and model else f"{percent} %"
            places[key] = _Place(y, name)
    return places


def _keys(rows: pd.DataFrame) -> list[_Entry]:
    cells = zip(rows["dataset"], rows["percent"], rows["model"], strict=True)
    return [(str(d), int(percent), "" if style.is_mean(model) else str(model)) for d, percent, model in cells]


def _name_places(axis: Axes, places: Mapping[_Entry, _Place]) -> None:
    ticks = axis.set_yticks([place.y for place in places.values()], [place.name for place in places.values()])
    for tick, (_, percent, _) in zip(ticks, places, strict=True):
        if not percent:
            tick.label1.set_fontweight("bold")


def _draw(axis: Axes, rows: pd.DataFrame, places: Mapping[_Entry, _Place]) -> None:
    y = np.array([places[key].y for key in _keys(rows)])
    shares = 100 * rows[_SHARES].to_numpy(dtype=float)
    left = np.zeros(len(rows))
    for column, source in enumerate(SOURCES.values()):
        part = np.nan_to_num(shares[:, column])
        axis.barh(
            y,
            part,
            left=left,
            height=_BAR,
            color=source.colour,
            hatch=source.hatch,
            edgecolor="white",
            linewidth=0,
        )
        left += part
    axis.axhspan(-0.5, 0.5, color=style.SHADE_COLOUR, linewidth=0, zorder=0)
    transform = axis.get_yaxis_transform()
    for place, error, known in zip(y, rows["standard_error"], np.isfinite(shares[:, 0]), strict=True):
        x, words = 1.02, f"{error:.3f}"
        if not known:
            x, words = 0.02, "one run" if pd.isna(error) else "no variance"
        axis.text(x, place, words, transform=transform, va="center", fontsize=style.FOOTER_SIZE)
    axis.set_xlim(0, 100)
    axis.set_xticks([0, 25, 50, 75, 100])
    axis.set_ylim(min(place.y for place in places.values()) - 0.6, 0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)


def _arms(study: StudyTables, contrasts: list[str]) -> set[tuple[str, str]]:
    """(model, init) behind the contrasts, for the note on stand-ins."""
    inits = {"video", *(contrast.partition(" - ")[2] for contrast in contrasts)} & set(style.INIT_MARKS)
    inits |= {"imagenet"} if "video - best_2d" in contrasts else set()
    runs = study.runs[study.runs["init"].isin(inits)]
    return panels.arms_of(runs)

"""AUROC against the percentage of training patients: the mean over models, and a panel for each model."""

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from chestct.chosen_rival import COMPOSED
from chestct.figures import panels, small_multiples, style
from chestct.figures.intervals import value_limits
from chestct.figures.percent_axis import percent_axis
from chestct.figures.references import draw_references, line_handles, references_of
from chestct.figures.rivals import by_fold_note, chosen_rivals, rival_rows
from chestct.figures.study_tables import StudyTables

_BEST_2D_INIT = "imagenet"
#: AUROC of scores that know nothing, how much of the axis lies around it at least, and how it is drawn.
_CHANCE, _CHANCE_ROOM = 0.5, 0.02
_CHANCE_LOOK: dict[str, Any] = {"color": style.REFERENCE_COLOUR, "linestyle": (0, (1, 1)), "linewidth": 0.9}


def auroc_by_percent(study: StudyTables) -> Figure:
    """Mean over the study's claimed models (or its only 3D model), one panel per dataset.

    Beside it stand the 2D model that validation chose, the scores without the image, and chance.

    Raises:
        NothingToPlotError: as ``panels.subject_of``.
    """
    rows = panels.auroc_rows(study)
    references = references_of(rows)
    subject = panels.subject_of(rows)
    rivals = rival_rows(study)
    rivals = rivals[rivals["dataset"].isin(subject["dataset"])]
    # One line, whichever models were chosen at a percentage, in a fold.
    in_its_place = rivals.assign(model=COMPOSED)
    arms = pd.concat([subject, in_its_place]) if len(rivals) else subject
    datasets = panels.present(study.datasets, subject)

    columns = min(len(datasets), 3)
    num_rows = math.ceil(len(datasets) / columns)
    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    figure, axes = panels.new_panels(
        num_rows, columns, width=width, height=0.85 + 2.35 * num_rows, sharex=False
    )
    low, high = value_limits(pd.concat([arms, references]))
    limits = min(low, _CHANCE - _CHANCE_ROOM), max(high, _CHANCE + _CHANCE_ROOM)
    for axis, dataset in zip(axes.flat, datasets, strict=False):
        of_panel = subject[subject["dataset"] == dataset]
        percent_axis(axis, study.percents, width / columns - 0.6, of_panel, numbers=True)
        axis.set_ylim(limits)
        axis.axhline(_CHANCE, **_CHANCE_LOOK)
        panels.draw_arms(axis, arms[arms["dataset"] == dataset], bands=arms["init"].nunique() <= 2)
        draw_references(axis, references[references["dataset"] == dataset])
        axis.set_title(panels.dataset_title(of_panel, width / columns - 0.6))
        axis.set_xlabel(f"{panels.counted_patients(rows)} (% of all; number)")
        axis.tick_params(labelbottom=True)
    for axis in axes.flat[len(datasets) :]:
        axis.remove()
    for row in axes:
        row[0].set_ylabel(panels.subject_label(subject))
    notes = [
        panels.fewer_models(subject),
        panels.few_scans_note(subject),
        by_fold_note(chosen_rivals(study, datasets)),
    ]
    return panels.finish(
        figure,
        study,
        datasets=datasets,
        arms=panels.arms_of(subject) | panels.arms_of(rivals),
        handles=[
            *line_handles(study, subject, references),
            *([panels.init_handle(_BEST_2D_INIT, "Best 2D model on validation")] if len(rivals) else []),
            panels.reference_handle("Chance", _CHANCE_LOOK["color"], _CHANCE_LOOK["linestyle"]),
        ],
        note=" ".join(filter(None, notes)),
        rows=subject,
    )


def auroc_by_percent_per_model(study: StudyTables) -> Figure:
    """One panel per model and dataset; panels of a dataset share their axis."""
    rows = panels.auroc_rows(study)
    references = references_of(rows)
    rows = panels.own_models(rows)
    by_dataset = {name: rows[rows["dataset"] == name] for name in panels.present(study.datasets, rows)}
    num_models = max(part["model"].nunique() for part in by_dataset.values())
    columns = small_multiples.balanced_columns(num_models, 4 if num_models <= 12 else 5)
    rows_a_dataset = {name: math.ceil(part["model"].nunique() / columns) for name, part in by_dataset.items()}
    num_rows = sum(rows_a_dataset.values())

    width = style.SINGLE_COLUMN if columns == 1 else style.DOUBLE_COLUMN
    row_height = 1.45 if num_rows > 1 else 2.2
    figure, axes = panels.new_panels(
        num_rows, columns, width=width, height=0.8 + row_height * num_rows, sharex=False
    )
    top = 0
    for dataset, part in by_dataset.items():
        own_references = references[references["dataset"] == dataset]
        block = axes[top : top + rows_a_dataset[dataset]]
        top += rows_a_dataset[dataset]
        limits = value_limits(pd.concat([part, own_references]))
        models = list(part["model"].unique())
        for axis, model in zip(block.flat, models, strict=False):
            of_model = part[part["model"] == model]
            percent_axis(axis, study.percents, width / columns - 0.3, of_model, numbers=False)
            axis.set_ylim(limits)
            panels.draw_arms(axis, of_model, bands=rows["init"].nunique() <= 2)
            draw_references(axis, own_references)
            axis.set_title(
                style.wrap_name(
                    style.model_title(model), int((width - 0.5) / columns * style.LETTERS_PER_INCH) - 1
                )
            )
        for axis in block.flat[len(models) :]:
            axis.remove()
        for row in block:
            row[0].set_ylabel(f"{style.wrap_name(dataset, 20)}\nAUROC")
            for axis in row[1:]:
                axis.tick_params(labelleft=False)
    for axis in figure.axes:
        axis.tick_params(labelbottom=True)
    for axis in axes[-1]:
        if axis in figure.axes:
            axis.set_xlabel(f"{panels.counted_patients(rows)} (% of all)")
    return panels.finish(
        figure,
        study,
        datasets=by_dataset,
        arms=panels.arms_of(rows),
        handles=line_handles(study, rows, references),
        note=panels.few_scans_note(rows),
        rows=rows,
    )

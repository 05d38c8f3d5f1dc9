"""Rows of the tables ``predictions`` (scores of scans, highest-scoring windows) and ``window_scores``."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from chestct.run import Run
from chestct.tables import read_table, write_table


def windows_in_order(study_ids: Sequence[str], windows: pd.DataFrame) -> pd.DataFrame:
    """The windows of scans in the order in which they are scored, with the number of their scan.

    Args:
        study_ids: of the scans, in order.
        windows: table of that schema.

    Returns:
        Columns number, start, stop, num_positive_slices.
    """
    numbers = pd.DataFrame({"study_id": study_ids, "number": range(len(study_ids))})
    chosen = windows[windows["study_id"].isin(numbers["study_id"])].reset_index(names="place")
    listed = chosen.merge(numbers, on="study_id", validate="m:1").sort_values(["number", "place"])
    return listed[["number", "start", "stop", "num_positive_slices"]].reset_index(drop=True)


def predictions_of(
    run: Run, scans: pd.DataFrame, listed: pd.DataFrame, scores: np.ndarray, top: np.ndarray
) -> pd.DataFrame:
    """Predictions of a run.

    Args:
        run: the run.
        scans: rows of the table ``splits``.
        listed: their windows (``windows_in_order``).
        scores: of the scans, in [0, 1].
        top: rows in ``listed`` of the scans' highest-scoring windows, shape (num_scans,).
    """
    table = scans[["split", "patient_id", "study_id", "label"]].reset_index(drop=True)
    marked = listed["num_positive_slices"] > 0
    best = listed.iloc[top]
    return table.assign(
        **run.asdict(),
        score=scores,
        num_windows=np.bincount(listed["number"]),
        top_start=best["start"].to_numpy(),
        top_stop=best["stop"].to_numpy(),
        top_marked=marked.iloc[top].to_numpy(dtype=int),
        num_marked_windows=np.bincount(listed["number"], weights=marked).astype(int),
    )


def write_predictions(
    tables: Sequence[pd.DataFrame], output: str, *, outside: str | None, own_predictions: str | None
) -> None:
    """Write the predictions of all runs of a model.

    Args:
        tables: of ``predictions_of``.
        output: table of schema ``predictions``.
        outside: name of a test set outside the training set, which then stands for the dataset.
        own_predictions: what these runs gave on their own dataset: the scores of the validation scans, which
            are the same ones, are taken from there.
    """
    tables = list(tables)
    if own_predictions is not None:
        own = read_table(own_predictions, "predictions")
        folds = {int(fold) for table in tables for fold in table["fold"].unique()}
        tables.append(own[(own["split"] == "validation") & own["fold"].isin(folds)])
    table = pd.concat(tables, ignore_index=True)
    write_table(table if outside is None else table.assign(dataset=outside), output, "predictions")


def window_scores_of(run: Run, scans: pd.DataFrame, listed: pd.DataFrame, scores: np.ndarray) -> pd.DataFrame:
    """Scores of all windows of the test scans of a run (table ``window_scores``).

    Args:
        run: the run.
        scans: rows of the table ``splits``.
        listed: their windows (``windows_in_order``).
        scores: of these windows, in [0, 1].
    """
    numbers = listed["number"].to_numpy()
    table = pd.DataFrame(
        {
            **run.asdict(),
            "study_id": scans["study_id"].to_numpy(dtype=object)[numbers],
            "start": listed["start"],
            "stop": listed["stop"],
            "score": scores,
        }
    )
    return table[(scans["split"] == "test").to_numpy()[numbers]]


def write_window_scores(tables: Sequence[pd.DataFrame], output: str, *, outside: str | None) -> None:
    """Write the scores of the windows of all runs of a model that may be shown.

    Args:
        tables: of ``window_scores_of``.
        output: table of schema ``window_scores``.
        outside: name of a test set outside the training set, which then stands for the dataset.
    """
    table = pd.concat(tables, ignore_index=True)
    write_table(table if outside is None else table.assign(dataset=outside), output, "window_scores")

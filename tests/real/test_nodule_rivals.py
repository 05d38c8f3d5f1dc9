"""What size and geometry alone tell of the labels of 2,604 real nodules, from the project's own table."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from chestct.download.labels.lidc_nodule_table import read_nodules, task_labels
from chestct.evaluation.metadata_model import SIZE, fit_and_score, log_size
from chestct.subsets.splits import split_patients

_COLUMNS = {"slice_spacing_mm": "spacing_z_mm", "pixel_spacing_mm": "pixel_mm"}


@pytest.fixture(scope="module")
def nodules() -> pd.DataFrame:
    """Columns of the table acquisition, and the size, of all nodules."""
    table = read_nodules().rename(columns=_COLUMNS)
    return table.assign(**{SIZE: log_size(table["volume_mm3"])})


def cross_validated(nodules: pd.DataFrame, task: str, rival: str) -> float:
    """AUROC of a rival on all nodules of a task, averaged over five folds by patient."""
    labels = task_labels(nodules, task)["label"]
    used = nodules[labels.notna()].assign(label=labels.dropna().astype(int), dataset=task, status="used")
    shares = {"train": 0.6, "validation": 0.2, "test": 0.2}
    splits = split_patients(used, shares=shares, folds=5, seed=0)
    facts, values = used.set_index("study_id"), []
    for _, part in splits.groupby("fold"):
        tested = part["split"] == "test"
        training, test = (facts.loc[part.loc[chosen, "study_id"]] for chosen in (~tested, tested))
        scores = fit_and_score(rival, training, training["label"].to_numpy(), test)
        values.append(roc_auc_score(test["label"], scores))
    return float(np.mean(values))


@pytest.mark.parametrize(
    ("task", "rival", "expected"),
    [
        ("agreement", "size_and_spacing", 0.75),
        ("agreement", "spacing", 0.56),
        ("malignancy", "size_and_spacing", 0.93),
        ("malignancy", "slice_count", 0.76),
        ("texture", "size_and_spacing", 0.66),
    ],
)
def test_rivals_tell_of_real_nodules_what_was_found_beforehand(nodules, task, rival, expected):
    assert cross_validated(nodules, task, rival) == pytest.approx(expected, abs=0.025)

"""The label table that the project carries: its counts, its tasks, and what volume alone tells."""

import numpy as np
import pandas as pd
import pytest

from chestct.download.labels.lidc_nodule_table import TABLE, read_nodules, task_labels

#: Positive and negative nodules and patients by task.
COUNTS = {"agreement": (1_326, 1_278, 875), "malignancy": (402, 439, 523), "texture": (1_038, 118, None)}
#: AUROC of the volume.
ALONE = {"agreement": 0.745, "malignancy": 0.915, "texture": 0.54}


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    ranks = pd.Series(scores).rank().to_numpy()
    positive = labels == 1
    count = positive.sum()
    return (ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(labels) - count))


def test_the_table_holds_the_nodules_that_map():
    nodules = read_nodules()
    assert (len(nodules), nodules["patient_id"].nunique()) == (2_604, 875)
    assert nodules["study_id"].is_unique
    assert nodules["num_slices"].agg(["min", "median", "max", "sum"]).tolist() == [1, 4, 56, 15_459]
    assert nodules["crc32"].str.fullmatch("[0-9a-f]{8}").all()
    assert TABLE.stat().st_size < 300_000


@pytest.mark.parametrize("task", COUNTS)
def test_counts_of_the_tasks(task):
    nodules = read_nodules()
    labels = task_labels(nodules, task)
    positive, negative, patients = COUNTS[task]
    assert labels["label"].value_counts().to_dict() == {1: positive, 0: negative}
    assert (labels["label"].isna() == labels["exclusion"].notna()).all()
    if patients is not None:
        assert nodules.loc[labels["label"].notna(), "patient_id"].nunique() == patients


def test_every_exclusion_has_its_reason():
    nodules = read_nodules()
    assert task_labels(nodules, "agreement")["exclusion"].isna().all()
    for task, between in (
        ("malignancy", "malignancy_undecided"),
        ("texture", "texture_between_solid_and_not"),
    ):
        labels = task_labels(nodules, task)
        assert set(labels["exclusion"].dropna()) == {"fewer_than_three_readers", between}
        few = labels["exclusion"] == "fewer_than_three_readers"
        assert (few.fillna(False) == (nodules["num_readers"] < 3)).all()


@pytest.mark.parametrize("task", ALONE)
def test_what_volume_alone_tells(task):
    nodules = read_nodules()
    labels = task_labels(nodules, task)["label"]
    used = labels.notna().to_numpy()
    found = auroc(labels[used].to_numpy(int), nodules.loc[used, "volume_mm3"].to_numpy())
    assert found == pytest.approx(ALONE[task], abs=0.005)

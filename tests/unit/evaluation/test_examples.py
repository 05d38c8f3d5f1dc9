"""Scans that stand for an outcome: the median score of each, by the run that validation chose."""

import numpy as np
import pandas as pd

from chestct.evaluation.failures import MAX_EXAMPLES, Decided, example_rows, failure_rows
from chestct.evaluation.matching import RunKey
from chestct.evaluation.predictions import TopWindows
from chestct.evaluation.scans import TestSet
from chestct.tables import check_table

POSITIVE, NEGATIVE = [0.9, 0.2, 0.8, 0.7, 0.1, 0.6], [0.1, 0.3, 0.2, 0.95]


def decided_on(scores, labels):
    number = len(scores)
    test_set = TestSet(
        dataset="d",
        study_ids=np.array([f"s{i}" for i in range(number)], dtype=object),
        patient_ids=np.array([f"p{i}" for i in range(number)], dtype=object),
        labels=np.array(labels),
        folds=np.zeros(number, dtype=int),
        baseline=None,
        validation=pd.DataFrame(),
    )
    start = np.arange(number)
    windows = TopWindows(start, start + 8, np.zeros(number, int), np.full(number, 3), np.zeros(number, int))
    run = RunKey("i3d", "video", 100, 0)
    return Decided(run, np.array(scores), np.full(number, 0.5), windows, 0.9), test_set


def test_scans_of_every_outcome_are_taken_from_the_middle_outwards():
    decided, test_set = decided_on(POSITIVE + NEGATIVE, [1] * 6 + [0] * 4)
    rows = pd.DataFrame(example_rows(decided, test_set)).assign(dataset="d")
    rows = check_table(rows, "examples", where="here")
    found = {name: part["study_id"].tolist() for name, part in rows.groupby("outcome", sort=False)}
    assert found == {
        "true_positive": ["s3", "s5"],  # 0.6, 0.7, 0.8, 0.9: of the middle two the lower, then its neighbours
        "false_negative": ["s4", "s1"],
        "false_positive": ["s9"],
        "true_negative": ["s8", "s6"],
    }
    assert rows.groupby("outcome")["num_scans"].first().to_dict() == {
        "true_positive": 4,
        "false_negative": 2,
        "false_positive": 1,
        "true_negative": 3,
    }
    assert rows["top_start"].tolist() == [int(name[1:]) for name in rows["study_id"]]
    assert rows.groupby("outcome")["rank"].max().max() == MAX_EXAMPLES


def test_equal_scores_are_taken_in_the_order_of_the_test_set_and_no_run_gives_no_row():
    decided, test_set = decided_on([0.7] * 5, [1] * 5)
    assert [row["study_id"] for row in example_rows(decided, test_set)] == ["s2", "s1"]
    assert list(example_rows(None, test_set)) == []
    assert list(failure_rows(None, test_set, pd.DataFrame())) == []

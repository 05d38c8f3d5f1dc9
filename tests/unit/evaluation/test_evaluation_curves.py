"""Curves and calibration."""

import numpy as np
import pandas as pd
import pytest
from evaluated import SEVEN, one_row
from sklearn.metrics import precision_recall_curve, roc_curve

from chestct.evaluation.curves import GRID, run_curves
from chestct.evaluation.resampling import bootstrap_counts


def test_curves_are_scikit_learns_steps():
    rng = np.random.default_rng(0)
    labels = (rng.random(90) < 0.4).astype(int)
    scores = np.round(rng.normal(labels, 1), 1)
    counts = bootstrap_counts(np.arange(90), labels, 20, rng)
    curves = run_curves(labels, scores, counts)
    for number, row in enumerate(counts):
        drawn = np.repeat(labels, row), np.repeat(scores, row)
        false_rate, found_rate, _ = roc_curve(*drawn, drop_intermediate=False)
        expected = [found_rate[false_rate <= x + 1e-9].max() for x in GRID]
        np.testing.assert_allclose(curves["roc"][:, number], expected, atol=1e-12)
        precision, recall, _ = precision_recall_curve(*drawn)
        precision, recall = precision[:-1][::-1], recall[:-1][::-1]  # from the highest threshold down
        wanted = np.maximum(GRID - 1e-9, 1e-9)
        expected = [precision[np.flatnonzero(recall >= x)[0]] for x in wanted]
        np.testing.assert_allclose(curves["precision_recall"][:, number], expected, atol=1e-12)


def test_curves_of_a_study_are_of_the_largest_percent(full_study):
    table = full_study.tables["curves"]
    assert set(table["percent"]) == {100}
    assert (table["low"] <= table["y"] + 0.15).all() and (table["high"] >= table["y"] - 0.15).all()
    arms = table.groupby(["model", "init", "curve"]).size()
    assert (arms == len(GRID)).all() and len(arms) == 2 * (9 * 2 + 2 * 2 + 2)
    seven = table[table["model"].isin(SEVEN) & (table["init"] == "video") & (table["curve"] == "roc")]
    mean = table.query("model == 'mean_of_seven' and init == 'video' and curve == 'roc'")
    np.testing.assert_allclose(seven.groupby("x")["y"].mean(), mean["y"], atol=1e-12)


def test_calibration_pools_seeds_and_models(full_study):
    table = full_study.tables["calibration"]
    held = table.groupby(["model", "init"])["num_scans"].sum()
    assert held["csn_narrow", "video"] == 30 * 2 and held["mean_of_seven", "video"] == 30 * 2 * 7
    assert ((table["low"] <= table["share_positive"]) & (table["share_positive"] <= table["high"])).all()
    files = full_study.files.predictions["lidc_phantom"]
    path = next(path for path in files if path.parent.name == "csn_narrow")
    rows = pd.read_csv(path).query("split == 'test' and percent == 100 and init == 'video'")
    inside = rows[(rows["score"] >= 0.3) & (rows["score"] < 0.4)]
    row = one_row(table, model="csn_narrow", init="video", bin=3)
    assert row["num_scans"] == len(inside)
    assert row["mean_score"] == pytest.approx(inside["score"].mean())
    assert row["share_positive"] == pytest.approx(inside["label"].mean())

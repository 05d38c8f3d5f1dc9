"""Validation ranks what the model says of scans, however sure it is; so does what is stored of it."""

import numpy as np
import pytest
import torch
from engine_data import score
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from chestct.tables import read_table
from chestct.training import predict
from chestct.training.scoring import auroc, largest, top_windows, validation_metrics


def sure_of(shift, num=400):
    """Logits (float32) of scans that a model takes for positive, more or less, and their labels."""
    labels = torch.arange(num) % 2
    return torch.randn(num, generator=torch.Generator().manual_seed(1)) * 3 + labels * 3 + shift, labels


@pytest.mark.parametrize("shift", [-100, 0, 8, 14, 18, 22, 100])
def test_confident_scans_do_not_tie(shift):
    logits, labels = sure_of(shift)
    found = validation_metrics(logits, labels)
    assert found["validation_auroc"] == pytest.approx(roc_auc_score(labels, logits), abs=1e-12)
    # The same scans in the same order, but for what float32 keeps of larger numbers.
    assert found["validation_auroc"] == pytest.approx(0.730, abs=0.001)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(-5, 5)), min_size=2, max_size=40))
def test_auroc_equals_sklearns_with_ties(pairs):
    labels, scores = (torch.tensor(values) for values in zip(*pairs, strict=True))
    if 0 < labels.sum() < len(labels):
        assert auroc(scores.double(), labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_equal_orders_have_equal_aurocs_to_the_last_bit():
    logits, labels = sure_of(0)
    logits = logits.double()
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(2))
    for changed in (logits * 3 - 7, logits.exp(), logits.argsort().argsort()):
        assert auroc(changed, labels) == auroc(logits, labels)
        assert auroc(changed[shuffled], labels[shuffled]) == auroc(logits, labels)


def test_the_loss_is_computed_in_float64():
    logits, labels = sure_of(0)
    expected = log_loss(labels, logits.double().sigmoid())
    assert validation_metrics(logits, labels)["validation_loss"] == pytest.approx(expected, rel=1e-12)


def test_stored_scores_tell_confident_scans_apart(data, trained, tmp_path, monkeypatch):
    logits = torch.tensor([20.0, -40, 33, 0, 17.5, 36, -5, 33.1, 5, 20.001, -90, 25])
    windows = torch.stack([logits - 1, logits], dim=1).flatten(), torch.arange(12).repeat_interleave(2)
    monkeypatch.setattr(predict, "window_logits", lambda *_, **__: windows)
    stored = score(data, trained, tmp_path / "predictions.csv")["score"].to_numpy()
    assert ((stored > 0) & (stored < 1)).all()
    assert np.array_equal(stored, logits.double().sigmoid().numpy())
    assert np.array_equal(np.argsort(stored), np.argsort(logits.numpy()))
    assert len(np.unique(stored)) == 12  # in float32, seven of them would be 1


def test_the_top_window_is_the_first_of_the_largest_in_its_scan():
    logits = torch.tensor([1.0, 3.0, 3.0, -2.0, 5.0, 4.0])
    numbers = torch.tensor([0, 0, 0, 1, 2, 2])
    assert largest(logits, numbers, 3).tolist() == [3.0, -2.0, 5.0]
    assert top_windows(logits, numbers, 3).tolist() == [1, 3, 4]


def test_predictions_say_which_window_scored_highest_and_whether_it_is_marked(
    data, trained, tmp_path, monkeypatch
):
    """Every scan has two windows; the second scores higher in odd scans."""
    numbers = torch.arange(12).repeat_interleave(2)
    logits = torch.where(torch.arange(24) % 2 == numbers % 2, 1.0, 0.0)
    monkeypatch.setattr(predict, "window_logits", lambda *_, **__: (logits, numbers))
    stored = score(
        data, trained, tmp_path / "predictions.csv", window_scores=tmp_path / "window_scores.parquet"
    )
    windows = read_table(data["windows"], "windows")
    for number, row in enumerate(stored.itertuples()):
        own = windows[windows["study_id"] == row.study_id].reset_index(drop=True)
        best = own.loc[number % 2]
        assert (row.top_start, row.top_stop) == (best["start"], best["stop"])
        assert row.top_marked == int(best["num_positive_slices"] > 0)
        assert row.num_marked_windows == (own["num_positive_slices"] > 0).sum()
    assert stored["num_marked_windows"].max() > 0
    scores = read_table(tmp_path / "window_scores.parquet", "window_scores")
    tested = stored[stored["split"] == "test"]
    assert scores["study_id"].tolist() == tested["study_id"].repeat(2).tolist()
    assert set(scores["score"].round(12)) == {0.5, round(1 / (1 + np.exp(-1)), 12)}
    best = scores.loc[scores.groupby("study_id", sort=False)["score"].idxmax()]
    assert (
        best[["start", "stop"]].to_numpy().tolist() == tested[["top_start", "top_stop"]].to_numpy().tolist()
    )
    assert best["score"].to_numpy() == pytest.approx(tested["score"].to_numpy(), abs=1e-15)

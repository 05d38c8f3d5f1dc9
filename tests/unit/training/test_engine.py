"""The training engine on a tiny dataset in which bright scans are positive."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from engine_data import (
    RUN,
    SCRATCH,
    SETTINGS,
    assert_equal_runs,
    history,
    make_job,
    pretrain_on_clips,
    record,
    score,
    train,
    windows,
)

from chestct.errors import DivergenceError, InputError
from chestct.training import budget, start
from chestct.training.precision import scores_in
from chestct.training.settings import TrainingSettings, WindowsSeen


def test_a_run_leaves_weights_curve_record_and_configuration(trained):
    files = {"weights.safetensors", "history.csv", "run.csv", "config.yaml"}
    assert {path.name for path in trained.glob("[!.]*")} == files
    assert history(trained)["step"].tolist() == [4, 8, 12]
    assert history(trained)["windows_seen"].tolist() == [16, 32, 48]
    row = record(trained)
    assert row["num_steps"] == 12
    assert row["num_scans"] == 12
    assert row["validation_auroc"] == pytest.approx(history(trained)["validation_auroc"].max())
    assert pd.isna(row["initial_weights"])
    assert (row["stopped_early"], row["resumed"], row["device"]) == (0, 0, "cpu")
    assert row["learning_rate"] == SETTINGS.learning_rate
    assert 0 <= row["data_wait_percent"] < 100
    # Both are rounded to two places, which counts for more the longer the run took.
    rate, seconds = row["windows_per_second"], row["seconds"]
    assert rate * seconds == pytest.approx(48, abs=0.0051 * (rate + seconds))


def test_it_learns_what_can_be_learnt(trained):
    assert record(trained)["validation_auroc"] > 0.9


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_same_run_gives_the_same_weights_whatever_processes_read(data, trained, tmp_path, num_workers):
    assert_equal_runs(trained, train(make_job(data, num_workers=num_workers), tmp_path))


def test_the_seed_depends_on_all_but_the_init():
    assert start.run_seed(replace(RUN, init="video")) == start.run_seed(RUN)
    assert start.run_seed(replace(RUN, seed=1)) != start.run_seed(RUN)


def test_starting_weights_are_used_and_recorded(data, trained, tmp_path):
    start = SCRATCH | {"path": str(trained / "weights.safetensors"), "words": "the run before"}
    train(make_job(data), tmp_path, run=replace(RUN, init="ct"), initial=start)
    row, first = record(tmp_path), record(trained)
    assert row["initial_weights_sha256"] == first["final_weights_sha256"]
    assert row["final_weights_sha256"] != first["final_weights_sha256"]
    assert row["data_digest"] == first["data_digest"]
    assert row["config_digest"] != ""


def test_a_wrong_digest_of_the_starting_weights_stops_and_writes_nothing(data, trained, tmp_path):
    start = SCRATCH | {"path": str(trained / "weights.safetensors"), "sha256": "0" * 64, "words": "w"}
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        train(make_job(data), tmp_path, run=replace(RUN, init="ct"), initial=start)
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_is_no_number_stops_with_the_remedy(data, tmp_path):
    with pytest.raises(DivergenceError, match="lower learning_rate"):
        train(make_job(data, learning_rate=1e30), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_small_subsets_get_the_minimum_of_steps():
    assert budget.num_training_steps(4, SETTINGS) == 12
    assert budget.num_training_steps(40, SETTINGS) == 21, "20, rounded up to three equal parts"


def test_the_last_step_is_validated(data, tmp_path):
    train(make_job(data, budget=windows(52)), tmp_path)
    assert history(tmp_path)["step"].tolist() == [5, 10, 15]
    assert record(tmp_path)["num_steps"] == 15


def test_without_progress_a_run_stops_and_keeps_its_best_weights(data, tmp_path):
    # A rate at which no weight changes: no validation is better than the first.
    train(
        make_job(data, learning_rate=1e-30, num_validations=6, patience=windows(32), budget=windows(96)),
        tmp_path,
    )
    curve, row = history(tmp_path), record(tmp_path)
    best = curve.sort_values(["validation_auroc", "validation_loss"], ascending=[False, True]).index[0]
    assert row["stopped_early"] == 1
    assert len(curve) == best + 3 < 6
    assert row["num_steps"] == curve["step"].max() < 24
    assert row["validation_auroc"] == curve.loc[best, "validation_auroc"]


def test_with_patience_the_rate_rises_until_the_first_validation_and_stays(data, tmp_path):
    train(make_job(data, patience=windows(48)), tmp_path)
    assert history(tmp_path)["learning_rate"].tolist() == pytest.approx([0.003] * 3)
    assert record(tmp_path)["num_steps"] == 12


def test_predictions_score_validation_and_test_scans_once(data, trained, tmp_path):
    table = score(data, trained, tmp_path / "predictions.csv")
    assert table.groupby("split").size().to_dict() == {"test": 6, "validation": 6}
    assert table["study_id"].is_unique
    assert (table["num_windows"] == 2).all()
    bright = table.groupby("label")["score"].mean()
    assert bright[1] > bright[0]
    # The stored validation AUROC is that of these very scores.
    valid = table[table["split"] == "validation"]
    higher = np.subtract.outer(
        valid.loc[valid["label"] == 1, "score"].to_numpy(), valid.loc[valid["label"] == 0, "score"].to_numpy()
    )
    auroc = ((higher > 0) + 0.5 * (higher == 0)).mean()
    assert auroc == pytest.approx(record(trained)["validation_auroc"])
    assert (record(trained)["precision"], record(trained)["scores_in"]) == (SETTINGS.precision, "float32")


def test_stored_scores_are_in_float32_whatever_the_training(data, trained, tmp_path):
    expected = score(data, trained, tmp_path / "one.csv")["score"]
    found = score(data, trained, tmp_path / "other.csv", precision="bf16-mixed")["score"]
    assert found.tolist() == expected.tolist()
    assert [scores_in(kind, gpus=1) for kind in ("32-true", "bf16-mixed", "16-mixed")] == [
        "float32",
        "tf32",
        "tf32",
    ]


@pytest.mark.parametrize("changes", [{"batch_size": 1}, {"batch_size": 5}, {"accumulate": 4}])
def test_scores_do_not_depend_on_the_size_of_batches(data, trained, tmp_path, changes):
    expected = score(data, trained, tmp_path / "one.csv")["score"]
    found = score(data, trained, tmp_path / "other.csv", **changes)["score"]
    assert np.abs(found - expected).max() < 1e-5


def test_pretraining_on_clips_gives_weights_that_fine_tuning_takes(data, tmp_path):
    pretrain_on_clips(tmp_path, 82)
    curve = history(tmp_path)
    assert curve["step"].max() == 40
    assert curve["windows_seen"].max() == 160
    assert {path.name for path in tmp_path.glob("[!.]*")} == {"weights.safetensors", "history.csv"}
    start = {
        "path": str(tmp_path / "weights.safetensors"),
        "sha256": None,
        "words": "clips",
        "stand_in": True,
    }
    train(make_job(data, budget=windows(24)), tmp_path / "run", run=replace(RUN, init="video"), initial=start)
    assert record(tmp_path / "run")["initial_stand_in"] == 1


# --- Budget and patience, in windows seen

LONG = replace(SETTINGS, budget_factor=6)


@pytest.mark.parametrize("num_scans", [1, 7, 12, 23, 24, 25, 100, 117])
@pytest.mark.parametrize("windows_per_scan", [2, 7.1, 36.6])
def test_longer_training_is_validated_after_the_same_windows(num_scans, windows_per_scan):
    usual = replace(SETTINGS, budget=WindowsSeen(windows_per_scan=windows_per_scan, min_windows=48))
    longer = replace(usual, budget_factor=6)
    every = budget.steps_between_validations(num_scans, usual)
    assert every == budget.steps_between_validations(num_scans, longer)
    steps = budget.num_training_steps(num_scans, usual)
    assert budget.num_training_steps(num_scans, longer) == 6 * steps == 6 * 3 * every
    # Never less than what is asked for, and less than a step a validation more.
    asked = max(48, windows_per_scan * num_scans)
    assert asked <= steps * usual.batch_size < asked + 3 * usual.batch_size


def test_a_factor_may_be_a_fraction():
    assert budget.num_training_steps(4, replace(SETTINGS, budget_factor=1.5)) == 5 * 4


def test_patience_grows_with_scans_and_with_the_budget_factor():
    settings = replace(LONG, patience=WindowsSeen(windows_per_scan=2.5, min_windows=20))
    assert budget.patience_windows(4, settings) == 6 * 20
    assert budget.patience_windows(100, settings) == 6 * 250
    assert budget.patience_windows(100, SETTINGS) is None


def test_longer_training_takes_the_steps_of_the_shorter_and_goes_on(data, tmp_path):
    """With patience the rate is constant, so that the shorter run is the beginning of the longer one."""
    usual = train(make_job(data, patience=windows(1000)), tmp_path / "scratch")
    run = replace(RUN, init="scratch_long")
    longer = train(make_job(data, patience=windows(1000), budget_factor=2), tmp_path / "long", run=run)
    pd.testing.assert_frame_equal(history(longer)[:3], history(usual), check_exact=True)
    assert history(longer)["windows_seen"].tolist() == [16, 32, 48, 64, 80, 96]
    row = record(longer)
    assert (row["windows_seen"], row["budget_windows"], row["patience_windows"]) == (96, 96, 2000)
    best = (
        history(longer).sort_values(["validation_auroc", "validation_loss"], ascending=[False, True]).iloc[0]
    )
    assert (row["best_step"], row["best_windows_seen"]) == (best["step"], best["windows_seen"])


def test_a_run_stops_once_it_saw_its_patience_in_windows(data, tmp_path):
    # 17 windows are more than one validation's 16, so that two must pass without a better one.
    patient = {"learning_rate": 1e-30, "num_validations": 6, "budget": windows(96)}
    for number, validations in ((16, 1), (17, 2), (33, 3)):
        folder = train(make_job(data, patience=windows(number), **patient), tmp_path / str(number))
        row = record(folder)
        assert row["windows_seen"] - row["best_windows_seen"] == 16 * validations
        assert (row["stopped_early"], row["budget_windows"]) == (1, 96)


def test_settings_survive_as_plain_data():
    for settings in (SETTINGS, replace(LONG, patience=windows(5))):
        assert TrainingSettings.of(asdict(settings)) == settings

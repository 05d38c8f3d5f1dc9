"""Label efficiency: how many patients training from scratch needs, and its noise."""

from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
from evaluated import one_row
from scipy import stats
from sklearn.isotonic import IsotonicRegression

from chestct.evaluation.contrasts import ArmKey, list_means
from chestct.evaluation.inference import Inference, infer
from chestct.evaluation.label_efficiency import (
    monotone,
    multiplier_rows,
    patients_needed,
    training_noise,
)
from chestct.evaluation.resampling import draw_resamples, named_rng


def test_monotone_is_isotonic_regression():
    columns = np.random.default_rng(0).normal(size=(5, 40))
    ours = monotone(columns)
    expected = [IsotonicRegression().fit_transform(np.arange(5), column) for column in columns.T]
    np.testing.assert_allclose(ours.T, expected, rtol=0, atol=1e-12)


def test_patients_needed_are_read_on_a_log_axis():
    patients, curve = np.array([10.0, 100.0, 1000.0]), np.array([[0.6], [0.7], [0.9]])
    levels = np.array([0.65, 0.7, 0.8, 0.9, 0.6, 0.95, 0.5])
    needed = patients_needed(levels, patients, np.repeat(curve, 7, axis=1))
    assert needed == pytest.approx([10**1.5, 100, 10**2.5, 1000, 0, np.inf, 0])


def test_level_within_a_flat_part_takes_its_first_patients():
    curve = np.array([[0.6], [0.7], [0.7], [0.8]])
    assert patients_needed(np.array([0.7]), np.array([10.0, 20.0, 40.0, 80.0]), curve) == pytest.approx([20])


def test_multipliers_of_a_study(full_study):
    table, means = full_study.tables["multipliers"], full_study.tables["means"].query("metric == 'auroc'")
    assert set(zip(table["init"], table["reference"], strict=True)) == {("video", "scratch")}
    assert {"mean_of_seven", "csn_narrow", "x3d_narrow"} <= set(table["model"])
    at_most = table[table["percent"] == 100]
    # With all its patients, an init can only tie or be beyond the reference's reach upwards of 1.
    assert (at_most["multiplier"] <= 1).all()
    row = one_row(table, model="mean_of_seven", percent=10)
    level = one_row(means, model="mean_of_seven", init="video", percent=10)["value"]
    low, high = (
        one_row(means, model="mean_of_seven", init="scratch", percent=percent)["value"]
        for percent in (10, 100)
    )
    assert low < level < high
    expected = np.exp((level - low) / (high - low) * np.log(18 / 2))
    assert row["bound"] == "exact" and row["multiplier"] == pytest.approx(expected)
    assert row["patients_low"] <= row["multiplier"] <= row["patients_high"] <= 9 + 1e-9
    wider = table["ci_high"] - table["ci_low"] >= table["patients_high"] - table["patients_low"] - 0.05
    assert wider.mean() > 0.8  # training varies too


def test_multipliers_of_a_model_are_the_same_beside_others():
    """Docs/statistics.md, Resamples: a model that is added changes no number of another."""
    draws = draw_resamples(np.arange(20), np.arange(20) % 2, 200, np.random.default_rng(0))

    def arm(model: str, init: str, percent: int) -> dict[int, np.ndarray]:
        rng = named_rng(0, model, init, str(percent))
        values = 0.6 + percent / 500 + 0.05 * (init == "video") + 0.02 * rng.normal(size=(2, 1, 1))
        return dict(enumerate(values + 0.02 * rng.normal(size=(2, 1, len(draws.counts)))))

    tables = []
    for models in (["i3d"], ["slow_narrow", "i3d"]):
        arms = {ArmKey(*key): arm(*key) for key in product(models, ("scratch", "video"), (10, 50, 100))}
        means = list_means(arms)
        patients = {mean: float(mean.percent) for mean in means}
        rng_of = partial(named_rng, 0, "noise")
        table = pd.DataFrame(multiplier_rows(means, arms, patients, draws, 0.95, rng_of))
        tables.append(table[table["model"] == "i3d"].reset_index(drop=True))
    assert tables[0]["ci_low"].nunique() == 3
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("num_runs", [2, 3, 8])
def test_noise_of_training_is_as_uncertain_as_its_variance(num_runs):
    """With patients that vary by nothing, values with the noise have the spread of the t test over runs."""
    values = np.repeat(np.random.default_rng(0).normal(size=(1, num_runs, 1)), 4, axis=2)
    noise = training_noise(infer([values], 0.95), np.zeros(40_000), np.random.default_rng(1))
    low, high = stats.ttest_1samp(values[0, :, 0], 0).confidence_interval(0.95)
    assert np.quantile(noise, [0.025, 0.975]) == pytest.approx([(low - high) / 2, (high - low) / 2], rel=0.06)


def test_one_run_has_no_noise_of_training():
    noise = training_noise(Inference(value=0.7), np.zeros(5), np.random.default_rng(0))
    assert np.isnan(noise).all()

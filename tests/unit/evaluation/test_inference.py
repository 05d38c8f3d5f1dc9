"""The inference over patients, training runs and models: its parts, and its error rates by simulation."""

import numpy as np
import pytest
from scipy import stats

from chestct.evaluation.delong import placements
from chestct.evaluation.inference import infer
from chestct.evaluation.validity.false_positives import Setting, _placements, simulate


def study(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    patients: float = 0.01,
    own: float = 0.0,
    runs: float = 0.0,
    seeds: float = 0.0,
    models: float = 0.0,
    effect: float = 0.0,
) -> np.ndarray:
    """Values of models x runs on a sample and 200 resamples, with standard deviations by source.

    ``patients`` is what all runs have in common, ``own`` the part of patients in which runs differ.
    """
    size = (*shape, 201)
    of_patients = patients * rng.normal(size=(1, 1, 201)) + own * rng.normal(size=size)
    # The sample's own deviation is one draw; resamples scatter around the sample.
    of_patients[..., 1:] += of_patients[..., :1]
    rest = (
        runs * rng.normal(size=(*shape, 1))
        + seeds * rng.normal(size=(1, shape[1], 1))
        + models * rng.normal(size=(shape[0], 1, 1))
    )
    return effect + rest + of_patients


def test_patients_alone_give_the_normal_interval():
    values = study(np.random.default_rng(0), (1, 1))
    found = infer([values], 0.95, trained=False)
    error = values[0, 0, 1:].std(ddof=1)
    assert found.value == values[0, 0, 0]
    assert (found.low, found.high) == pytest.approx(
        stats.norm.interval(0.95, values[0, 0, 0], error), abs=1e-6
    )
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.value) / error), abs=1e-6)
    assert found.shares == (1, 0, 0)


def test_equal_runs_count_as_one():
    one = study(np.random.default_rng(2), (1, 1))
    found, alone = infer([np.repeat(one, 3, axis=1)], 0.95), infer([one], 0.95, trained=False)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), rel=1e-6)


def test_runs_without_patients_give_the_t_test():
    """Where patients explain nothing, the interval of one model is that of a t test over its runs."""
    values = np.repeat(np.random.default_rng(1).normal(size=(1, 5, 1)), 3, axis=2)
    found = infer([values], 0.9)
    expected = stats.ttest_1samp(values[0, :, 0], 0)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.9)))
    assert found.degrees_of_freedom == pytest.approx(4)


def test_models_without_patients_give_the_t_test_over_models():
    values = np.repeat(np.random.default_rng(1).normal(size=(6, 1, 1)), 3, axis=2)
    assert infer([values], 0.95).p_value == pytest.approx(stats.ttest_1samp(values[:, 0, 0], 0).pvalue)


def test_what_patients_explain_is_not_counted_twice():
    """With many runs that differ only by what patients explain, the variance is that of patients."""
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(50):
        values = study(rng, (1, 12), own=0.01)
        ratios.append(infer([values], 0.95).standard_error ** 2 / values[0, :, 1:].mean(axis=0).var(ddof=1))
    assert np.mean(ratios) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (3, 3)])
def test_runs_that_agree_more_closely_than_patients_explain_narrow_nothing(shape):
    """The standard error is never below that over patients alone, also where it happens to be below."""
    rng = np.random.default_rng(4)
    ratios = []
    for _ in range(100):
        values = study(rng, shape, own=0.01)
        patients = values[..., 1:].mean(axis=(0, 1)).std(ddof=1)
        ratios.append(infer([values], 0.95).standard_error / patients)
    assert min(ratios) == pytest.approx(1)
    assert np.mean(np.isclose(ratios, 1)) > 0.1


@pytest.mark.parametrize("freedom", [1, 4, 46])
@pytest.mark.parametrize("shape", [(1, 3), (2, 1), (3, 3)])
@pytest.mark.parametrize("runs", [0.0, 0.01])
def test_no_interval_is_shorter_than_students_over_patients_alone(shape, freedom, runs):
    rng = np.random.default_rng(11)
    for _ in range(50):
        parts = [study(rng, shape, own=0.01, runs=runs) for _ in range(2)]
        freedoms = [freedom, 3 * freedom]
        alone = infer(parts, 0.95, freedoms=freedoms, trained=False)
        found = infer(parts, 0.95, freedoms=freedoms)
        assert found.low <= alone.low + 1e-12 and found.high >= alone.high - 1e-12
        assert found.p_value >= alone.p_value - 1e-12


def test_no_interval_over_all_sources_is_shorter_than_that_over_patients_alone(full_study):
    for name in ("means", "comparisons", "claims"):
        rows = full_study.tables[name].dropna(subset=["ci_low"])
        assert len(rows)
        assert (rows["ci_low"] <= rows["patients_low"] + 1e-9).all()
        assert (rows["ci_high"] >= rows["patients_high"] - 1e-9).all()


def test_patients_alone_give_students_interval():
    one = study(np.random.default_rng(0), (1, 1))
    error = one[0, 0, 1:].std(ddof=1)
    found = infer([one], 0.95, freedoms=[7], trained=False)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 7, one[0, 0, 0], error))
    # Of two datasets with equal variances the degrees of freedom add up.
    assert infer([one, one], 0.95, freedoms=[7, 7], trained=False).degrees_of_freedom == pytest.approx(14)


def test_where_nothing_varies_no_difference_is_significant():
    """A perfect arm against a constant one: all resamples give 0.5."""
    found = infer([np.full((2, 3, 50), 0.5)], 0.95)
    assert (found.low, found.high, found.p_value) == (0.5, 0.5, 1)


def test_one_run_of_one_model_has_no_interval():
    found = infer([study(np.random.default_rng(0), (1, 1))], 0.95)
    assert np.isfinite(found.value) and np.isnan(found.low) and np.isnan(found.p_value)


def test_undefined_values_have_no_interval():
    values = study(np.random.default_rng(0), (2, 3))
    values[1, 2, 7] = np.nan
    assert np.isnan(infer([values], 0.95).standard_error)


def test_identical_arms_differ_by_exactly_nothing():
    found = infer([np.zeros((3, 3, 50))], 0.95)
    assert (found.low, found.high, found.p_value) == (0, 0, 1)
    assert all(np.isnan(found.shares))


def test_shares_name_the_source():
    rng = np.random.default_rng(3)
    sources = {"patients": {"patients": 0.1}, "training": {"runs": 0.5}, "models": {"models": 0.2}}
    for number, (source, large) in enumerate(sources.items()):
        shares = np.mean([infer([study(rng, (7, 5), **large)], 0.95).shares for _ in range(20)], axis=0)
        assert np.argmax(shares) == number, source
        assert shares.sum() == pytest.approx(1)


RATES = {
    "nothing but patients": {},
    "runs vary": {"runs": 0.02},
    "runs and their patients vary": {"runs": 0.01, "own": 0.01},
    "models differ": {"models": 0.02, "runs": 0.01},
    "the runs of a seed share something": {"seeds": 0.01, "runs": 0.02, "own": 0.01},
}


@pytest.mark.parametrize("sources", RATES.values(), ids=list(RATES))
@pytest.mark.parametrize("shape", [(1, 3), (1, 5), (7, 3)])
def test_false_positives_stay_near_five_percent(shape, sources):
    if shape[0] == 1:
        sources = {name: value for name, value in sources.items() if name != "models"}
    rng = np.random.default_rng(4)
    p_values = np.array([infer([study(rng, shape, **sources)], 0.95).p_value for _ in range(500)])
    # Three Monte Carlo errors (1 % each) beyond 5 %; what a seed's runs share is estimated from three seeds.
    assert 0.01 < (p_values < 0.05).mean() < (0.12 if "seeds" in sources else 0.08)


@pytest.mark.parametrize(("num_models", "least", "most"), [(2, 0.1, 0.17), (3, 0.05, 0.11), (7, 0.02, 0.08)])
def test_few_models_err_as_often_as_the_documentation_says(num_models, least, most):
    """Docs/statistics.md, Limitations: models that differ by five times the standard error over patients."""
    rng = np.random.default_rng(10)
    values = (study(rng, (num_models, 3), models=0.05, runs=0.005) for _ in range(800))
    assert least < np.mean([infer([one], 0.95).p_value < 0.05 for one in values]) < most


def test_two_models_that_agree_by_chance_do_not_hide_that_their_runs_vary():
    """The fault: of two models with means close together, what runs vary was left out (8 % significant)."""
    rng = np.random.default_rng(12)
    found = [infer([study(rng, (2, 3), patients=0.006, own=0.006, runs=0.02)], 0.95) for _ in range(800)]
    assert np.mean([one.p_value < 0.05 for one in found]) < 0.05
    for one in found:
        assert np.nansum(one.variances) == pytest.approx(one.standard_error**2)


def test_patients_alone_are_far_off_where_training_varies():
    """The fault: over patients alone a third of the cells without effect is significant."""
    rates = simulate(Setting(num_percents=1, run_noise=0.02), 40, np.random.default_rng(5))
    rate = rates["model, rspect"]
    assert rate.patients / rate.num > 0.25
    assert rate.significant / rate.num < 0.11 and rate.covered / rate.num > 0.89


@pytest.mark.parametrize("shared_rival", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_study_without_effect_has_few_significant_claims(noise, shared_rival):
    setting = Setting(num_percents=2, run_noise=noise, shared_rival=shared_rival)
    rates = simulate(setting, 60, np.random.default_rng(6))
    for kind, rate in rates.items():
        # Models share patients (and rivals), so that a simulation counts once.
        limit = 0.07 + 3 * np.sqrt(0.05 * 0.95 / 60)
        assert rate.significant / rate.num < limit, kind
        assert rate.num == 60 * {"cl": 1, "me": 2, "mo": 14}[kind[:2]]


def test_an_effect_is_found_and_covered():
    rates = simulate(Setting(num_percents=2, run_noise=0.01, effect=0.03), 30, np.random.default_rng(7))
    assert rates["claim"].significant >= 27
    assert rates["claim"].covered >= 25


def test_placements_of_many_runs_are_delongs():
    rng = np.random.default_rng(9)
    labels = (np.arange(50) < 20).astype(int)
    scores = rng.normal(size=(4, 50))
    expected = [placements(labels, run) for run in scores]
    np.testing.assert_allclose(_placements(labels == 1, scores), expected, atol=1e-12)


def test_placements_stand_for_new_auroc_on_resamples():
    """The fast way of the simulation gives the rates' ingredients of the exact one."""
    sizes = {"lidc": (152, 105)}
    found = [
        simulate(
            Setting(sizes=sizes, num_percents=1, run_noise=0.01, exact=exact), 15, np.random.default_rng(8)
        )["mean, lidc"]
        for exact in (False, True)
    ]
    assert abs(found[0].significant - found[1].significant) <= 1
    assert abs(found[0].covered - found[1].covered) <= 1

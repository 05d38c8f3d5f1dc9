"""What is expected of a study: bands from repeats, what differs, and messages for what cannot be compared."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from chestct.errors import InputError
from chestct_command import check, expectation
from chestct_command.compare_configurations import check_configuration_of
from chestct_command.expectation import (
    deviations,
    expect,
    expectation_file,
    read_expectation,
    write_expectation,
)
from chestct_command.main import main
from chestct_command.project import read_configuration
from chestct_command.study_facts import ARM, StudyFacts

MACHINE = {"processor": "A", "device": "cpu", "python": "3.11.7", "torch": "2.13.0"}
CONFIGURATION = {
    "study": "small",
    "seeds": [0],
    "models": [{"name": "i3d", "learning_rate": 0.1}],
    "training": {"gpus": 0, "batch_size": 8},
}
EXACT = {"lidc: cohort": "9 rows, SHA-256 aa", "training runs": "2 rows, SHA-256 bb"}
ARMS = [
    ("lidc", model, init, percent)
    for model, init in (
        ("slow_narrow", "video"),
        ("i3d", "video"),
        ("mean_of_2", "video"),
        ("metadata", "none"),
    )
    for percent in (10, 100)
]
SD = 0.03


def facts(seed: int = 0, *, draw: int = 0, processor: str = "A", name: str = "small") -> StudyFacts:
    """A study of one seed, whose AUROCs lie around 0.7."""
    values = np.random.default_rng([draw, seed]).normal(0.7, SD, len(ARMS))
    auroc = pd.DataFrame(ARMS, columns=ARM).assign(seed=seed, value=values)
    auroc.loc[auroc["init"] == "none", "value"] = 0.6
    spread = pd.DataFrame(ARMS, columns=ARM).assign(low=0.7 - 1.96 * SD, high=0.7 + 1.96 * SD)
    return StudyFacts(
        name=name,
        configuration=CONFIGURATION,
        exact=EXACT,
        auroc=auroc,
        spread=spread,
        seeds=[seed],
        machine=MACHINE | {"processor": processor},
        notes=[],
    )


def repeats(*studies: StudyFacts) -> expectation.Expectation:
    return expect(studies[0], 0.95, studies)


def width(expected: expectation.Expectation, name: str) -> float:
    low, _, high = expected.auroc[name]
    return high - low


def test_one_repeat_takes_the_interval_over_patients_widened_and_says_so():
    expected = repeats(facts())
    assert "has not been measured" in expected.bands_are and len(expected.repeats) == 1
    # Two networks differ by sqrt(2) sd; of six bands, each end fails in 0.05 / 12 of all runs: 2.64 sd.
    assert width(expected, "lidc/i3d/video/10") == pytest.approx(2 * 2.638 * SD * 2**0.5, abs=0.003)
    assert width(expected, "lidc/metadata/none/10") == pytest.approx(0.01, abs=0.0021)


def test_what_nothing_is_trained_for_is_expected_of_the_study_s_own_seeds():
    one, other = facts(), facts(seed=1, draw=1)
    other.auroc.loc[other.auroc["init"] == "none", "value"] = 0.5  # another subset
    assert repeats(one, other).auroc["lidc/metadata/none/10"] == [0.595, 0.6, 0.605]


def test_more_repeats_make_bands_narrower_and_cover_other_runs():
    several = [facts(seed, processor=processor) for processor in "AB" for seed in range(5)]
    expected = repeats(*several)
    # Equal values are one repeat, whatever machine they came from.
    assert expected.bands_are == "from 5 repeats" and expected.num_machines == 2
    many = repeats(*(facts(seed) for seed in range(30)))
    assert width(many, "lidc/i3d/video/10") < width(repeats(facts()), "lidc/i3d/video/10")
    others = [deviations(expected, facts(seed, draw=1))[0] for seed in range(40)]
    assert sum(map(bool, others)) <= 4, "all AUROCs of a study lie within their bands in 95 of 100 runs"


def test_a_shift_of_any_kind_is_named():
    expected, study = repeats(facts()), facts()
    assert deviations(expected, study) == ([], len(EXACT) + len(ARMS))
    study.auroc.loc[0, "value"] = 0.2
    study.auroc.loc[6, "value"] = 0.61  # nothing is trained for it
    changed = replace(
        study, exact={"lidc: cohort": "8 rows, SHA-256 cc", "more": "x"}, auroc=study.auroc.drop(index=3)
    )
    lines, number = deviations(expected, changed)
    low, _, high = expected.auroc["lidc/slow_narrow/video/10"]
    assert lines == [
        "lidc: cohort: 8 rows, SHA-256 cc; expected 9 rows, SHA-256 aa",
        "training runs: nothing; expected 2 rows, SHA-256 bb",
        "more: x; expected nothing",
        f"AUROC of lidc/slow_narrow/video/10: 0.2000; expected {low:g} to {high:g}",
        "AUROC of lidc/i3d/video/100: is missing",
        "AUROC of lidc/metadata/none/10: 0.6100; expected 0.595 to 0.605",
    ]
    assert number == 3 + len(ARMS)


def test_a_file_is_read_as_it_was_written_and_a_broken_one_is_one_message(tmp_path):
    expected, path = repeats(facts(), facts(1, processor="B")), tmp_path / "small.json"
    write_expectation(expected, path)
    assert read_expectation(path) == expected and expected.num_machines == 2
    assert json.loads(path.read_text())["num_repeats"] == 2
    path.write_text(path.read_text()[:-9])
    with pytest.raises(InputError, match="cannot be read"):
        read_expectation(path)
    with pytest.raises(InputError, match=r"does not know what the study other(?s:.)*one of: small"):
        read_expectation(tmp_path / "other.json")


def compare(**changes: object) -> list[str]:
    return check_configuration_of(
        "small", CONFIGURATION, CONFIGURATION | changes, where="x", without=check.WITHOUT
    )


def test_configurations_differ_in_what_results_depend_on():
    assert compare(study="other", training={"gpus": 4, "batch_size": 8}) == []
    of_gpus = {"compile": "never", "compile_form": "graphs", "fast_forms": "never"}
    assert compare(training={"gpus": 0, "batch_size": 8} | of_gpus) == []
    assert compare(training={"gpus": 0, "batch_size": 8, "option": 1}) == ["training.option"]
    with pytest.raises(InputError, match=r"configuration: training.batch_size is 4, not 8"):
        compare(training={"gpus": 0, "batch_size": 4})
    more = [{"name": "i3d", "learning_rate": 0.1}, {"name": "x3d_m"}]
    with pytest.raises(InputError, match=r'models\[x3d_m\].name is "x3d_m", not there'):
        compare(models=more)
    with pytest.raises(InputError, match=r"models\[i3d\].learning_rate is not there, not 0.1"):
        compare(models=[{"name": "i3d"}])


def test_studies_of_other_seeds_must_agree_in_what_both_have():
    seeds = replace(facts(1, name="three"), exact=EXACT | {"training runs": "6 rows", "lidc: seed 1": "x"})
    check._check_exact(facts(), seeds, "three")
    with pytest.raises(InputError, match="equal on every machine: lidc: cohort"):
        check._check_exact(facts(), replace(seeds, exact={"lidc: cohort": "8 rows"}), "three")
    with pytest.raises(InputError, match="equal on every machine: training runs"):
        check._check_exact(facts(), replace(facts(), exact=EXACT | {"training runs": "3 rows"}), "again")


def test_what_the_project_expects_is_of_its_default_study(root):
    """Where a change of the configuration is meant, run the study, then `chestct check --write`."""
    expected = read_expectation(expectation_file("default"))
    configuration = read_configuration(root, [])
    check_configuration_of("default", expected.configuration, configuration, where="x", without=check.WITHOUT)
    assert len(expected.auroc) == 120 and all(
        low <= value <= high and low < high for low, value, high in expected.auroc.values()
    )


def test_a_study_without_results_is_one_message(tmp_path, capsys, monkeypatch, root):
    monkeypatch.chdir(root)
    assert main(["check", "--results", str(tmp_path / "none")]) == 1
    assert "the study default has no results" in capsys.readouterr().err
    assert main(["check", "smoke"]) == 1
    assert "does not know what the study smoke should give" in capsys.readouterr().err
    assert main(["check", "--from", "x"]) == 1
    assert "--from goes with --write" in capsys.readouterr().err

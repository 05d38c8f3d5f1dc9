"""Percentages of few patients are named by their patients, in figures and in the report."""

from types import SimpleNamespace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from chestct.figures.patient_shares import other_shares, shares_note
from chestct.figures.percent_axis import percent_axis
from chestct.figures.report_uncertainty import small_data_notes
from chestct.tables import write_table


def means(**patients):
    """Rows of the table "means" by dataset, from the patients at every percentage."""
    rows = [
        {
            "dataset": dataset,
            "model": "i3d",
            "percent": percent,
            "num_patients": number,
            "least_class": number,
        }
        for dataset, numbers in patients.items()
        for percent, number in numbers.items()
    ]
    return pd.DataFrame(rows)


SMALL, LARGE = {1: 2.0, 10: 3.0, 50: 12.0, 100: 24.0}, {1: 5.0, 10: 48.0, 50: 240.0, 100: 480.0}


def test_only_shares_that_rounding_has_changed_are_named():
    table = means(small=SMALL, large=LARGE, unknown={10: 3.0, 50: 12.0})
    simple = table.assign(model="metadata", num_patients=1.0)
    shares = other_shares(pd.concat([table, simple]))
    assert shares == {("small", 1): (2, 24), ("small", 10): (3, 24)}
    assert shares_note(shares) == (
        "So few patients that a percentage is another share, and figures name n: small, 1 %: 2 of 24 (8 %) "
        "and small, 10 %: 3 of 24 (12 %)."
    )
    assert shares_note({}) == ""


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (SMALL, ["n=2*", "n=3*", "50\n(12)", "100\n(24)"]),
        (LARGE, ["1*\n(5)", "10\n(48)", "50\n(240)", "100\n(480)"]),
    ],
)
def test_an_axis_names_patients_in_the_place_of_such_a_percentage(numbers, words):
    axis = Figure().subplots()
    percent_axis(axis, list(numbers), 7.0, means(d=numbers), numbers=True)
    assert list(axis.xaxis.get_major_formatter().seq) == words


def test_the_report_says_what_is_small(tmp_path):
    rows = [("train", 0), ("train", 1), *[("test", 0)] * 30, *[("test", 1)] * 4]
    table = pd.DataFrame(rows, columns=["split", "label"]).assign(dataset="small", fold=0)
    table["patient_id"] = table["study_id"] = [f"p{number}" for number in range(len(table))]
    write_table(table, tmp_path / "splits.csv", "splits")
    study = SimpleNamespace(scanned=["small"], means=means(small=SMALL))
    few, shares = small_data_notes(study, [tmp_path / "splits.csv"], {})
    assert few.startswith("small: only 4 patients with a positive scan are tested") and "folds: 5" in few
    assert shares.startswith("So few patients")
    (left_out, _) = small_data_notes(study, [tmp_path / "splits.csv"], {"small": "manufacturer"})
    assert "folds" not in left_out
    large = SimpleNamespace(scanned=["small"], means=means(large=LARGE))
    positive = table["label"].where(table["split"] == "train", table.index % 2)
    tested = pd.concat([table.assign(label=positive)] * 2, ignore_index=True)
    tested["patient_id"] = tested["study_id"] = [f"p{number}" for number in range(len(tested))]
    write_table(tested, tmp_path / "splits.csv", "splits")
    assert small_data_notes(large, [tmp_path / "splits.csv"], {}) == []

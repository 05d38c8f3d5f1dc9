"""What the report is put together from: words, flows, costs, validity, the archive of tables."""

import base64
import dataclasses
import io
import zipfile

import pandas as pd
import pytest

from chestct.figures.characteristics import characteristics_of
from chestct.figures.cohort_flow import cohort_flow
from chestct.figures.report_attachments import archive_tables
from chestct.figures.report_costs import costs_of
from chestct.figures.report_tables import show
from chestct.figures.report_validity import delong_agreement, validity_of
from chestct.figures.style import in_sentence
from chestct.figures.wording import contrast_title, hide_folders, interval, p_value
from chestct.run import RUN_KEYS
from chestct.tables import read_table, write_table


def test_archive_hides_folders():
    table = pd.DataFrame({"words": ["volumes from /home/me/ct", None], "number": [1.0 / 3, 2.0]})
    content = base64.b64decode(archive_tables({"runs": table})["data"])
    text = zipfile.ZipFile(io.BytesIO(content)).read("runs.csv").decode()
    assert text == "words,number\nvolumes from \u2026/ct,0.333333\n,2\n"


def test_cohort_flow_counts(studies):
    files = studies("own_data")
    flow = cohort_flow(
        "real_nodules",
        *(files.of_datasets("subsets", name)[0] for name in ("cohort.csv", "splits.csv")),
        files.of_datasets("volumes", "ledger.csv")[0],
    )
    read, converted, considered, used = (step["count"] for step in flow["steps"])
    assert read - converted == flow["steps"][0]["num_lost"] == 1
    assert considered - used == flow["steps"][2]["num_lost"] == 3
    assert flow["steps"][2]["lost"] == [("indeterminate", 2), ("refused: missing slices", 1)]
    assert flow["folds"] == 5 and len(flow["splits"]) == 15
    assert sum(split["scans"] for split in flow["first_splits"]) == used == 93


def test_cohort_flow_counts_scans_that_a_left_out_group_takes_out_of_all_splits(studies, tmp_path):
    files = studies("smoke")
    cohort, splits = (files.of_datasets("subsets", name)[0] for name in ("cohort.csv", "splits.csv"))
    table = read_table(splits, "splits")
    dropped = table["study_id"].head(3)
    write_table(table[~table["study_id"].isin(dropped)], tmp_path / "splits.csv", "splits")
    ledger = files.of_datasets("volumes", "ledger.csv")[0]
    flow = cohort_flow("lidc_phantom", cohort, tmp_path / "splits.csv", ledger)
    assert [split["name"] for split in flow["first_splits"]] == [
        "training",
        "validation",
        "test",
        "in no split",
    ]
    assert flow["first_splits"][-1]["scans"] == 3
    assert sum(split["scans"] for split in flow["first_splits"]) == flow["steps"][-1]["count"]


def test_costs_add_up(tables):
    study = tables("smoke")
    first = study.runs.iloc[[0]][RUN_KEYS]
    trials = pd.concat([first, first], ignore_index=True).assign(chosen=[1, 0], seconds=[500.0, 7200.0])
    costs = costs_of(study, trials)
    rows = [dict(zip(costs["steps"].columns, row, strict=True)) for row in costs["steps"].rows]
    assert float(rows[0]["Hours"]) == pytest.approx(study.runs["seconds"].sum() / 3600, abs=0.005)
    # The chosen trial is a run already: it costs once.
    assert (rows[1]["Runs"], rows[1]["Hours"]) == ("1", "2.00")
    models = [dict(zip(costs["models"].columns, row, strict=True)) for row in costs["models"].rows]
    assert sum(int(row["Runs"]) for row in models) == len(study.runs)


def test_delong_agreement_counts(tables):
    study = tables("smoke")
    rows = study.comparisons[study.comparisons["metric"] == "auroc"].head(4).copy()
    rows["patients_p"], rows["delong_p"] = [0.01, 0.01, 0.2, 0.2], [0.02, 0.3, 0.04, 0.5]
    found = delong_agreement(dataclasses.replace(study, comparisons=rows))
    assert [row[-1] for row in found["table"].rows] == ["1", "1", "1", "1"]
    assert "in 2 of 4 comparisons of AUROC (50.0 %)" in found["sentence"]


def test_validity_sentences_count_what_the_tables_say(tables):
    study = tables("smoke")
    coverage = study.coverage.copy()
    coverage["low"], coverage["high"] = 0.93, 0.97
    coverage.loc[coverage.index[0], ["low", "high"]] = [0.80, 0.94]
    permuted = study.permuted.copy()
    permuted["low"], permuted["high"] = 0.06, 0.2
    found = validity_of(dataclasses.replace(study, coverage=coverage, permuted=permuted))
    assert f"in {len(coverage) - 1} of {len(coverage)} cases" in found["coverage"]["sentence"]
    assert f"significantly more than that is found in {len(permuted)}." in found["permuted"]["sentence"]
    bare = dataclasses.replace(study, coverage=coverage.head(0), power=study.power.head(0))
    assert validity_of(bare)["coverage"] is None and validity_of(bare)["power"] is None


def test_columns_are_numbers_or_prose():
    shown = show(
        pd.DataFrame(
            {
                "name": ["a", "b"],
                "number": ["\N{MINUS SIGN}0.1 to 0.2", "< 0.0001"],
                "empty": ["", ""],
                "prose": ["a long sentence that goes on and on", ""],
            }
        )
    )
    assert shown.columns == ("name", "number", "prose")
    assert shown.classes == "n2 w3"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/home/some one/data", "\u2026/data"),
        ("~/data/labels.csv", "\u2026/labels.csv"),
        ("volumes from /mnt/big/ct, twice", "volumes from \u2026/ct, twice"),
        (r"C:\Users\me\ct", "\u2026/ct"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("../shared/real_nodules", "../shared/real_nodules"),
        ("and/or 1/2", "and/or 1/2"),
        ({"a": ["/x/y", 3, None]}, {"a": ["\u2026/y", 3, None]}),
    ],
)
def test_folders_are_hidden(value, shown):
    assert hide_folders(value) == shown


def test_numbers_in_words():
    minus = "\N{MINUS SIGN}"
    assert contrast_title("video_ct - video") == f"video, then CT {minus} video"
    titles = ("From scratch", "ImageNet pretraining", "CT pretraining", "AUROC", "Mean of the seven", "")
    assert [in_sentence(title) for title in titles] == ["from scratch", *titles[1:4], "mean of the seven", ""]
    assert contrast_title("video - best_2d") == f"video {minus} best 2D"
    assert contrast_title("video - video_probe") == f"video, fine-tuned {minus} frozen probe"
    assert interval(-0.01, 0.2, with_sign=True) == f"{minus}0.010 to +0.200"
    assert interval(float("nan"), 0.2) == ""
    assert (p_value(0.00004), p_value(0.0312), p_value(float("nan"))) == ("< 0.0001", "0.0312", "")


def test_characteristics_count_patients_once_and_say_what_is_unknown(tmp_path):
    studies = ["s1", "s2", "s3", "s4"]
    patients = ["p1", "p1", "p2", "p3"]
    keys = {"dataset": "d", "patient_id": patients, "study_id": studies}
    splits = pd.DataFrame(
        keys | {"label": [1, 0, 0, 1], "fold": 0, "split": ["test", "test", "test", "train"]}
    )
    acquisition = pd.DataFrame(
        keys
        | {
            "manufacturer": ["A", "A", None, "B"],
            "scanner_model": None,
            "kernel": None,
            "slice_thickness_mm": [1.0, 2.0, 3.0, None],
            "spacing_z_mm": 1.0,
            "pixel_mm": 0.7,
            "num_slices": 40,
            "contrast": None,
            "age_years": pd.array([60, 60, 40, None], dtype="Int64"),
            "sex": ["F", "F", "M", None],
        }
    )
    write_table(splits, tmp_path / "splits.csv", "splits")
    write_table(acquisition, tmp_path / "acquisition.csv", "acquisition")
    shown = characteristics_of(tmp_path / "splits.csv", tmp_path / "acquisition.csv")
    rows = {row[0]: dict(zip(shown.columns, row, strict=True)) for row in shown.rows}
    assert rows["Patients"]["Test"] == "2" and rows["Scans"]["Test"] == "3"
    assert rows["Positive scans"]["Test"] == "1 (33 %)"
    assert rows["Women"]["Test"] == "1 of 2 (50 %)" and rows["Women"]["Training"] == "unknown"
    assert rows["Age of patients, median (quartiles)"]["Test"].startswith("50 years")
    assert rows["Manufacturer of the scanner"]["Test"] == "A 2; unknown: 1"
    assert rows["Slice thickness, median (quartiles)"]["Training"] == "unknown"

"""Subgroups, localisation and failures: who is in them, and that their numbers are those of a plain loop."""

import numpy as np
import pandas as pd
import pytest
from evaluated import Evaluated, edit, evaluate_alone, one_row
from sklearn.metrics import roc_auc_score
from synthetic_predictions import write_study

from chestct.evaluation.scans import load_test_set
from chestct.evaluation.subgroups import MIN_SCANS, NOT_STATED, list_subgroups
from chestct.tables import read_table

NAME = "lidc_phantom"


def facts(size, **columns):
    empty = ["manufacturer", "sex", "slice_thickness_mm", "age_years", "diameter_mm"]
    empty += ["central_pe", "chronic_pe", "right_heart_strain"]
    table = pd.DataFrame({name: [None] * size for name in empty}).assign(spacing_z_mm=1.0)
    return table.assign(**columns)


def test_groups_are_formed_of_what_is_stated():
    labels = np.array([0, 1, 0, 1])
    groups = list_subgroups(
        facts(4, manufacturer=["GE", None, "GE", "SIEMENS"], age_years=[49, 50, 64, 65]), labels
    )
    found = {(group.attribute, group.group): group.members.tolist() for group in groups}
    assert found == {
        ("manufacturer", "GE"): [True, False, True, False],
        ("manufacturer", "SIEMENS"): [False, False, False, True],
        ("manufacturer", NOT_STATED): [False, True, False, False],
        ("slice spacing", "up to 1.5 mm"): [True] * 4,
        ("age", "up to 49 years"): [True, False, False, False],
        ("age", "above 49 to 64 years"): [False, True, True, False],
        ("age", "above 64 years"): [False, False, False, True],
    }


def test_findings_are_of_positive_scans_beside_all_negative_ones():
    labels = np.array([0, 0, 1, 1, 1])
    groups = list_subgroups(
        facts(
            5,
            diameter_mm=[np.nan, np.nan, 5.0, 12.0, np.nan],
            central_pe=[np.nan, np.nan, 1, 0, 0],
            chronic_pe=[np.nan, np.nan, 1, 0, 0],
            right_heart_strain=[np.nan, np.nan, 0, 1, 0],
        ),
        labels,
    )
    found = {group.group: group.members.tolist() for group in groups if group.positives_only}
    assert found == {
        "up to 6 mm": [True, True, True, False, False],
        "above 8 mm": [True, True, False, True, False],
        NOT_STATED: [True, True, False, False, True],
        "central": [True, True, True, False, False],
        "chronic": [True, True, True, False, False],
        "right-heart strain": [True, True, False, True, False],
        "none of these": [True, True, False, False, True],
    }


@pytest.fixture(scope="module")
def larger(tmp_path_factory):
    """Enough scans for groups with numbers: two of the seven, a frozen probe, two seeds."""
    folder = tmp_path_factory.mktemp("larger")
    models = ["slow_narrow", "slowfast_narrow", "slow_narrow_probe"]
    files = write_study(folder, {NAME: {"num_patients": 160}}, models, ["scratch", "video"], [100], (0, 1))
    tables = evaluate_alone(files, folder / "evaluation", num_resamples=100)
    return Evaluated(files, folder / "evaluation", tables)


def scores_of(study, model, init, percent=100):
    (path,) = (path for path in study.files.predictions[NAME] if path.parent.name == model)
    table = read_table(path, "predictions")
    chosen = (table["init"] == init) & (table["percent"] == percent) & (table["split"] == "test")
    return table[chosen]


def test_a_group_has_the_auroc_of_its_scans(larger):
    files, rows = larger.files, larger.tables["subgroups"]
    acquisition = read_table(files.acquisition[NAME], "acquisition").set_index("study_id")
    own = one_row(rows, attribute="manufacturer", group="NORTH", model="slow_narrow", init="video")
    values = []
    for _, part in scores_of(larger, "slow_narrow", "video").groupby("seed"):
        part = part[acquisition.loc[part["study_id"], "manufacturer"].to_numpy() == "NORTH"]
        values.append(roc_auc_score(part["label"], part["score"]))
    assert own["value"] == pytest.approx(np.mean(values))
    assert (own["num_scans"], own["num_positive"]) == (len(part), part["label"].sum())
    assert own["patients_low"] < own["value"] < own["patients_high"]
    assert {"metadata", "mean_of_2"} <= set(rows["model"].dropna())
    assert not rows["model"].dropna().str.endswith("_probe").any()


def test_small_groups_are_named_and_not_evaluated(larger):
    rows = larger.tables["subgroups"]
    smallest = np.minimum(rows["num_positive"], rows["num_scans"] - rows["num_positive"])
    assert (rows["model"].isna() == (smallest < MIN_SCANS)).all()
    assert rows["model"].isna().any() and (rows["value"].isna() == rows["model"].isna()).all()


def test_a_group_of_one_class_stops_nothing(small_study, tmp_path):
    positive = set(read_table(small_study.splits[NAME], "splits").query("label == 1")["study_id"])
    edit(
        small_study.acquisition[NAME],
        lambda t: t.assign(manufacturer=np.where(t["study_id"].isin(positive), "ONE", "OTHER")),
    )
    rows = evaluate_alone(small_study, tmp_path / "evaluation")["subgroups"]
    assert rows.loc[rows["attribute"] == "manufacturer", "model"].isna().all()


def test_localisation_is_the_share_of_marked_top_windows_with_chance_beside_it(full_study):
    row = one_row(full_study.tables["localisation"], model="slow_narrow", init="video", percent=100)
    own = scores_of(full_study, "slow_narrow", "video")
    own = own[(own["label"] == 1) & (own["num_marked_windows"] > 0)]
    assert row["rate"] == pytest.approx(own["top_marked"].mean())
    assert row["chance"] == pytest.approx(0.25)
    assert row["difference"] == pytest.approx(row["rate"] - 0.25)
    assert row["difference_low"] == pytest.approx(
        row["difference"] - (row["difference_high"] - row["difference"])
    )
    assert row["patients_low"] < row["rate"] < row["patients_high"]
    assert row["num_scans"] == len(own) / 2


def test_without_marked_slices_there_is_no_localisation(small_study, tmp_path):
    for path in small_study.predictions[NAME]:
        edit(path, lambda t: t.assign(top_marked=0, num_marked_windows=0))
    assert evaluate_alone(small_study, tmp_path / "evaluation")["localisation"].empty


def test_failures_are_beyond_the_threshold_from_validation_worst_first(full_study):
    rows = full_study.tables["failures"]
    first = rows.iloc[0]
    run = scores_of(full_study, first["model"], first["init"])
    run = run[run["seed"] == first["seed"]].set_index("study_id")
    for kind, positive, sign in (("false_positive", 0, -1), ("false_negative", 1, 1)):
        own = rows[rows["kind"] == kind].sort_values("rank")
        side = run[run["label"] == positive]["score"]
        beyond = side[side > first["threshold"]] if positive == 0 else side[side <= first["threshold"]]
        assert own["num_wrong"].unique().tolist() == [len(beyond)]
        worst = (sign * beyond).sort_values().index[: len(own)]
        assert sorted(own["score"]) == pytest.approx(sorted(run.loc[worst, "score"]))
        assert len(own) == min(6, len(beyond))
    test_set = load_test_set(full_study.files.cohorts[NAME], full_study.files.splits[NAME])
    assert set(rows["study_id"]) <= set(test_set.study_ids)

"""The own_data study on real nodules, as far as it needs no training."""

import pytest

from chestct.tables import read_table
from tests.workflow.project import copy_project

STEPS = "results/own_data"


@pytest.fixture(scope="module")
def prepared(root, real_nodules, tmp_path_factory):
    """A copy of the project in which the nodules are converted and split."""
    project = copy_project(root, tmp_path_factory.mktemp("nodules") / "project")
    (project.folder.parent / "shared").symlink_to(real_nodules.parent)
    targets = [f"{STEPS}/subsets/nodules/{name}" for name in ("splits.csv", "windows.parquet")]
    project.run(*targets, study="own_data")
    return project.folder


def test_every_nodule_is_accounted_for(prepared):
    cohort = read_table(prepared / STEPS / "subsets/nodules/cohort.csv", "cohort")
    assert cohort["status"].value_counts().to_dict() == {"used": 93, "excluded": 41}
    assert set(cohort.loc[cohort["status"] == "excluded", "reason"]) == {"label_between_thresholds"}
    used = cohort[cohort["status"] == "used"]
    assert used["label"].value_counts().to_dict() == {1: 67, 0: 26}
    assert used["baseline"].notna().all()


def test_volumes_keep_their_size_and_spacing(prepared):
    index = read_table(prepared / STEPS / "volumes/nodules/index.csv", "index")
    sizes = ["num_slices", "rows", "columns"]
    assert (index[sizes] == 51).all(axis=None)
    assert index["spacing_z_mm"].between(0.999, 1.001).all()


def test_every_nodule_is_tested_once_and_patients_stay_together(prepared):
    splits = read_table(prepared / STEPS / "subsets/nodules/splits.csv", "splits")
    assert splits["fold"].nunique() == 5
    tested = splits[splits["split"] == "test"]
    assert tested["study_id"].is_unique
    assert len(tested) == 93
    assert (splits.groupby(["fold", "patient_id"])["split"].nunique() == 1).all()


def test_the_baseline_separates_malignancy_as_published(prepared):
    cohort = read_table(prepared / STEPS / "subsets/nodules/cohort.csv", "cohort")
    used = cohort[cohort["status"] == "used"]
    volumes = {label: part["baseline"].to_numpy() for label, part in used.groupby("label")}
    higher = volumes[1][:, None] - volumes[0][None, :]
    assert ((higher > 0) + 0.5 * (higher == 0)).mean() == pytest.approx(0.78, abs=0.005)

"""The study of a user's own scans on real nodules, as far as it needs no training."""

import pytest
import yaml

from chestct.tables import read_table
from tests.workflow.project import copy_project

STEPS = "results/real_nodules"
#: Nodules that a reader called malignant (4, 5) against those called benign (1, 2).
STUDY = {
    "study": "real_nodules",
    "datasets": [
        {
            "name": "nodules",
            "source": "own_data",
            "table": "../shared/real_nodules/labels.csv",
            "columns": {
                "patient_id": "patient_id",
                "study_id": "volume_id",
                "path": "path",
                "label": "malignancy",
            },
            "label_rule": {"positive_above": 3, "negative_below": 3},
            "baseline_column": "mask_voxels",
            "display_window_hu": {"centre": -600, "width": 1500},
        }
    ],
    "models": [{"name": "i3d"}],
    "inits": ["scratch", "video"],
    "percents": [100],
    "download": {"shard_size": 134},
    "volumes": {"size_px": 51},
    "subsets": {
        "split": {"train": 0.6, "validation": 0.2, "test": 0.2},
        "folds": 5,
        "window_slices": 32,
        "window_stride": 19,
    },
    "training": {"crop_px": 48},
}


@pytest.fixture(scope="module")
def prepared(root, real_nodules, tmp_path_factory):
    """A copy of the project in which the nodules are converted and split."""
    project = copy_project(root, tmp_path_factory.mktemp("nodules") / "project")
    (project.folder.parent / "shared").symlink_to(real_nodules.parent)
    targets = [f"{STEPS}/subsets/nodules/{name}" for name in ("splits.csv", "windows.parquet")]
    (project.folder / "studies" / "real_nodules.yaml").write_text(yaml.safe_dump(STUDY))
    project.run(*targets, study="real_nodules")
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

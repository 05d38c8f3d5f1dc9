"""What headers alone tell of LIDC-IDRI's label: scanner and protocol, without a look at any image."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from chestct.download.labels.lidc_nodule_clusters import Judgement, SeriesGeometry
from chestct.download.sources.imaging_data_commons import index_path
from chestct.evaluation.metadata_model import FEATURES, fit_and_score
from chestct.subsets.splits import split_patients
from chestct.tables import check_table
from chestct.volumes.acquisition import age_in_years, manufacturer_name, plain_text, sex_of

_COLUMNS = {
    "SeriesInstanceUID": "study_id",
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "scanner_model",
    "PatientAge": "age_years",
    "PatientSex": "sex",
    "instanceCount": "num_slices",
}


@pytest.fixture(scope="module")
def scans(
    database_scans: pd.DataFrame, geometries: dict[str, SeriesGeometry], judgements: dict[str, Judgement]
) -> pd.DataFrame:
    """Columns of the table acquisition of all 1,018 scans, with their labels and the diameters of nodules."""
    rows = [
        (uid, judgement.label, judgement.diameter_mm, geometries[uid].slice_spacing_mm)
        for uid, judgement in judgements.items()
    ]
    table = pd.DataFrame(rows, columns=["study_id", "label", "diameter_mm", "spacing_z_mm"])
    table = table.merge(
        database_scans[["patient_id", "slice_thickness", "pixel_spacing", "contrast_used"]],
        left_on="study_id",
        right_index=True,
    )
    index = pq.read_table(index_path(), columns=list(_COLUMNS), filters=[("collection_id", "=", "lidc_idri")])
    table = table.merge(index.to_pandas().rename(columns=_COLUMNS), on="study_id", validate="1:1")
    return table.assign(
        dataset="lidc",
        manufacturer=table["manufacturer"].map(manufacturer_name, na_action="ignore"),
        scanner_model=table["scanner_model"].map(plain_text, na_action="ignore"),
        kernel=None,
        age_years=table["age_years"].map(age_in_years, na_action="ignore"),
        sex=table["sex"].map(sex_of, na_action="ignore"),
        contrast=table["contrast_used"].astype(int),
    ).rename(columns={"slice_thickness": "slice_thickness_mm", "pixel_spacing": "pixel_mm"})


def cross_validated_auroc(scans: pd.DataFrame, rival: str, seed: int) -> float:
    """AUROC within folds, averaged over ten folds by patient, of the project's own splits and fit."""
    cohort = scans[["dataset", "patient_id", "study_id", "label"]].assign(status="used")
    shares = {"train": 0.7, "validation": 0.15, "test": 0.15}
    splits = split_patients(cohort, shares=shares, folds=10, seed=seed)
    facts, labels = scans.set_index("study_id"), scans.set_index("study_id")["label"]
    values = []
    for _, part in splits.groupby("fold"):
        is_test = part["split"] == "test"
        training, test = (facts.loc[part.loc[chosen, "study_id"]] for chosen in (~is_test, is_test))
        scores = fit_and_score(rival, training, labels.loc[training.index].to_numpy(), test)
        values.append(roc_auc_score(labels.loc[test.index], scores))
    return float(np.mean(values))


def test_the_facts_are_those_of_the_collection(scans: pd.DataFrame) -> None:
    columns = ["dataset", "patient_id", "study_id", "manufacturer", "scanner_model", "kernel"]
    columns += [
        "slice_thickness_mm",
        "spacing_z_mm",
        "pixel_mm",
        "num_slices",
        "contrast",
        "age_years",
        "sex",
    ]
    check_table(scans[columns], "acquisition", where="index and database")
    assert len(scans) == 1018 and scans["label"].sum() == 702
    assert scans["manufacturer"].value_counts().idxmax() == "GE" and scans["manufacturer"].nunique() == 4
    assert scans.loc[scans["label"] == 1, "diameter_mm"].between(3, 60).all()
    assert scans.loc[scans["label"] == 0, "diameter_mm"].isna().all()


@pytest.mark.parametrize(("rival", "expected"), [("metadata", 0.66), ("slice_count", 0.55)])
def test_headers_alone_tell_the_label_better_than_chance(
    scans: pd.DataFrame, rival: str, expected: float
) -> None:
    """The label says nothing of scanners; that they tell it is how patients came to them."""
    assert rival in FEATURES
    values = [cross_validated_auroc(scans, rival, seed) for seed in range(3)]
    assert np.mean(values) == pytest.approx(expected, abs=0.02)

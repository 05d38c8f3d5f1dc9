"""Phantom datasets: real DICOM in the real layouts, the planted labels come back, the same every time."""

import json
import shutil
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from sklearn.metrics import roc_auc_score

from chestct.download import datasets as sources
from chestct.download.labels import rspect_labels
from chestct.download.phantoms import lidc_patients as phantom_lidc_plan
from chestct.download.phantoms import rspect_patients as phantom_rspect_plan
from chestct.download.phantoms.grid import SHAPE, SPACING_MM
from chestct.download.phantoms.headers import draw_header
from chestct.download.sources import phantom_lidc, phantom_rspect
from chestct.obtained_files import content_digest, digest_of
from chestct.tables import read_table
from tests.unit.download.file_server import SETTINGS


def files_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.dcm"))}


@pytest.fixture(params=["pe", "nodule"])
def dataset(request: pytest.FixtureRequest) -> tuple[dict, Path]:
    return request.getfixturevalue(f"{request.param}_entry"), request.getfixturevalue(f"{request.param}_root")


def test_every_listed_series_is_a_whole_ct_series(dataset: tuple[dict, Path]) -> None:
    _, root = dataset
    series = read_table(root / "series.csv", "series")
    assert series["shard"].tolist() == [0] * 5 + [1] * 5 + [2] * 2
    instances: list[str] = []
    for row in series.itertuples():
        headers = [pydicom.dcmread(p) for p in sorted((root / row.path).glob("*.dcm"))]
        assert len(headers) == row.num_instances == SHAPE[0]
        assert {h.StudyInstanceUID for h in headers} == {row.study_id}
        assert {h.SeriesInstanceUID for h in headers} == {row.series_id}
        assert {(h.PatientID, str(h.PatientName)) for h in headers} == {(row.patient_id, row.patient_id)}
        assert all(h.SOPInstanceUID == h.file_meta.MediaStorageSOPInstanceUID for h in headers)
        assert all(h.Modality == "CT" and list(h.PixelSpacing) == [0.75, 0.75] for h in headers)
        assert all(float(h.SliceLocation) == float(h.ImagePositionPatient[2]) for h in headers)
        z = np.array([float(h.ImagePositionPatient[2]) for h in headers])
        assert np.allclose(np.diff(np.sort(z)), SPACING_MM[0])
        assert not (np.all(np.diff(z) > 0) or np.all(np.diff(z) < 0)), "readers must sort"
        instances += [h.SOPInstanceUID for h in headers]
    assert len(set(instances)) == len(instances) == len(series) * SHAPE[0]


def test_pixels_are_the_rendered_hu(nodule_entry: dict, nodule_root: Path) -> None:
    row = read_table(nodule_root / "series.csv", "series").iloc[1]
    plan = phantom_lidc_plan.plan_patient("nodules", 4, 1)
    expected = phantom_lidc_plan.render(plan, "nodules", 4, 1)
    slices = [pydicom.dcmread(p) for p in (nodule_root / row["path"]).glob("*.dcm")]
    slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
    hu = np.stack([s.pixel_array.astype(int) * int(s.RescaleSlope) + int(s.RescaleIntercept) for s in slices])
    assert np.array_equal(hu, expected)


def test_pe_labels_are_the_planted_ones(pe_entry: dict, pe_root: Path) -> None:
    labels = read_table(pe_root / "labels.csv", "labels")
    slices = read_table(pe_root / "slice_labels.parquet", "slice_labels").groupby("study_id")
    found = {study: set(part["sop_instance_uid"]) for study, part in slices}
    assert set(labels["label"].dropna()) == {0, 1}
    for index, row in enumerate(labels.itertuples()):
        plan = phantom_rspect_plan.plan_patient("pe", 3, index)
        ids = phantom_rspect.patient_ids(pe_entry, index)
        assert row.study_id == ids.study_id
        assert found.get(row.study_id, set()) == {ids.sop_ids[k] for k in plan.positive_slices()}
        if plan.indeterminate:
            assert pd.isna(row.label) and row.exclusion == "indeterminate"
        else:
            assert row.label == int(len(plan.emboli) > 0) and pd.isna(row.exclusion)


def test_nodule_labels_are_the_planted_ones(nodule_entry: dict, nodule_root: Path) -> None:
    labels = read_table(nodule_root / "labels.csv", "labels")
    slices = read_table(nodule_root / "slice_labels.parquet", "slice_labels").set_index("sop_instance_uid")
    assert set(labels["label"]) == {0, 1}
    total = 0
    for index, row in enumerate(labels.itertuples()):
        plan = phantom_lidc_plan.plan_patient("nodules", 4, index)
        ids = phantom_lidc.patient_ids(nodule_entry, index)
        assert row.label == int(any(len(nodule.marks) >= 3 for nodule in plan.nodules))
        expected: dict[str, int] = {}
        for nodule in plan.nodules:
            readers = Counter(k for reader in nodule.marks for k in nodule.slices(reader))
            for k, number in readers.items():
                expected[ids.sop_ids[k]] = max(number, expected.get(ids.sop_ids[k], 0))
        found = slices[slices["study_id"] == ids.study_id]
        assert found["num_readers"].to_dict() == expected
        total += len(expected)
    assert total == len(slices)


def test_train_csv_has_the_published_columns_and_hides_the_order_of_slices(pe_root: Path) -> None:
    table = pd.read_csv(pe_root / "train.csv")
    assert tuple(table.columns) == rspect_labels.COLUMNS
    assert table.equals(table.sort_values(list(rspect_labels.ID_COLUMNS), ignore_index=True))
    positive = table[table["negative_exam_for_pe"] == 0]
    positive = positive[positive["indeterminate"] == 0]
    assert (positive[["leftsided_pe", "rightsided_pe", "central_pe"]].sum(axis=1) >= 1).all()
    assert (positive[["rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1"]].sum(axis=1) == 1).all()


@pytest.mark.parametrize("kind", ["lidc", "rspect"])
def test_prevalence_and_length_of_findings(kind: str) -> None:
    if kind == "lidc":
        plans = [phantom_lidc_plan.plan_patient("d", 1, i) for i in range(200)]
        spans = [len(n.slices(r)) for p in plans for n in p.nodules if len(n.marks) >= 3 for r in n.marks]
        assert 0.4 < np.mean([p.label for p in plans]) < 0.6
        assert sum(1 for p in plans if any(len(n.marks) < 3 for n in p.nodules)) >= 5
        assert sum(1 for p in plans if p.points) >= 20
    else:
        exams = [phantom_rspect_plan.plan_patient("d", 1, i) for i in range(200)]
        spans = [len(e.slices()) for p in exams for e in p.emboli]
        assert 0.4 < np.mean([p.label for p in exams]) < 0.55
        assert 1 <= sum(p.indeterminate for p in exams) <= 12
        assert not any(p.indeterminate and p.label for p in exams)
    assert min(spans) >= 5, "a finding must make its window positive"


@pytest.mark.parametrize("kind", ["lidc", "rspect"])
def test_findings_survive_the_centre_crop(kind: str) -> None:
    # 32 of 40 pixels: a tenth of the image is cut on every side.
    border_mm = SHAPE[1] / 10 * SPACING_MM[1]
    for index in range(100):
        if kind == "lidc":
            for nodule in phantom_lidc_plan.plan_patient("d", 1, index).nodules:
                assert np.all(nodule.centre_mm[1:] - nodule.radii_mm[1:] > border_mm)
                assert np.all(nodule.centre_mm[1:] + nodule.radii_mm[1:] < 95 * SPACING_MM[1] - border_mm)
        else:
            for embolus in phantom_rspect_plan.plan_patient("d", 1, index).emboli:
                assert np.all(embolus.points_mm[:, 1:] > border_mm)
                assert np.all(embolus.points_mm[:, 1:] < 95 * SPACING_MM[1] - border_mm)


def test_a_nodule_is_as_dense_as_a_vessel_and_an_embolus_darker_than_its_artery() -> None:
    plan = next(p for i in range(20) if (p := phantom_lidc_plan.plan_patient("d", 1, i)).label)
    volume = phantom_lidc_plan.render(plan, "d", 1, 0)

    def inside(hu: np.ndarray, points: np.ndarray) -> float:
        index = np.rint(points / np.array(SPACING_MM)).astype(int)
        index = index[np.all((index >= 0) & (index < np.array(SHAPE)), axis=1)]
        return float(np.median(hu[tuple(index.T)]))

    wide = max(plan.tubes, key=lambda tube: tube.radii_mm.mean())
    assert abs(inside(volume, plan.nodules[0].balls_mm[:, :3]) - inside(volume, wide.points_mm)) < 40
    exam = next(p for i in range(20) if (p := phantom_rspect_plan.plan_patient("d", 1, i)).label)
    filled = phantom_rspect_plan.render(exam, "d", 1, 0)
    assert 20 < inside(filled, exam.emboli[0].points_mm) < 180
    assert np.percentile(filled, 99.7) > 250, "enhanced blood around it"


def test_another_run_writes_the_same_bytes_and_another_seed_does_not(
    nodule_entry: dict, nodule_root: Path, tmp_path: Path
) -> None:
    again = nodule_entry | {"patients": [phantom_lidc.patient_ids(nodule_entry, 2).patient_id]}
    series = phantom_lidc.list_series(again, tmp_path, 5, SETTINGS).series
    phantom_lidc.obtain(again, tmp_path, series, SETTINGS)
    written = files_of(tmp_path)
    assert len(written) == SHAPE[0]
    assert written.items() <= files_of(nodule_root).items()
    other = phantom_lidc.list_series(nodule_entry | {"seed": 5}, tmp_path, 5, SETTINGS).series
    mine = read_table(nodule_root / "series.csv", "series")
    assert not set(other["study_id"]) & set(mine["study_id"])
    assert not np.array_equal(
        phantom_lidc_plan.render(phantom_lidc_plan.plan_patient("n", 4, 0), "n", 4, 0),
        phantom_lidc_plan.render(phantom_lidc_plan.plan_patient("n", 5, 0), "n", 5, 0),
    )


def test_half_written_study_is_completed_and_whole_ones_stay(
    dataset: tuple[dict, Path], tmp_path: Path
) -> None:
    entry, source = dataset
    root = tmp_path / "copy"
    shutil.copytree(source, root)
    series = read_table(root / "series.csv", "series").iloc[:3]
    before = files_of(root)
    damaged, kept = (root / series.iloc[n]["path"] for n in (0, 1))
    lost = sorted(damaged.glob("*.dcm"))[:7]
    for path in lost:
        path.unlink()
    leftover = damaged.parents[1] / f".{damaged.parent.name}.0a1b2c3d.partial"
    leftover.mkdir()
    (leftover / "junk").write_text("from a killed run")
    times = {p: p.stat().st_mtime_ns for p in kept.iterdir()}
    sources.source_of(entry).obtain(entry, root, series, SETTINGS)
    assert files_of(root) == before
    assert {p: p.stat().st_mtime_ns for p in kept.iterdir()} == times
    assert not leftover.exists()


def test_a_study_that_fails_leaves_nothing(
    pe_entry: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = phantom_rspect.list_series(pe_entry, tmp_path, 5, SETTINGS).series.iloc[:1]

    def fail(self: Path, data: bytes) -> int:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="disk full"):
            phantom_rspect.obtain(pe_entry, tmp_path, series, SETTINGS)
    assert list((tmp_path / "train").iterdir()) == []


def test_shard_table_digests_names_and_contents(nodule_root: Path) -> None:
    shard = read_table(nodule_root / "shards/shard-2.csv", "shard")
    series = read_table(nodule_root / "series.csv", "series")
    assert shard["study_id"].tolist() == series["study_id"].tolist()[10:]
    files = sorted((nodule_root / series.iloc[10]["path"]).glob("*.dcm"))
    assert shard.iloc[0]["num_files"] == len(files)
    assert shard.iloc[0]["num_bytes"] == sum(p.stat().st_size for p in files)
    assert shard["sha256"].nunique() == len(shard)
    folder = nodule_root / series.iloc[10]["path"]
    listed = [(p.name, p.stat().st_size, zlib.crc32(p.read_bytes())) for p in folder.iterdir()]
    assert shard.iloc[0]["sha256"] == content_digest(folder) == digest_of(listed)


def test_manifest_says_what_is_stand_in(nodule_root: Path) -> None:
    facts = json.loads((nodule_root / "manifest.json").read_text())
    assert facts["stand_in"] is True and facts["num_series"] == 12 and facts["dataset"] == "nodules"
    assert {"version", "source", "licence", "citation", "description"} <= facts.keys()


def test_headers_say_how_a_scan_was_acquired_and_barely_tell_the_label() -> None:
    drawn = [draw_header("d", 1, index, index % 2, contrast_share=0.4) for index in range(400)]
    assert drawn == [draw_header("d", 1, index, index % 2, contrast_share=0.4) for index in range(400)]
    for field in ("manufacturer", "scanner_model", "kernel", "slice_thickness_mm", "contrast_agent", "sex"):
        assert min(Counter(getattr(header, field) for header in drawn).values()) >= 20, field
    assert 5 <= sum(not header.age for header in drawn) <= 40
    labels = np.arange(400) % 2
    known = np.array([bool(header.age) for header in drawn])
    ages = np.array([int(header.age[:3] or 0) for header in drawn])
    assert 0.5 < roc_auc_score(labels[known], ages[known]) < 0.62


def test_all_slices_of_a_scan_have_its_header(dataset: tuple[dict, Path]) -> None:
    entry, root = dataset
    rspect = entry["source"] == "phantom_rspect"
    planned = phantom_rspect_plan if rspect else phantom_lidc_plan
    for index, row in enumerate(read_table(root / "series.csv", "series").itertuples()):
        label = planned.plan_patient(entry["name"], entry["seed"], index).label
        share = 1.0 if rspect else phantom_lidc.CONTRAST_SHARE
        wanted = draw_header(entry["name"], entry["seed"], index, label, contrast_share=share)
        for path in (root / row.path).glob("*.dcm"):
            found = pydicom.dcmread(path, stop_before_pixels=True)
            assert found.Manufacturer == wanted.manufacturer and found.PatientSex == wanted.sex
            assert found.ManufacturerModelName == wanted.scanner_model
            assert found.ConvolutionKernel == wanted.kernel
            assert float(found.SliceThickness) == wanted.slice_thickness_mm
            assert (found.ContrastBolusAgent or "") == wanted.contrast_agent
            assert (found.PatientAge or "") == wanted.age


def test_findings_are_the_planted_ones(pe_root: Path, nodule_entry: dict, nodule_root: Path) -> None:
    table = (
        pd.read_csv(pe_root / "train.csv").drop_duplicates("StudyInstanceUID").set_index("StudyInstanceUID")
    )
    found = read_table(pe_root / "findings.csv", "findings").set_index("study_id")
    positive = read_table(pe_root / "labels.csv", "labels").query("label == 1")["study_id"]
    assert set(found.index) == set(positive) and found["diameter_mm"].isna().all()
    assert found["central_pe"].tolist() == table.loc[found.index, "central_pe"].tolist()
    assert found["right_heart_strain"].tolist() == table.loc[found.index, "rv_lv_ratio_gte_1"].tolist()
    found = read_table(nodule_root / "findings.csv", "findings").set_index("study_id")
    for index in range(12):
        plan = phantom_lidc_plan.plan_patient("nodules", 4, index)
        study_id = phantom_lidc.patient_ids(nodule_entry, index).study_id
        radii = [nodule.radii_mm[1] for nodule in plan.nodules if len(nodule.marks) >= 3]
        assert (study_id in found.index) == bool(radii)
        if radii:
            assert found.loc[study_id, "diameter_mm"] == pytest.approx(2 * max(radii), abs=2.0)


@pytest.mark.parametrize("plans", [phantom_lidc_plan, phantom_rspect_plan])
def test_another_scanner_shows_the_same_patient_with_more_noise_and_less_contrast(plans: Any) -> None:
    plan = plans.plan_patient("d", 1, 0)
    a, b = (plans.render(plan, "d", 1, 0, scanner).astype(float) for scanner in "ab")
    assert np.array_equal(a, plans.render(plan, "d", 1, 0)), "scanner a is the default"
    contrast = [float(np.subtract(*np.percentile(hu, [95, 5]))) for hu in (a, b)]
    assert 0.7 < contrast[1] / contrast[0] < 0.95
    lung = (slice(None), slice(40, 60), slice(40, 60))
    steps = [np.median(np.abs(np.diff(hu[lung], axis=2))) for hu in (a, b)]
    assert steps[1] > 1.3 * steps[0]
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.8


def test_scanners_and_seeds_have_patients_and_headers_of_their_own(pe_entry: dict) -> None:
    entries = [pe_entry, pe_entry | {"scanner": "b"}, pe_entry | {"seed": 9}, pe_entry | {"name": "other"}]
    ids = [phantom_rspect.patient_ids(entry, 0) for entry in entries]
    assert len({one.patient_id for one in ids}) == len({one.study_id for one in ids}) == 4
    drawn = [draw_header("d", 1, index, 0, contrast_share=0.4, scanner="b") for index in range(20)]
    assert {(header.manufacturer, header.slice_thickness_mm) for header in drawn} == {("WEST PHANTOMS", 3.0)}
    assert "scanner b" in phantom_rspect.manifest(entries[1])["version"]


def test_the_consensus_of_nodules_is_a_key(tmp_path: Path) -> None:
    readers = {
        index: [len(n.marks) for n in phantom_lidc_plan.plan_patient("n", 1, index).nodules]
        for index in range(99)
    }
    # Patients whose label depends on how many readers are asked for.
    chosen = [
        next(index for index, found in readers.items() if max(found, default=0) == most) for most in (2, 3)
    ]
    entry = {"name": "n", "source": "phantom_lidc", "num_patients": 99, "seed": 1}
    entry["patients"] = [phantom_lidc.patient_ids(entry, index).patient_id for index in chosen]
    series = phantom_lidc.list_series(entry, tmp_path, 5, SETTINGS).series
    phantom_lidc.obtain(entry, tmp_path, series, SETTINGS)
    for consensus in (1, 2, 3, 4):
        scans, _ = phantom_lidc.read_labels(entry | {"consensus": consensus}, tmp_path, series)
        labels = dict(zip(scans["patient_id"], scans["label"], strict=True))
        assert [labels[patient] for patient in entry["patients"]] == [consensus <= 2, consensus <= 3]
    default, _ = phantom_lidc.read_labels(entry, tmp_path, series)
    assert sorted(default["label"]) == [0, 1]


def test_indeterminate_exams_are_excluded_positive_or_negative(pe_entry: dict, pe_root: Path) -> None:
    series = read_table(pe_root / "series.csv", "series")
    found = {
        taken_as: phantom_rspect.read_labels(pe_entry | {"indeterminate": taken_as}, pe_root, series)[0]
        for taken_as in ("excluded", "positive", "negative")
    }
    unclear = found["excluded"]["exclusion"] == "indeterminate"
    assert unclear.sum() == 1
    assert found["positive"].loc[unclear, "label"].tolist() == [1]
    assert found["negative"].loc[unclear, "label"].tolist() == [0]
    for scans in found.values():
        assert scans["label"][~unclear].tolist() == found["excluded"]["label"][~unclear].tolist()
        assert scans["exclusion"][~unclear].isna().all()

"""Equal voxels under two patients or studies are found, whatever path, link, copy or header they have."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from chest_volumes import chest
from dicom_files import write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_jobs import combine, run, series_table
from volume_writers import write_nifti

from chestct.errors import InputError
from chestct.tables import read_table
from chestct.volumes.combine_shards import combine_volumes
from chestct.volumes.duplicates import content_digest

HU = np.maximum(chest(6, 24, seed=7), -1024)


@pytest.fixture
def copies(tmp_path):
    """One scan as NIfTI, linked, copied, under another header, in other formats, turned over, as DICOM."""
    root = tmp_path / "data"
    root.mkdir()
    first = write_nifti(root / "first.nii.gz", HU)
    (root / "link.nii.gz").symlink_to(first)
    (root / "copy.nii.gz").write_bytes(first.read_bytes())
    write_nifti(root / "spacing.nii.gz", HU, pixdim=(0.8, 0.8, 1), sform=(-0.8, -0.8, 1))
    write_nifti(root / "floats.nii", HU, "f4", order=">", packed=False)
    write_nifti(root / "mirrored.nii.gz", np.ascontiguousarray(HU[::-1, :, ::-1]))
    image = sitk.GetImageFromArray(HU)
    image.SetSpacing((1, 1, 2.5))
    sitk.WriteImage(image, str(root / "other.mha"), useCompression=True)
    write_series(root / "dicom", HU)
    write_nifti(root / "another.nii.gz", np.maximum(chest(6, 24, seed=8), -1024))
    return root


NAMES = [
    "copy.nii.gz",
    "link.nii.gz",
    "spacing.nii.gz",
    "floats.nii",
    "mirrored.nii.gz",
    "other.mha",
    "dicom",
]


@pytest.mark.parametrize("name", NAMES)
def test_two_patients_with_equal_voxels_stop_the_study(copies, tmp_path, name):
    shards = [
        run(series_table("first.nii.gz", "another.nii.gz"), copies, tmp_path / "r", 0, size_px=24),
        run(series_table(name), copies, tmp_path / "r", 1, size_px=24),
    ]
    with pytest.raises(InputError, match="have the voxels of another patient's") as caught:
        combine(shards, tmp_path / "all", 0)
    named = f"scan s-{name} of patient p-{name} has those of scan s-first.nii.gz of patient p-first.nii.gz"
    assert named in str(caught.value) and "duplicates: join" in str(caught.value)
    assert "delete" not in str(caught.value) and not (tmp_path / "all").exists()


def test_patients_are_joined_where_the_study_says_so(copies, tmp_path):
    """The second scan is in the ledger alone, and says whose voxels it has."""
    out = run(series_table("first.nii.gz", "another.nii.gz", "dicom"), copies, tmp_path / "r", size_px=24)
    del out["store_path"]
    tables = {key: tmp_path / "all" / path.name for key, path in out.items()}
    shards = {f"{key}s": [path] for key, path in out.items()}
    combine_volumes(dataset="d", max_refused_percent=0, on_duplicates="join", **shards, **tables)
    kept = ["s-first.nii.gz", "s-another.nii.gz"]
    for name in ("index", "slices", "acquisition"):
        assert read_table(tables[f"{name}_path"], name)["study_id"].unique().tolist() == kept
    ledger = read_table(tables["ledger_path"], "ledger").set_index("study_id")
    assert ledger["status"].tolist() == ["accepted", "accepted", "refused"]
    assert ledger.loc["s-dicom", ["reason", "detail", "same_as"]].tolist() == [
        "duplicate", "the same voxels as scan s-first.nii.gz", "s-first.nii.gz"
    ]  # fmt: skip
    assert ledger["same_as"].isna().tolist() == [True, True, False]


def test_two_studies_of_one_patient_are_refused_second(copies, tmp_path):
    series = series_table("first.nii.gz", "copy.nii.gz", "another.nii.gz")
    series["patient_id"] = "p"
    out = combine([run(series, copies, tmp_path / "r", size_px=24)], tmp_path / "all", 0)
    ledger = read_table(out["ledger_path"], "ledger")
    assert ledger["reason"].fillna("").tolist() == ["", "duplicate", ""]
    assert len(read_table(out["index_path"], "index")) == 2


def test_equal_scans_of_one_patient_are_kept_where_the_study_says_so(copies, tmp_path):
    series = series_table("first.nii.gz", "copy.nii.gz", "another.nii.gz")
    shards = [run(series.assign(patient_id="p"), copies, tmp_path / "r", size_px=24)]
    out = combine(shards, tmp_path / "all", 0, on_duplicates="keep")
    assert len(read_table(out["index_path"], "index")) == 3
    shards = [run(series, copies, tmp_path / "two", size_px=24)]
    with pytest.raises(InputError, match="another patient's"):
        combine(shards, tmp_path / "all", 0, on_duplicates="keep")


def test_nearly_constant_volumes_are_not_compared(copies):
    assert content_digest(np.zeros((4, 8, 8), dtype=np.int16)) is None
    assert content_digest(np.arange(64, dtype=np.int16).reshape(1, 8, 8) // 8) is None
    assert content_digest(np.arange(64, dtype=np.int16).reshape(1, 8, 8)) is not None


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    st.integers(0, 2**32 - 1),
)
def test_turning_and_mirroring_change_nothing_and_a_voxel_does(depth, turns, seed):
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1024, 3000, (depth, 6, 9)).astype(np.int16)
    turned = hu[tuple(slice(None, None, -1 if turn else 1) for turn in turns[:3])]
    turned = turned.transpose(0, 2, 1) if turns[3] else turned
    assert content_digest(np.ascontiguousarray(turned)) == content_digest(hu)
    changed = hu.copy()
    changed[rng.integers(depth) if depth <= 8 else 0, 3, 3] ^= 1
    assert content_digest(changed) != content_digest(hu)
    assert content_digest(hu[:, :5]) != content_digest(hu)

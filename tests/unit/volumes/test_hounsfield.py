"""What is not HU is refused with its likely cause; crops, phantoms and clipped chests are HU."""

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from chest_volumes import chest, contrast_phantom, lung_crop, padded_chest
from dicom_files import refusal, write_series
from hypothesis import given
from hypothesis import strategies as st

from chestct.dataset_entries import conversion_of, file_intensity_of, intensity_of
from chestct.intensity import HU, HU_PLUS_1024
from chestct.volumes.convert_scan import convert_one, read_series
from chestct.volumes.hounsfield import check_hounsfield
from chestct.volumes.refusals import RefusedScan

CHEST = chest()


def shifted(where, by):
    """A chest of whose slices some have other numbers."""
    hu = CHEST.copy()
    hu[where] += by
    return np.maximum(hu, -1024)


def holed(where, value):
    """A chest of whose slices some hold one value."""
    hu = CHEST.copy()
    hu[where] = value
    return hu


NO_HU = {
    "1024 too high": (CHEST + 1024, "looks like HU + 1024: set intensity: hu_plus_1024"),
    "1024 too high, padded": (padded_chest(-2000) + 1024, "looks like HU + 1024"),
    "1000 too high": (np.maximum(CHEST, -1000) + 1000, "set intensity: hu_plus_1024"),
    "1024 too low": (CHEST - 1024, "looks like HU - 1024, as after a rescale applied twice"),
    "8192 too low": (CHEST.astype(np.int32) - 8192, "looks like HU - 8192"),
    "air at -488": (CHEST + 512, "looks like HU + 512"),
    "rescaled twice and clipped": (np.maximum(CHEST - 1024, -1024), "rescale applied twice"),
    "slope without its last digit": ((CHEST + 1024) * 0.1 - 1024, "slope far too small"),
    "slope twice as large": ((CHEST + 1024.0) * 2 - 1024, "a slope that is 2 times"),
    "display window": (np.clip((CHEST + 1350) / 1500 * 255, 0, 255).round(), "intensity: display"),
    "labels": (np.arange(CHEST.size).reshape(CHEST.shape) % 117, "labels"),
    "mask": ((CHEST < -500) * 100, "labels"),
    "mask in HU": (np.where(CHEST < -500, -1000, 0), "two values, as of a mask"),
    "z-scores": ((CHEST - CHEST.mean()) / CHEST.std(), "scaled for a network"),
    "thousandths": (np.clip(CHEST, -1000, 1000) / 1000, "times 0.001"),
    "sign turned": (-CHEST, "sign turned"),
    "unsigned": (CHEST.astype(np.uint16), "unsigned"),
    "PET": (np.abs(CHEST.astype(np.int32)) * 10, "PET"),
    "soft tissue window": (np.clip(CHEST, -160, 240), "window without air"),
    "constant": (CHEST * 0 - 1000, "nothing else"),
    "window without lungs": (np.clip(CHEST, -500, 500), "window without air"),
    "half of it zeros": (holed(slice(6, None), 0), "6 of 12 slices hold nothing but one value"),
    "zeros to the end": (holed(slice(7, None), 0), "copy the scan again"),
    "a slice of zeros": (holed(0, 0), "1 of 12 slices"),
    "rescale lost in a few": (shifted(slice(3, 6), 1024), "all values move by"),
    "rescale lost in one at the end": (shifted(11, 1000), "from one slice to the next"),
    "rescale lost in a few, padded": (
        np.where(padded_chest(-2000) == -2000, -1024, shifted(slice(5, 7), 1024)),
        "all values move by",
    ),
    "another offset in half": (shifted(slice(6, None), 512), "all values move by"),
    "rescaled twice in a few": (shifted(slice(3, 6), -1000), "3 slices without tissue between others"),
    "a hole of air": (holed(5, -1024), "1 of 12 slices hold nothing but one value"),
    "nearly constant": (np.where(np.arange(CHEST.size).reshape(CHEST.shape) < 20, 40, -1000), "mask"),
}
ARE_HU = {
    "chest": CHEST,
    "noisy": chest(noise=60),
    "without noise": chest(noise=0),
    "-1000 to 400": np.clip(CHEST, -1000, 400),
    "-1000 to 1000": np.clip(CHEST, -1000, 1000),
    "lung window": np.clip(CHEST, -1350, 150),
    "padded": padded_chest(-2000),
    "padded, in 16 bits": padded_chest(-32768),
    "padded with water": padded_chest(0),
    "fractions": CHEST + np.float32(0.3),
    "a seventh of the contrast gone": (40 + 0.85 * (CHEST - 40)).astype(np.int16),
    "lung crop": lung_crop(),
    "lung crop in a lung window": np.clip(lung_crop(), -1350, 150),
    "contrast phantom": contrast_phantom(),
    "a few slices that were rescaled twice, or of air, at an end": shifted(slice(10, None), -1024),
    "many slices that were rescaled twice, or of air, at an end": shifted(slice(6, None), -1024),
    "slices of air added at an end": holed(slice(9, None), -1024),
    "slices of padding at both ends": holed([0, 1, 11], -3024),
    "large": np.tile(CHEST, (6, 4, 4)),
}


@pytest.mark.parametrize("name", NO_HU)
def test_what_is_no_hu_is_refused_with_its_likely_cause(name):
    values, words = NO_HU[name]
    with pytest.raises(RefusedScan, match="not_hounsfield") as caught:
        check_hounsfield(values)
    assert words in caught.value.detail, caught.value.detail


@pytest.mark.parametrize("name", ARE_HU)
def test_what_is_hu_is_taken(name):
    notes = check_hounsfield(ARE_HU[name])
    if name.startswith("slices of"):
        assert notes == ["3 slice(s) of one value, air, at the ends"]
    else:
        assert notes == (["6 slices without tissue at the ends"] if name.startswith("many slices") else [])


@given(offset=st.integers(450, 40000), sign=st.sampled_from([1, -1]))
def test_no_chest_is_taken_that_was_shifted_far(offset, sign):
    with pytest.raises(RefusedScan, match="not_hounsfield"):
        check_hounsfield(CHEST.astype(np.int32) + sign * offset)


@given(factor=st.one_of(st.floats(0, 0.5), st.floats(4, 100), st.floats(-100, 0)))
def test_no_chest_is_taken_that_was_scaled_far(factor):
    with pytest.raises(RefusedScan, match="not_hounsfield"):
        check_hounsfield((CHEST + 1024.0) * factor - 1024)


def save(path, array):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.7, 2.5))
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_a_dataset_may_say_that_1024_was_added(tmp_path, suffix, dtype):
    path = save(tmp_path / f"v{suffix}", (np.maximum(CHEST, -1024) + 1024).astype(dtype))
    assert "set intensity: hu_plus_1024" in refusal(path).detail
    scan, _ = read_series(path, intensity=HU_PLUS_1024)
    np.testing.assert_array_equal(scan.hu, np.maximum(CHEST, -1024))
    assert scan.intensity == HU
    row, _ = convert_one(path, dataset="d", size_px=16, intensity=HU_PLUS_1024)
    assert (row["status"], row["detail"]) == ("accepted", "hu_plus_1024 in the files: 1024 taken off")


def test_a_dataset_that_says_so_by_mistake_is_told(tmp_path):
    refused = refusal(save(tmp_path / "v.mha", CHEST), intensity=HU_PLUS_1024)
    assert refused.reason == "not_hounsfield" and "HU as they are: remove `intensity`" in refused.detail


def test_dicom_is_judged_and_corrected_alike(tmp_path):
    added = write_series(tmp_path / "added", CHEST + np.int16(1024))
    assert "looks like HU + 1024: set intensity: hu_plus_1024" in refusal(added).detail
    scan, _ = read_series(added, intensity=HU_PLUS_1024)
    np.testing.assert_array_equal(scan.hu, np.maximum(CHEST, -1024))
    for name, bent in {
        "twice": {"intercepts": [-1024] * 12},
        "slope": {"intercepts": [-1024] * 12, "slopes": [0.1] * 12},
        "intercept": {"intercepts": [512] * 12},
    }.items():
        refused = refusal(write_series(tmp_path / name, CHEST, **bent))
        assert refused.reason == "not_hounsfield" and "looks like" in refused.detail, refused
    good = write_series(tmp_path / "good", CHEST)
    np.testing.assert_array_equal(read_series(good, size_px=48)[0].hu, np.maximum(CHEST, -1024))


def test_what_files_add_is_no_property_of_the_volumes():
    entry = {"name": "d", "source": "own_data", "intensity": HU_PLUS_1024}
    assert (file_intensity_of(entry), intensity_of(entry)) == (HU_PLUS_1024, HU)
    assert conversion_of(entry)["intensity"] == HU_PLUS_1024

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chestct.errors import InputError
from chestct.subsets.windows import list_windows, positive_slices, window_starts


@given(st.integers(1, 300), st.integers(8, 40), st.integers(1, 8))
def test_windows_cover_every_slice_and_stay_inside(num_slices, window, stride):
    starts = window_starts(num_slices, window, stride)
    covered = {z for start in starts for z in range(start, start + window)}
    assert set(range(num_slices)) <= covered
    assert starts == sorted(set(starts))
    assert num_slices < window or max(starts) + window == num_slices


def scan(label: int, num_slices: int = 24) -> pd.DataFrame:
    row = {"dataset": "d", "patient_id": "p", "study_id": "s", "label": label, "num_slices": num_slices}
    return pd.DataFrame([row | {"status": "used"}])


def labels_of(table: pd.DataFrame) -> list[int]:
    return table["label"].tolist()


RULE = {"window": 16, "stride": 8, "min_positive": 4}


def test_a_window_with_enough_positive_slices_is_positive():
    windows = list_windows(scan(1), {"s": np.arange(18, 24)}, **RULE)
    assert windows["start"].tolist() == [0, 8]
    assert windows["num_positive_slices"].tolist() == [0, 6]
    assert labels_of(windows) == [0, 1]


def test_a_short_finding_keeps_its_best_windows():
    assert labels_of(list_windows(scan(1), {"s": np.array([1, 2])}, **RULE)) == [1, 0]


def test_windows_of_a_negative_scan_are_negative_even_with_marks():
    assert labels_of(list_windows(scan(0), {"s": np.arange(10)}, **RULE)) == [0, 0]


def test_without_slice_marks_windows_take_the_label_of_the_scan():
    assert labels_of(list_windows(scan(1), None, **RULE)) == [1, 1]


def test_a_short_scan_has_one_window():
    windows = list_windows(scan(1, num_slices=5), None, **RULE)
    assert windows[["start", "stop"]].to_numpy().tolist() == [[0, 16]]


def slice_tables():
    slices = pd.DataFrame(
        {
            "study_id": "s",
            "slice_index": range(4),
            "z_mm": [0.0, 2.0, 4.0, 6.0],
            "sop_instance_uid": ["u0", "u1", "u2", "u3"],
        }
    )
    marks = pd.DataFrame(
        {
            "study_id": "s",
            "sop_instance_uid": ["u1", "u2", "gone"],
            "z_mm": [2.0, 4.0, 6.3],
            "num_readers": [2, 3, 4],
        }
    )
    return slices, marks


def test_slices_count_with_enough_readers_and_are_found_by_position_where_the_instance_is_gone():
    assert positive_slices(*slice_tables(), min_readers=3)["s"].tolist() == [2, 3]
    assert positive_slices(*slice_tables(), min_readers=2)["s"].tolist() == [1, 2, 3]


def test_a_marked_slice_that_is_nowhere_stops():
    slices, marks = slice_tables()
    marks.loc[2, "z_mm"] = 40.0
    with pytest.raises(InputError, match="s: gone"):
        positive_slices(slices, marks, min_readers=3)

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


RULE = {"window": 16, "stride": 8, "min_positive": 4}


def test_a_window_with_enough_positive_slices_is_positive():
    windows = list_windows(scan(1), {"s": np.arange(18, 24)}, **RULE)
    assert windows["start"].tolist() == [0, 8]
    assert windows["num_positive_slices"].tolist() == [0, 6]
    assert windows["label"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("label", "marks", "expected"),
    [
        (1, {"s": np.array([1, 2])}, [1, 0]),  # a short finding keeps its best windows
        (0, {"s": np.arange(10)}, [0, 0]),  # a negative scan has none, whatever is marked
        (1, None, [1, 1]),  # without marks, the label of the scan
    ],
)
def test_labels_of_windows(label, marks, expected):
    assert list_windows(scan(label), marks, **RULE)["label"].tolist() == expected


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

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chestct.errors import InputError
from chestct.subsets.windows import list_windows, positive_slices, window_starts
from chestct.window_forms import WindowRule, window_rule


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


RULE = WindowRule(window=16, stride=8, min_positive=4)
SUBSETS = {"window_slices": 16, "window_stride": 8, "min_positive_slices": 4, "scan_slices": 10}


def test_a_window_with_enough_positive_slices_is_positive():
    windows = list_windows(scan(1), {"s": np.arange(18, 24)}, RULE)
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
    assert list_windows(scan(label), marks, RULE)["label"].tolist() == expected


def test_a_short_scan_has_one_window():
    windows = list_windows(scan(1, num_slices=5), None, RULE)
    assert windows[["start", "stop"]].to_numpy().tolist() == [[0, 16]]


def test_windows_of_a_form_follow_from_the_configuration():
    assert window_rule(SUBSETS, "window") == RULE


def test_a_slice_has_its_own_label():
    marks = {"s": np.array([3, 4])}
    slices = list_windows(scan(1, num_slices=6), marks, window_rule(SUBSETS, "slice"))
    assert slices[["start", "stop"]].to_numpy().tolist() == [[z, z + 1] for z in range(6)]
    assert slices["label"].tolist() == slices["num_positive_slices"].tolist() == [0, 0, 0, 1, 1, 0]
    slices = list_windows(scan(0, num_slices=6), marks, window_rule(SUBSETS, "slice"))
    assert not slices["label"].any()


@pytest.mark.parametrize(("num_slices", "stop"), [(6, 10), (10, 10), (24, 24)])
@pytest.mark.parametrize("label", [0, 1])
def test_a_whole_scan_is_one_window_with_its_label(num_slices, stop, label):
    rows = list_windows(scan(label, num_slices), {"s": np.array([2])}, window_rule(SUBSETS, "scan"))
    assert rows[["start", "stop", "label"]].to_numpy().tolist() == [[0, stop, label]]


def test_every_scan_keeps_its_own_windows():
    scans = pd.concat([scan(1, 3), scan(0, 2).assign(study_id="t"), scan(1, 9).assign(status="excluded")])
    rows = list_windows(scans.reset_index(drop=True), {"s": np.array([1])}, window_rule(SUBSETS, "slice"))
    assert rows[["study_id", "start", "label"]].to_numpy().tolist() == [
        ["s", 0, 0],
        ["s", 1, 1],
        ["s", 2, 0],
        ["t", 0, 0],
        ["t", 1, 0],
    ]


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


# --- Images that conversion dropped


def images(**places):
    """Table of four slices a millimetre apart; ``copy=1`` adds an identical image that slice 1 stands for."""
    found = {"a": 0, "b": 1, "c": 2, "d": 3} | places
    rows = [("s", number, float(number), uid) for uid, number in found.items()]
    return pd.DataFrame(rows, columns=["study_id", "slice_index", "z_mm", "sop_instance_uid"])


def marks(*uids, z_mm=None, num_readers=1):
    """Labels as RSPECT's: instances without a position."""
    return pd.DataFrame(
        {"study_id": "s", "sop_instance_uid": uids, "z_mm": z_mm, "num_readers": num_readers},
        index=range(len(uids)),
    )


@pytest.mark.parametrize(
    ("places", "marked", "expected"),
    [
        ({"copy": 1}, ["b", "copy"], [1]),  # both are marked
        ({"copy": 1}, ["copy"], [1]),  # the copy alone is
        ({"copy": 1}, ["b"], [1]),  # the slice that stayed alone is
        ({"copy": 1}, ["c"], [2]),  # neither is
        ({"copy": 1, "again": 1}, ["again"], [1]),  # two copies of a slice, one of which is marked
        ({"copy": 1, "again": 1}, ["b", "copy", "again", "d"], [1, 3]),
        ({"copy": 1, "other": 3}, ["copy", "other"], [1, 3]),  # copies of two slices
    ],
)
def test_a_copy_that_was_dropped_means_the_slice_that_stayed(places, marked, expected):
    assert positive_slices(images(**places), marks(*marked), min_readers=1)["s"].tolist() == expected


def test_readers_of_a_slice_and_of_its_copy_are_counted_apart():
    table = marks("b", "copy", "c", z_mm=[1.0, 1.0, 2.0], num_readers=[1, 3, 2])
    assert positive_slices(images(copy=1), table, min_readers=3)["s"].tolist() == [1]


def test_positions_mean_slices_where_copies_have_rows_too():
    slices = images(copy=0, again=0)
    assert positive_slices(slices, marks("gone", z_mm=2.4), min_readers=1)["s"].tolist() == [2]
    assert positive_slices(slices.iloc[::-1], marks("gone", z_mm=2.4), min_readers=1)["s"].tolist() == [2]
    with pytest.raises(InputError, match="s: gone"):
        positive_slices(slices, marks("gone", z_mm=3.6), min_readers=1)


def test_a_mark_on_an_image_that_was_left_out_is_logged(caplog):
    # A localizer, a reformation, another series of the study: no window holds it.
    found = positive_slices(images(), marks("b", "reformation"), min_readers=1)
    assert found["s"].tolist() == [1]
    assert "1 mark(s) on images that conversion left out: ['s: reformation']" in caplog.text


def test_a_scan_without_any_of_its_marked_slices_is_of_another_release():
    other = images().assign(study_id="t", sop_instance_uid=["e", "f", "g", "h"])
    with pytest.raises(InputError, match=r"1 marked slice\(s\) are not in their scans: \['t: nowhere'\]"):
        positive_slices(
            pd.concat([images(), other]),
            pd.concat([marks("b"), marks("nowhere").assign(study_id="t")]),
            min_readers=1,
        )

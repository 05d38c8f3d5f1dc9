"""Which outlines mean one nodule, how many readers agree, and on which slices."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from synthetic_lidc import mark

from chestct.download.labels import lidc_nodule_clusters as lidc_nodules
from chestct.download.labels.lidc_nodule_clusters import (
    Annotation,
    Judgement,
    SeriesGeometry,
    cluster_annotations,
    find_nodules,
    outline_distances_mm,
    readers_by_height,
    readers_of,
)

SPACING = (0.7, 0.7)


def sizes(annotations: list[Annotation], tolerance: float = 1.0) -> list[int]:
    return sorted(len(c) for c in cluster_annotations(annotations, SPACING, tolerance))


def series(*heights: float) -> SeriesGeometry:
    """Slices at these heights, instances named after them."""
    return SeriesGeometry(pixel_spacing_mm=SPACING, z_mm={f"sop{z:g}": z for z in heights})


def judge(annotations: Sequence[Annotation], geometry: SeriesGeometry) -> Judgement:
    return lidc_nodules.judge(find_nodules(annotations, geometry), geometry)


def test_four_outlines_of_one_nodule_are_one_cluster() -> None:
    assert sizes([mark(r, row=50 + r) for r in range(4)]) == [4]


def test_distant_nodules_are_apart() -> None:
    assert sizes([mark(0), mark(1), mark(2, z=10.0), mark(3, row=90.0)]) == [1, 1, 2]


def test_distance_counts_in_mm_along_all_axes() -> None:
    # 4 px between the outlines: 2.8 mm at 0.7 mm, 1.2 mm at 0.3 mm.
    pair = (mark(0), mark(1, column=64.0))
    assert len(cluster_annotations(pair, (0.7, 0.7), 1.5)) == 2
    assert len(cluster_annotations(pair, (0.7, 0.3), 1.5)) == 1
    assert len(cluster_annotations(pair, (0.3, 0.7), 1.5)) == 2


def test_an_outline_just_at_the_tolerance_counts_as_near() -> None:
    # Three slices each, the nearest ones 2 mm apart, circles above one another.
    assert sizes([mark(0), mark(1, z=4.0)], tolerance=2.0) == [2]
    assert sizes([mark(0), mark(1, z=4.0)], tolerance=1.999) == [1, 1]


def test_tolerance_shrinks_until_no_cluster_exceeds_the_readers() -> None:
    # Two nodules 1.4 mm apart (2 px at 0.7 mm), each marked by four readers: one cluster of 8 at 2 mm.
    both = [mark(r) for r in range(4)] + [mark(r, column=62.0) for r in range(4)]
    assert sizes(both, tolerance=2.0) == [4, 4]


def test_shrinking_ends() -> None:
    assert sizes([mark(0) for _ in range(6)]) == [6]


def test_no_annotations_no_clusters() -> None:
    assert cluster_annotations((), SPACING, 1.0) == []
    assert judge((), series(0)).label == 0


def test_three_readers_of_three_nodules_are_no_consensus() -> None:
    marks = [mark(r, column=20.0 + 30 * r) for r in range(3)]
    clusters = cluster_annotations(marks, SPACING, 1.0)
    assert [readers_of(c) for c in clusters] == [1, 1, 1]
    assert readers_by_height(clusters) == {-1: 1, 0: 1, 1: 1}
    assert judge(marks, series(-1, 0, 1)).label == 0


def test_one_reader_who_marked_twice_counts_once() -> None:
    clusters = cluster_annotations((mark(0), mark(0, row=51), mark(1)), SPACING, 1.0)
    assert [readers_of(c) for c in clusters] == [2]
    assert judge((mark(0), mark(0, row=51), mark(1)), series(-1, 0, 1)).label == 0


def test_there_were_no_more_than_four_readers() -> None:
    clusters = cluster_annotations([mark(r) for r in range(6)], SPACING, 1.0)
    assert [readers_of(c) for c in clusters] == [4]
    assert set(readers_by_height(clusters).values()) == {4}


def test_slices_count_only_their_own_readers() -> None:
    result = judge((mark(0), mark(1), mark(2, z=1.0)), series(-2, -1, 0, 1, 2, 3))
    assert result.label == 1 and (result.num_heights, result.num_off) == (4, 0)
    assert result.slices == (("sop-1", -1, 2), ("sop0", 0, 3), ("sop1", 1, 3), ("sop2", 2, 1))


def test_both_of_two_slices_at_one_place_are_marked() -> None:
    geometry = SeriesGeometry(
        pixel_spacing_mm=SPACING, z_mm={"a": -1.0, "b": 0.0, "b again": 0.0001, "c": 1.0}
    )
    assert geometry.slice_spacing_mm == 1.0
    result = judge((mark(0), mark(1)), geometry)
    assert result.slices == (("a", -1, 2), ("b", 0, 2), ("b again", 0.0001, 2), ("c", 1, 2))


def test_marks_go_to_the_named_instance_or_the_nearest_slice() -> None:
    geometry = series(10, 12, 14)
    assert geometry.height_of(12.7) == 12 and geometry.height_of(13.3) == 14
    assert geometry.height_of(12.9) is None, "half way between two slices"
    assert geometry.height_of(500.0) is None
    assert geometry.height_of(500.0, "sop14") == 14, "the instance tells more than z"
    assert geometry.height_of(10.0, "another series' instance") == 10
    assert series(10).height_of(10.0) == 10 and series(10).height_of(11.0) is None


def test_heights_without_a_slice_are_counted() -> None:
    result = judge((mark(0), mark(1), mark(2)), series(0, 1, 2, 3))
    assert (result.label, result.num_heights, result.num_off) == (1, 3, 1)
    assert [sop for sop, _, _ in result.slices] == ["sop0", "sop1"]
    assert judge([mark(0)], series(100, 101)).num_off == 3


def test_irregular_steps_have_their_median_as_spacing() -> None:
    assert series(0, 1, 2, 40).slice_spacing_mm == 1.0
    assert series(7).slice_spacing_mm == 0.0


MARKS = st.builds(
    mark,
    reader=st.integers(0, 3),
    z=st.sampled_from([0.0, 2.0, 3.0, 9.0]),
    row=st.integers(20, 60),
    column=st.sampled_from([30.0, 44.0, 60.0]),
    radius=st.sampled_from([3.0, 6.0]),
)


def partition(clusters: list[list[Annotation]]) -> set[frozenset[int]]:
    return {frozenset(map(id, cluster)) for cluster in clusters}


@settings(max_examples=60, deadline=None)
@given(st.lists(MARKS, min_size=1, max_size=9), st.randoms(use_true_random=False))
def test_order_does_not_matter(marks: list[Annotation], random: object) -> None:
    shuffled = list(marks)
    random.shuffle(shuffled)
    clusters = cluster_annotations(marks, SPACING, 2.0)
    assert partition(clusters) == partition(cluster_annotations(shuffled, SPACING, 2.0))
    assert sorted(id(a) for c in clusters for a in c) == sorted(map(id, marks)), "each in one cluster"
    geometry = series(*range(-5, 15))
    assert judge(marks, geometry) == judge(shuffled, geometry)


@settings(max_examples=60, deadline=None)
@given(st.lists(MARKS, min_size=0, max_size=3), MARKS)
def test_another_reader_takes_no_consensus_away(marks: list[Annotation], more: Annotation) -> None:
    # Up to four annotations: more can shrink the tolerance, by the rule of pylidc.
    geometry = series(*range(-5, 15))
    before, after = judge(marks, geometry), judge([*marks, more], geometry)
    assert after.label >= before.label
    numbers = {sop: number for sop, _, number in after.slices}
    assert all(numbers[sop] >= number for sop, _, number in before.slices)


@settings(max_examples=60, deadline=None)
@given(st.lists(MARKS, min_size=0, max_size=6))
def test_slices_and_label_agree_with_the_clusters(marks: list[Annotation]) -> None:
    result = judge(marks, series(*range(-5, 15)))
    by_slice = [number for _, _, number in result.slices]
    assert max(by_slice, default=0) <= len({a.reader for a in marks})
    assert result.label == 1 or max(by_slice, default=0) < 3
    assert {z for _, z, _ in result.slices} == {z for a in marks for z in a.heights_mm}


@settings(max_examples=40, deadline=None)
@given(st.lists(MARKS, min_size=2, max_size=6), st.floats(0.5, 12))
def test_distances_equal_the_plain_computation_up_to_the_limit(marks: list[Annotation], limit: float) -> None:
    scale = np.array([1.0, *SPACING])
    plain = np.array([[cdist(a.points * scale, b.points * scale).min() for b in marks] for a in marks])
    ours = outline_distances_mm(marks, SPACING, limit)
    near = plain <= limit
    assert np.array_equal(np.isfinite(ours), near)
    assert ours[near] == pytest.approx(plain[near])


def test_the_diameter_is_that_of_the_largest_nodule_that_readers_agree_on() -> None:
    def box(reader: int, side: float, row: float, z: float = 0.0) -> Annotation:
        corners = [(z, row + a * side, 50 + b * side) for a in (0, 1) for b in (0, 1)]
        return Annotation(reader=reader, nodule_id=f"{reader}-{row}", points=np.array(corners))

    agreed = [box(reader, side, 50) for reader, side in enumerate((9, 10, 11))]
    disputed = [box(0, 40, 200), box(1, 40, 200)]
    geometry = series(0.0, 1.0)
    expected = 10 * np.sqrt(2) * SPACING[0]
    assert judge([*agreed, *disputed], geometry).diameter_mm == pytest.approx(expected)
    assert judge(disputed, geometry).diameter_mm is None
    # The widest slice counts, not the extent over slices.
    taller = [box(reader, 4, 90, z) for reader in range(3) for z in (0.0, 1.0)]
    assert judge(taller, geometry).diameter_mm == pytest.approx(4 * np.sqrt(2) * SPACING[0])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-40_000, 40_000), min_size=1, max_size=30, unique=True),
    st.integers(-45_000, 45_000),
)
def test_the_nearest_slice_is_that_of_a_search_of_all_slices(slices_um, mark_um) -> None:
    heights, z_mm = np.array(sorted(slices_um)) / 1000, mark_um / 1000
    geometry = SeriesGeometry(
        pixel_spacing_mm=SPACING, z_mm={f"sop{k}": float(z) for k, z in enumerate(heights)}
    )
    distances = np.abs(heights - z_mm)
    step = float(np.diff(heights).min()) if len(heights) > 1 else 0.0
    near = distances.min() <= max(0.4 * step, 0.001)
    assert geometry.height_of(z_mm) == (heights[distances.argmin()] if near else None)

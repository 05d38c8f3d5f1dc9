"""Generated clips: seeded, balanced, and told apart along time alone."""

import numpy as np
import pytest
from scipy import stats

from chestct.training.windows.generated_clips import NUM_CLASSES, make_clip, make_clips


@pytest.fixture(scope="module")
def clips() -> tuple[np.ndarray, np.ndarray]:
    return make_clips(70 * NUM_CLASSES, 16, 32, np.random.default_rng(0))


def test_shape_range_and_balance(clips: tuple[np.ndarray, np.ndarray]) -> None:
    x_NTHW, labels = clips
    assert x_NTHW.shape == (70 * NUM_CLASSES, 16, 32, 32)
    assert x_NTHW.dtype == np.float32
    assert labels.dtype == np.int64
    assert x_NTHW.min() >= 0
    assert x_NTHW.max() <= 1
    assert x_NTHW.std() > 0.1
    assert np.bincount(labels, minlength=NUM_CLASSES).tolist() == [70] * NUM_CLASSES
    # Random order: no class comes in a run.
    assert not (np.diff(labels[:60]) == 0).all()
    assert set(labels[:100]) == set(range(NUM_CLASSES))


def test_uneven_number_of_clips_stays_balanced() -> None:
    _, labels = make_clips(23, 8, 32, np.random.default_rng(0))
    counts = np.bincount(labels, minlength=NUM_CLASSES)
    assert counts.sum() == 23
    assert counts.max() - counts.min() == 1


def test_generator_alone_decides() -> None:
    first = make_clips(12, 8, 40, np.random.default_rng(7))
    np.random.seed(3)  # noqa: NPY002 (the global state must not matter)
    second = make_clips(12, 8, 40, np.random.default_rng(7))
    other = make_clips(12, 8, 40, np.random.default_rng(8))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize(("num_frames", "size_px"), [(8, 32), (32, 64), (13, 45)])
def test_any_window_size(num_frames: int, size_px: int) -> None:
    x_NTHW, _ = make_clips(NUM_CLASSES, num_frames, size_px, np.random.default_rng(0))
    assert x_NTHW.shape == (NUM_CLASSES, num_frames, size_px, size_px)
    assert (x_NTHW.std(axis=(2, 3)) > 0).all()


def frame_statistics(frame_HW: np.ndarray) -> list[float]:
    dy, dx = np.gradient(frame_HW)
    middle = frame_HW[8:-8, 8:-8]
    return [
        frame_HW.mean(),
        frame_HW.std(),
        np.abs(dx).mean(),
        np.abs(dy).mean(),
        middle.std() - frame_HW.std(),
        float((frame_HW > 0.75).mean()),
        float((frame_HW < 0.25).mean()),
    ]


def test_single_frames_do_not_tell_the_class(clips: tuple[np.ndarray, np.ndarray]) -> None:
    x_NTHW, labels = clips
    frames = np.random.default_rng(1).integers(16, size=len(labels))
    values = np.array([frame_statistics(clip[frame]) for clip, frame in zip(x_NTHW, frames, strict=True)])
    for column in values.T:
        groups = [column[labels == label] for label in range(NUM_CLASSES)]
        assert stats.kruskal(*groups).pvalue > 0.01
    # The same test does see what lies along time.
    change = np.abs(np.diff(x_NTHW, axis=1)).mean(axis=(1, 2, 3))
    groups = [change[labels == label] for label in range(NUM_CLASSES)]
    assert stats.kruskal(*groups).pvalue < 1e-20


def motion_scores(clip_THW: np.ndarray) -> np.ndarray:
    """How much of every step each motion explains: right, down, expand, turn clockwise; (T - 1, 4)."""
    change = np.diff(clip_THW, axis=0)
    middle = (clip_THW[1:] + clip_THW[:-1]) / 2
    dy, dx = np.gradient(middle, axis=(1, 2))
    size = clip_THW.shape[-1]
    y, x = np.mgrid[:size, :size] / (size - 1) - 0.5
    fields = [dx, dy, 3 * (x * dx + y * dy), 3 * (x * dy - y * dx)]
    # Brightness stays with what moves: its change in place is minus its gradient along the motion.
    scores = [-(change * f).sum(axis=(1, 2)) / np.sqrt((f**2).sum(axis=(1, 2))) for f in fields]
    return np.stack(scores, axis=1)


@pytest.mark.parametrize(
    ("kind", "axes", "sign"),
    [
        ("drift", {0, 1}, None),
        ("sway", {0, 1}, None),
        ("expand", {2}, 1),
        ("contract", {2}, -1),
        ("pulse", {2}, None),
        ("turn", {3}, None),
    ],
)
def test_motion_is_what_its_name_says(kind: str, axes: set[int], sign: int | None) -> None:
    rng = np.random.default_rng(0)
    found, steadiness = [], []
    for _ in range(20):
        scores = motion_scores(make_clip(kind, 32, 48, rng))
        axis = int(np.argmax(np.abs(scores).sum(axis=0)))
        found.append(axis in axes)
        net, way = scores[:, axis].sum(), np.abs(scores[:, axis]).sum()
        steadiness.append(abs(net) / way)
        if sign is not None and axis in axes:
            assert np.sign(net) == sign
    assert np.mean(found) >= 0.6  # a quarter by chance
    # What comes back has gone further than it got.
    assert np.mean(steadiness) < 0.5 if kind in ("sway", "pulse") else np.mean(steadiness) > 0.8


def test_hold_stands_still_and_replace_exchanges_at_times() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        hold, replace, shake = (
            np.abs(np.diff(make_clip(kind, 16, 32, rng), axis=0)).mean(axis=(1, 2))
            for kind in ("hold", "replace", "shake")
        )
        # Noise alone changes a clip that holds: alike from frame to frame.
        assert hold.max() < 1.2 * hold.min()
        # Between exchanges nothing else happens; what shakes never rests.
        assert replace.max() > 1.5 * replace.min()
        assert shake.min() > 2 * hold.max() or shake.min() > 0.03

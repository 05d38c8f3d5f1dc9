"""In-plane resampling keeps to its rule."""

import numpy as np
import pytest

from chestct.volumes.resample import resample_plane, resampled_grid


@pytest.mark.parametrize("factor", [2, 3, 4, 5, 7, 8, 16, 17, 32])
def test_whole_factors_are_exact_averages(factor):
    """Within half an HU of the exact average, whatever the values."""
    size = 6
    hu = np.random.default_rng(factor).integers(-1024, 32768, (size * factor, size * factor))
    exact = hu.reshape(size, factor, size, factor).mean((1, 3))
    result = resample_plane(hu.astype(np.int16), size)
    assert result.dtype == np.int16
    assert np.abs(result - exact).max() <= 0.5


def test_halves_of_whole_numbers_are_rounded_up_wherever_they_lie():
    """So that turning an image and adding an intercept commute with halving it, as ``fast_plane`` needs."""
    for size in (1, 3, 8, 15, 33, 64):
        hu = np.random.default_rng(size).integers(-1024, 32768, (2 * size, 2 * size))
        total = hu.reshape(size, 2, size, 2).sum((1, 3))
        np.testing.assert_array_equal(resample_plane(hu.astype(np.int16), size), (total + 2) // 4)


def test_native_size_changes_nothing():
    hu = np.random.default_rng(0).integers(-1024, 3000, (7, 9)).astype(np.int16)
    np.testing.assert_array_equal(resample_plane(hu, None), hu)
    square = hu[:, :7]
    np.testing.assert_array_equal(resample_plane(square, 7), square)


def test_other_factors_weigh_by_overlap():
    hu = np.array([[0, 300, 600]] * 3, dtype=np.int16)
    expected = [(0 + 0.5 * 300) / 1.5, (0.5 * 300 + 600) / 1.5]
    np.testing.assert_allclose(resample_plane(hu, 2), [expected, expected], atol=0.5)


def test_enlarging_is_bilinear():
    hu = np.array([[0, 400]] * 2, dtype=np.int16)
    np.testing.assert_array_equal(resample_plane(hu, 4), [[0, 100, 300, 400]] * 4)


def test_padding_to_a_square_is_air_on_both_sides():
    hu = np.full((4, 7), 50, dtype=np.int16)
    padded = resample_plane(hu, 7)
    assert padded.shape == (7, 7)
    assert (padded[0] == -1024).all() and (padded[5:] == -1024).all()
    assert (padded[1:5] == 50).all()


def test_grid_keeps_the_field_of_view():
    """Halving moves the first centre by half a pixel; padding moves it back by what was added."""
    assert resampled_grid((8, 8), (0.5, 0.7), None) == ((0.5, 0.7), (0.0, 0.0))
    assert resampled_grid((8, 8), (0.5, 0.7), 4) == ((1.0, 1.4), (0.25, 0.35))
    spacing, shift = resampled_grid((4, 8), (0.5, 0.5), 8)
    assert spacing == (0.5, 0.5)
    assert shift == (-1.0, 0.0)

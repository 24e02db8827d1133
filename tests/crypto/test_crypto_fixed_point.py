"""Updates as whole numbers, and what rounding does to their length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.crypto.fixed_point import FixedPoint
from troth.errors import LocalError, RoundFailedError

UPDATES = st.lists(st.floats(-4, 4, width=32, allow_subnormal=False), min_size=1, max_size=30).map(
    lambda values: np.array(values, dtype=np.float32)
)


def test_the_default_has_twenty_bits():
    assert FixedPoint(clip=1.0).bound == 2**19
    np.testing.assert_array_equal(
        FixedPoint(1.0, 2).encode(np.array([0.375, -0.125, 0.5, -0.5], dtype=np.float32)),
        [2, 0, 2, -2],  # halves to even
    )


@given(UPDATES, st.sampled_from([0.5, 1.0, 2.5]), st.integers(2, 22))
def test_values_keep_to_the_bound_and_decode_to_the_clipped_update(update_D, clip, fraction_bits):
    grid = FixedPoint(clip, fraction_bits)
    values_D = grid.encode(update_D)
    assert np.abs(values_D).max() <= grid.bound
    wide_D = update_D.astype(np.float64)
    clipped_D = wide_D * min(1.0, clip / max(float(np.linalg.norm(wide_D)), 1e-300))
    step = 2.0**-fraction_bits
    np.testing.assert_allclose(grid.decode(values_D), clipped_D, atol=step / 2 + 1e-6 * clip)


@given(UPDATES, st.integers(0, 8))
def test_no_decoded_update_is_longer_than_the_norm_bound(update_D, fraction_bits):
    grid = FixedPoint(1.0, fraction_bits)
    decoded_D = grid.decode(grid.encode(update_D))
    assert np.linalg.norm(decoded_D) <= grid.norm_bound(len(update_D)) * (1 + 1e-12)


def test_rounding_can_make_an_update_longer_than_the_clip():
    grid = FixedPoint(1.0, 1)
    update_D = np.full(9, 0.3, dtype=np.float32)
    length = np.linalg.norm(grid.decode(grid.encode(update_D)))
    assert 1.0 < length <= grid.norm_bound(9)


def test_an_update_that_is_not_finite_is_refused():
    with pytest.raises(RoundFailedError, match="finite"):
        FixedPoint(1.0).encode(np.array([1.0, np.nan], dtype=np.float32))


@pytest.mark.parametrize(
    ("clip", "fraction_bits"), [(0.0, 19), (1.0, 31), (1e-6, 0), (1.0, -5), (float("nan"), 19)]
)
def test_grids_that_cannot_be_are_refused(clip, fraction_bits):
    with pytest.raises(LocalError, match="clip"):
        FixedPoint(clip, fraction_bits)


def test_sums_stay_within_62_bits():
    grid = FixedPoint(1.0, 30)
    assert grid.sum_bound(2**31) == 2**61
    with pytest.raises(LocalError, match="2\\^62"):
        grid.sum_bound(2**32)
    with pytest.raises(LocalError, match="sums of 0"):
        grid.sum_bound(0)

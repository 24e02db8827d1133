"""Updates as whole numbers, and what rounding does to their length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.crypto.fixed_point import FixedPoint
from troth.errors import LocalError, PeerError, RoundFailedError
from troth.ids import NodeId

PEER = NodeId("party-1")
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


@given(st.lists(UPDATES.filter(lambda update: len(update) >= 3), min_size=1, max_size=5))
def test_the_sum_of_encoded_updates_decodes(updates):
    grid = FixedPoint(1.0)
    values = [grid.encode(update_D[:3]) for update_D in updates]
    decoded_D = grid.decode_sum(sum(values), len(values), sender=PEER)
    np.testing.assert_array_equal(decoded_D, sum(grid.decode(one) for one in values))


@pytest.mark.parametrize("value", [3 * 2**19 + 1, -3 * 2**19 - 1, 2**63 - 1, -(2**63)])
def test_a_sum_out_of_range_is_refused(value):
    grid = FixedPoint(1.0)
    within = np.array([3 * 2**19, -3 * 2**19], dtype=np.int64)
    grid.decode_sum(within, 3, sender=PEER)
    with pytest.raises(PeerError, match="range of 3 updates") as caught:
        grid.decode_sum(np.array([0, value], dtype=np.int64), 3, sender=PEER)
    assert caught.value.culprits == (PEER,)


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

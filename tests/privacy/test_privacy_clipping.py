"""Clipping keeps its bound exactly, and neighbours are never further apart than stated."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from troth.errors import LocalError, RoundFailedError
from troth.privacy.clipping import (
    Norm,
    clip_update,
    sum_sensitivity,
    update_sensitivity,
)
from troth.streams import Stream
from troth.wire import Float32s

UPDATES = arrays(
    np.float32, st.integers(1, 40), elements=st.floats(-(2.0**100), 2.0**100, width=32)
)
CLIPS = st.floats(1e-9, 1e9)
NORMS = st.sampled_from(["l1", "l2"])


def exact_norm_is_within(update_D: Float32s, clip: float, norm: Norm) -> bool:
    """In rational numbers: float32 values are fractions, and so is the bound."""
    values = [abs(Fraction(float(value))) for value in update_D]
    if norm == "l1":
        return sum(values) <= Fraction(clip)
    return sum(value * value for value in values) <= Fraction(clip) ** 2


@given(update_D=UPDATES, clip=CLIPS, norm=NORMS)
def test_the_bound_is_kept_exactly(update_D: Float32s, clip: float, norm: Norm) -> None:
    assert exact_norm_is_within(clip_update(update_D, clip, norm), clip, norm)


@given(update_D=UPDATES, clip=CLIPS, norm=NORMS)
def test_clipping_twice_changes_nothing_more(update_D: Float32s, clip: float, norm: Norm) -> None:
    once_D = clip_update(update_D, clip, norm)
    np.testing.assert_allclose(clip_update(once_D, clip, norm), once_D, rtol=1e-6, atol=1e-45)


@given(update_D=UPDATES, norm=NORMS)
def test_a_short_update_stays_as_it_is(update_D: Float32s, norm: Norm) -> None:
    wide_D = update_D.astype(np.float64)
    clip = min(1e12, max(1e-9, 1.01 * float(np.abs(wide_D).sum())))
    if np.abs(wide_D).sum() < clip:
        np.testing.assert_array_equal(clip_update(update_D, clip, norm), update_D)


@given(norm=NORMS, clip=CLIPS)
def test_a_long_update_keeps_its_direction_and_has_the_full_length(norm: Norm, clip: float) -> None:
    update_D = np.array([3e6, -4e6], np.float32) * np.float32(1e6)
    clipped_D = clip_update(update_D, clip, norm)
    share_D = np.array([3, -4]) / (7 if norm == "l1" else 5)
    np.testing.assert_allclose(clipped_D, clip * share_D, rtol=1e-6)


def test_rounding_alone_would_break_the_bound() -> None:
    """What the slack is for: plain scaling in float32 goes over the bound now and then."""
    generator = Stream(1, ("clipping",)).generator()
    over = 0
    for _ in range(50):
        update_D = generator.standard_normal(1000).astype(np.float32)
        plain_D = (update_D / np.linalg.norm(update_D.astype(np.float64))).astype(np.float32)
        over += not exact_norm_is_within(plain_D, 1.0, "l2")
        assert exact_norm_is_within(clip_update(update_D, 1.0), 1.0, "l2")
    assert over > 0


@settings(max_examples=50)
@example(seed=515, records=1, clip=4.0, norm="l2", adversarial=True)  # shorter than the clip
@example(seed=515, records=1, clip=0.5, norm="l2", adversarial=True)
@given(
    seed=st.integers(0, 2**32),
    records=st.integers(1, 12),
    clip=st.floats(0.01, 10),
    norm=NORMS,
    adversarial=st.booleans(),
)
def test_sums_of_clipped_records_are_no_further_apart_than_stated(
    seed: int, records: int, clip: float, norm: Norm, adversarial: bool
) -> None:
    generator = Stream(seed, ("records",)).generator()
    rows_ND = 10 * generator.standard_normal((records + 1, 6)).astype(np.float32)
    if adversarial:
        rows_ND[-1] = -rows_ND[0]
    clipped = [clip_update(row_D, clip, norm).astype(np.float64) for row_D in rows_ND]
    order = 1 if norm == "l1" else 2

    def apart(first: list[np.ndarray], second: list[np.ndarray]) -> float:
        # A mean over a public number of records differs by the same, over that number.
        zero_D = np.zeros(6)
        difference_D = sum(first, zero_D) / records - sum(second, zero_D) / records
        return float(np.linalg.norm(difference_D, order)) * records

    removed = apart(clipped[:records], clipped[1:records])
    exchanged = apart(clipped[:records], [*clipped[1:records], clipped[-1]])
    assert removed <= sum_sensitivity(clip, "add_remove") * (1 + 1e-12)
    assert exchanged <= sum_sensitivity(clip, "replace_one") * (1 + 1e-12)
    if adversarial and np.linalg.norm(rows_ND[0], order) >= clip:
        # The stated figure is reached, so a smaller one would be wrong; a record that is shorter
        # than the clip is not clipped, and does not reach it.
        assert exchanged > 0.999 * 2 * clip


@given(first_D=UPDATES, clip=CLIPS, norm=NORMS)
def test_updates_are_no_further_apart_than_stated(
    first_D: Float32s, clip: float, norm: Norm
) -> None:
    order = 1 if norm == "l1" else 2
    one_D = clip_update(first_D, clip, norm).astype(np.float64)
    other_D = clip_update(-first_D, clip, norm).astype(np.float64)
    for adjacency in ("add_remove", "replace_one"):
        bound = update_sensitivity(clip, "record", adjacency)
        assert np.linalg.norm(one_D - other_D, order) <= bound * (1 + 1e-12)
    absent_D = np.zeros_like(one_D)
    bound = update_sensitivity(clip, "party", "add_remove")
    assert np.linalg.norm(one_D - absent_D, order) <= bound * (1 + 1e-12)
    assert update_sensitivity(clip, "party", "replace_one") == 2 * clip


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(RoundFailedError, match="not finite"):
        clip_update(np.array([1.0, value], np.float32), 1.0)


@pytest.mark.parametrize("clip", [0.0, -1.0, 1e-13, 1e13, np.nan, np.inf])
def test_a_bound_must_be_a_size(clip: float) -> None:
    with pytest.raises(LocalError, match="outside 1e-12 to 1e"):
        clip_update(np.ones(2, np.float32), clip)

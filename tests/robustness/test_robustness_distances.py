"""Distances stay right where float32 loses digits, overflows and underflows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from troth.robustness.distances import squared_distances
from troth.robustness.updates import BLOCK_COLUMNS
from troth.wire import Float32s, Float64s


def direct(updates_PD: Float32s) -> Float64s:
    wide_PD = updates_PD.astype(np.float64)
    return np.array([((wide_PD - row_D) ** 2).sum(axis=1) for row_D in wide_PD])


def noise(count: int, dimension: int, seed: int = 0) -> Float32s:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)


def agree(updates_PD: Float32s, tolerance: float = 1e-3) -> None:
    expected_PP = direct(updates_PD)
    for updates in (updates_PD, list(updates_PD)):
        found_PP = squared_distances(updates)
        np.testing.assert_allclose(found_PP, expected_PP, rtol=tolerance, atol=0)
        assert (found_PP == found_PP.T).all()


@pytest.mark.parametrize(
    "dimension", [1, 2, BLOCK_COLUMNS - 1, BLOCK_COLUMNS, 2 * BLOCK_COLUMNS + 1]
)
def test_distances_of_noise(dimension: int) -> None:
    agree(noise(9, dimension), tolerance=1e-3 if dimension < 3 else 1e-5)


def test_a_large_common_component_costs_no_digits() -> None:
    common_D = 1000 * noise(1, 10_000, seed=1)
    updates_PD = (common_D + 0.01 * noise(12, 10_000)).astype(np.float32)
    # The formula itself, in float32, does lose them: otherwise this test would prove nothing.
    norms_P = (updates_PD**2).sum(axis=1)
    naive_PP = norms_P[:, np.newaxis] + norms_P - 2 * updates_PD @ updates_PD.T
    error_PP = np.abs(naive_PP - direct(updates_PD))[~np.eye(12, dtype=bool)]
    assert error_PP.min() >= 0
    assert error_PP.max() > direct(updates_PD).max()
    agree(updates_PD, tolerance=1e-5)


@pytest.mark.parametrize("far", [1e2, 1e4, 1e8, 1e15, 1e25, 1e37])
@pytest.mark.parametrize("position", [0, 3])
def test_attackers_far_away_cost_the_honest_no_digits(far: float, position: int) -> None:
    updates_PD = noise(10, 5000)
    updates_PD[position] *= np.float32(far)
    updates_PD[position + 1] = updates_PD[position]
    updates_PD[position + 2] = -updates_PD[position]
    agree(updates_PD)


def test_a_ladder_of_attackers_each_farther_than_the_last() -> None:
    updates_PD = noise(20, 300)
    for rung in range(12):
        updates_PD[rung] *= np.float32(10.0 ** (36 - 3 * rung))
    agree(updates_PD)


@pytest.mark.parametrize("scale", [1e-10, 1e-20, 1e-30, 1e-40, 1e10, 1e18, 1e19, 1e37])
def test_small_and_large_updates(scale: float) -> None:
    agree((noise(8, 600).astype(np.float64) * scale).astype(np.float32))


def test_equal_updates_are_at_no_distance() -> None:
    updates_PD = noise(9, 5000)
    updates_PD[[0, 2, 5]] = updates_PD[7]
    found_PP = squared_distances(updates_PD)
    assert (found_PP[np.ix_([0, 2, 5, 7], [0, 2, 5, 7])] == 0).all()
    agree(updates_PD)
    assert (squared_distances(np.ones((5, 4), np.float32)) == 0).all()


@settings(max_examples=100, deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 7), st.integers(1, 5)),
        elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_any_finite_updates(updates_PD: Float32s) -> None:
    agree(updates_PD)

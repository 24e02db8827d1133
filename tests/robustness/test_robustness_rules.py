"""Each rule beside a plain loop written from its formula, and its ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from troth.robustness import UpdatesError
from troth.robustness.average import mean
from troth.robustness.bulyan import bulyan
from troth.robustness.coordinates import median, trimmed_mean
from troth.robustness.geometric import geometric_median
from troth.robustness.krum import krum, multi_krum
from troth.robustness.preparation import bucketing, nnm
from troth.wire import Float32s, Float64s


def some_updates(seed: int, count: int, dimension: int) -> Float32s:
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, dimension)).astype(np.float32)


def column(*values: float) -> Float32s:
    return np.array(values, np.float32)[:, np.newaxis]


def plain_scores(updates: list[Float64s], f: int) -> list[float]:
    scores = []
    for i, update_D in enumerate(updates):
        others = [float(((update_D - x_D) ** 2).sum()) for j, x_D in enumerate(updates) if j != i]
        scores.append(sum(sorted(others)[: max(1, len(updates) - f - 2)]))
    return scores


def plain_bulyan(updates_PD: Float32s, f: int) -> Float64s:
    left = list(updates_PD.astype(np.float64))
    selected = []
    for _ in range(len(updates_PD) - 2 * f):
        scores = plain_scores(left, f)
        selected.append(left.pop(scores.index(min(scores))))
    selected_TD = np.array(selected)
    out = []
    for values in selected_TD.T:
        near = sorted(values, key=lambda value: (abs(value - np.median(values)), value))
        out.append(np.mean(near[: len(values) - 2 * f]))
    return np.array(out)


seeds = st.integers(0, 10**6)


@given(seeds, st.integers(5, 14), st.integers(1, 6), st.data())
def test_multi_krum_averages_the_best_scores(
    seed: int, count: int, dimension: int, data: st.DataObject
) -> None:
    f = data.draw(st.integers(0, (count - 3) // 2))
    m = data.draw(st.integers(1, count - f))
    updates_PD = some_updates(seed, count, dimension)
    scores = plain_scores(list(updates_PD.astype(np.float64)), f)
    best = sorted(range(count), key=lambda i: (scores[i], i))[:m]
    result = multi_krum(updates_PD, f, m)
    assert result.share_P is not None
    assert sorted(np.flatnonzero(result.share_P)) == sorted(best)
    np.testing.assert_allclose(result.update_D, updates_PD[best].mean(axis=0), atol=1e-5)


@given(seeds, st.integers(0, 3), st.integers(0, 4), st.integers(1, 6))
def test_bulyan(seed: int, f: int, more: int, dimension: int) -> None:
    updates_PD = some_updates(seed, 4 * f + 3 + more, dimension)
    found_D = bulyan(updates_PD, f).update_D
    np.testing.assert_allclose(found_D, plain_bulyan(updates_PD, f), atol=1e-5)


@given(seeds, st.integers(1, 12), st.integers(1, 6), st.data())
def test_median_and_trimmed_mean(
    seed: int, count: int, dimension: int, data: st.DataObject
) -> None:
    f = data.draw(st.integers(0, (count - 1) // 2))
    updates_PD = some_updates(seed, count, dimension)
    wide_PD = updates_PD.astype(np.float64)
    kept_KD = np.sort(wide_PD, axis=0)[f : count - f]
    np.testing.assert_allclose(median(updates_PD).update_D, np.median(wide_PD, axis=0), atol=1e-6)
    np.testing.assert_allclose(trimmed_mean(updates_PD, f).update_D, kept_KD.mean(0), atol=1e-6)


@given(seeds, st.integers(1, 12), st.integers(1, 6))
@example(seed=19, count=5, dimension=2)  # its coordinate-wise median is one of the updates
def test_no_point_has_a_smaller_sum_of_distances_than_the_geometric_median(
    seed: int, count: int, dimension: int
) -> None:
    updates_PD = some_updates(seed, count, dimension)
    z_D = geometric_median(updates_PD, iterations=1000).update_D.astype(np.float64)

    def objective(point_D: Float64s) -> float:
        return float(np.linalg.norm(updates_PD - point_D, axis=1).sum())

    generator = np.random.default_rng(seed)
    nearby = [z_D + 0.01 * generator.standard_normal(dimension) for _ in range(20)]
    for point_D in [*nearby, *updates_PD.astype(np.float64)]:
        assert objective(z_D) <= objective(point_D) * (1 + 1e-4)


def test_the_geometric_median_is_where_more_than_half_of_the_updates_lie() -> None:
    updates_PD = some_updates(0, 7, 4)
    updates_PD[[0, 2, 4, 6]] = updates_PD[1]
    result = geometric_median(updates_PD)
    np.testing.assert_array_equal(result.update_D, updates_PD[1])
    expected_P = np.array([1, 1, 1, 0, 1, 0, 1], np.float32) / 5
    np.testing.assert_allclose(result.share_P, expected_P)


def test_the_geometric_median_stops_after_its_iterations() -> None:
    updates_PD = some_updates(0, 7, 4)
    once_D = geometric_median(updates_PD, iterations=1).update_D
    many_D = geometric_median(updates_PD, iterations=1000).update_D
    assert np.abs(once_D - many_D).max() > 1e-4


def test_the_mean_weighs_by_examples() -> None:
    result = mean(column(1, 2, 6), np.array([1, 2, 1]))
    np.testing.assert_allclose(result.update_D, [2.75])
    assert result.share_P is not None
    np.testing.assert_allclose(result.share_P, [0.25, 0.5, 0.25])


@pytest.mark.parametrize(
    ("weights", "positions"),
    [([1.0, 0.0, 1.0], (1,)), ([-1.0, 1.0, np.nan], (0, 2)), ([1.0, 1.0, np.inf], (2,))],
)
def test_the_mean_refuses_weights_that_are_none(
    weights: list[float], positions: tuple[int, ...]
) -> None:
    with pytest.raises(UpdatesError, match="not above 0 and finite") as caught:
        mean(column(1, 2, 3), np.array(weights))
    assert caught.value.inputs == positions


def test_the_mean_takes_weights_whose_sum_overflows() -> None:
    result = mean(column(1, 3), np.array([1e308, 1e308]))
    np.testing.assert_allclose(result.update_D, [2])


@given(seeds, st.integers(1, 12), st.integers(1, 6), st.data())
def test_nnm_averages_the_nearest(
    seed: int, count: int, dimension: int, data: st.DataObject
) -> None:
    f = data.draw(st.integers(0, (count - 1) // 2))
    updates_PD = some_updates(seed, count, dimension)
    mixed = nnm(updates_PD, f)
    for i, update_D in enumerate(updates_PD.astype(np.float64)):
        lengths_P = np.linalg.norm(updates_PD - update_D, axis=1)
        nearest = np.argsort(lengths_P, kind="stable")[: count - f]
        np.testing.assert_allclose(mixed.updates_BD[i], updates_PD[nearest].mean(0), atol=1e-5)
        assert set(np.flatnonzero(mixed.share_BP[i])) == set(nearest)


@given(seeds, st.integers(1, 12), st.integers(1, 13))
def test_bucketing_puts_each_update_into_one_bucket(seed: int, count: int, s: int) -> None:
    updates_PD = some_updates(seed, count, 3)
    mixed = bucketing(updates_PD, s, np.random.default_rng(seed))
    members_BP = mixed.share_BP > 0
    sizes = members_BP.sum(axis=1).tolist()
    assert members_BP.sum(axis=0).tolist() == [1] * count
    assert sizes == [s] * (count // s) + ([count % s] if count % s else [])
    for bucket_P, found_D in zip(members_BP, mixed.updates_BD, strict=True):
        np.testing.assert_allclose(found_D, updates_PD[bucket_P].mean(axis=0), atol=1e-6)


def test_bucketing_draws_its_buckets() -> None:
    updates_PD = some_updates(0, 12, 2)
    generator = np.random.default_rng(0)
    first, second = (bucketing(updates_PD, 3, generator) for _ in range(2))
    assert not np.array_equal(first.share_BP, second.share_BP)


class TestTies:
    def test_krum_takes_the_lowest_position(self) -> None:
        for updates_PD, f, first in ((column(5, 5, 5, 9), 0, 0), (column(9, 5, 5, 5, 9), 1, 1)):
            share_P = krum(updates_PD, f).share_P
            assert share_P is not None
            assert np.flatnonzero(share_P).tolist() == [first]

    def test_multi_krum_fills_up_with_the_lowest_positions(self) -> None:
        result = multi_krum(column(1, 1, 1, 1, 1), 1, 3)
        assert result.share_P is not None
        assert np.flatnonzero(result.share_P).tolist() == [0, 1, 2]

    def test_nnm_keeps_the_update_itself_and_then_the_lowest_position(self) -> None:
        mixed = nnm(column(0, 1, 2), 1)
        np.testing.assert_array_equal(mixed.share_BP > 0, [[1, 1, 0], [1, 1, 0], [0, 1, 1]])
        alike = nnm(column(7, 7, 7), 1)
        np.testing.assert_array_equal(alike.share_BP > 0, [[1, 1, 0], [1, 1, 0], [1, 0, 1]])

    def test_bulyan_takes_the_smaller_of_two_values_as_near_to_the_median(self) -> None:
        # f = 1: the five near each other are selected, 5 goes, and of -1 and 1 one more must.
        result = bulyan(column(-1, -0.5, 0, 1, 5, 500, 600), 1)
        np.testing.assert_allclose(result.update_D, [-0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x_PD: krum(x_PD, 3), "krum with f = 3 needs at least 9 updates, and there are 7"),
        (lambda x_PD: multi_krum(x_PD, 3), "multi_krum with f = 3 needs at least 9 updates"),
        (lambda x_PD: multi_krum(x_PD, 2, 6), "cannot select 6 of 7 updates with f = 2"),
        (lambda x_PD: multi_krum(x_PD, 2, 0), "cannot select 0 of 7 updates"),
        (lambda x_PD: bulyan(x_PD, 2), "bulyan with f = 2 needs at least 11 updates"),
        (lambda x_PD: trimmed_mean(x_PD, 4), "trimmed_mean with f = 4 needs at least 9 updates"),
        (lambda x_PD: trimmed_mean(x_PD, -1), "cannot withstand f = -1"),
        (lambda x_PD: nnm(x_PD, 4), "nnm with f = 4 needs at least 9 updates"),
        (lambda x_PD: bucketing(x_PD, 0, np.random.default_rng(0)), "buckets of 0 updates"),
        (lambda x_PD: mean(x_PD, np.ones(6)), "weights have shape (6,), and there are 7 updates"),
        (lambda x_PD: median(x_PD[0]), "updates have shape (3,) instead of (P, D)"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_bound(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(UpdatesError) as caught:
        call(some_updates(0, 7, 3))
    assert message in caught.value.message

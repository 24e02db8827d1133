"""Noise has the distribution it claims; the discrete Gaussian has it exactly."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from troth.errors import LocalError
from troth.privacy.discrete import MAX_SIGMA, below, discrete_gaussians
from troth.privacy.noise import (
    RandomBits,
    SimulatedSecret,
    SystemSecret,
    UInt64s,
    laplaces,
    normals,
    secret_generator,
    uniforms,
)
from troth.streams import Stream

# All draws below are from fixed streams, so a test passes always or never; 1e-4 is how surprised
# one would have to be by a sample to doubt a sampler.
SURPRISE = 1e-4


def bits(name: str, seed: int = 0) -> RandomBits:
    return SimulatedSecret(Stream(seed, ("test-secret",))).child(name).bits()


def test_normal_and_laplace_values_follow_their_distributions() -> None:
    assert stats.kstest(normals(bits("normal"), 50_000), "norm").pvalue > SURPRISE
    assert stats.kstest(laplaces(bits("laplace"), 50_000), "laplace").pvalue > SURPRISE
    assert stats.kstest(uniforms(bits("uniform"), 50_000), "uniform").pvalue > SURPRISE


def test_normal_values_of_one_call_are_independent() -> None:
    # The two halves come from the same radius and angle.
    values_N = normals(bits("pairs"), 40_000)
    first, second = values_N[:20_000], values_N[20_000:]
    assert stats.pearsonr(first, second).pvalue > SURPRISE
    assert stats.pearsonr(first**2, second**2).pvalue > SURPRISE


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_as_many_values_as_asked_for(count: int) -> None:
    for draw in (normals, laplaces, uniforms):
        assert draw(bits("count"), count).shape == (count,)
    assert discrete_gaussians(bits("count"), 3, count).shape == (count,)


class Extremes(RandomBits):
    """Words of zeros and of ones, where logarithms would overflow."""

    def words(self, count: int) -> UInt64s:
        return np.resize(np.array([0, 2**64 - 1], np.uint64), count)


def test_the_most_extreme_words_give_finite_noise() -> None:
    for draw in (normals, laplaces):
        assert np.isfinite(draw(Extremes(), 8)).all()
    assert uniforms(Extremes(), 8).max() < 1.0
    assert abs(laplaces(Extremes(), 8)).max() == pytest.approx(53 * np.log(2))


def test_simulated_secrets_repeat_and_are_told_apart_by_name() -> None:
    secret = SimulatedSecret(Stream(5, ("secret",)))
    again = secret.child("p0", 1).bits().words(4)
    np.testing.assert_array_equal(secret.child("p0", 1).bits().words(4), again)
    assert (secret.child("p0", 2).bits().words(4) != again).all()
    assert (SimulatedSecret(Stream(6, ("secret",))).child("p0", 1).bits().words(4) != again).all()


def test_a_source_of_bits_goes_on() -> None:
    source = bits("goes on")
    first, second = source.words(4), source.words(4)
    assert not set(first.tolist()) & set(second.tolist())


def test_secrets_of_the_system_never_repeat_whatever_their_name() -> None:
    secret = SystemSecret()
    drawn = [secret.child("p0", 1).bits().words(4), secret.child("p0", 1).bits().words(4)]
    drawn += [secret_generator().words(4), secret_generator().words(4)]
    assert len({word for words in drawn for word in words.tolist()}) == 16


@pytest.mark.parametrize("sigma", [1, 2, 5, 30])
def test_the_discrete_gaussian_has_its_probabilities(sigma: int) -> None:
    count = 60_000
    found = Counter(discrete_gaussians(bits("discrete"), sigma, count).tolist())
    support = np.arange(-12 * sigma, 12 * sigma + 1)
    mass = np.exp(-(support**2) / (2 * sigma**2))
    mass /= mass.sum()
    expected = count * mass
    likely = expected >= 10
    observed = np.array([found[int(x)] for x in support[likely]])
    rest = count - observed.sum()
    rest_expected = count - expected[likely].sum()
    test = stats.chisquare([*observed, rest], [*expected[likely], rest_expected])
    assert test.pvalue > SURPRISE


@settings(max_examples=15, deadline=None)
@given(sigma=st.integers(1, MAX_SIGMA), seed=st.integers(0, 2**32))
def test_the_discrete_gaussian_is_symmetric_with_the_right_variance(sigma: int, seed: int) -> None:
    count = 20_000
    values_N = discrete_gaussians(bits("variance", seed), sigma, count) / sigma
    # Five standard errors of a mean, a variance and a share of signs.
    assert abs(values_N.mean()) < 5 / np.sqrt(count)
    assert abs(values_N.var() - 1) < 5 * np.sqrt(2 / count)
    positive, negative = (values_N > 0).sum(), (values_N < 0).sum()
    assert abs(int(positive) - int(negative)) < 5 * np.sqrt(count)


def test_a_wide_discrete_gaussian_is_nearly_a_normal_one() -> None:
    values_N = discrete_gaussians(bits("wide"), MAX_SIGMA, 50_000)
    assert stats.kstest(values_N / MAX_SIGMA, "norm").pvalue > SURPRISE
    # And it is on every place of its grid, not only on even ones, say.
    assert stats.binomtest(int((values_N % 2 == 0).sum()), 50_000).pvalue > SURPRISE


@pytest.mark.parametrize("sigma", [0, -1, MAX_SIGMA + 1])
def test_sigma_has_bounds(sigma: int) -> None:
    with pytest.raises(LocalError, match=f"sigma={sigma} is outside"):
        discrete_gaussians(bits("bounds"), sigma, 1)


@given(bounds=st.lists(st.integers(1, 2**62), min_size=1, max_size=20), seed=st.integers(0, 99))
def test_integers_are_below_their_bounds(bounds: list[int], seed: int) -> None:
    drawn_N = below(bits("below", seed), np.array(bounds))
    assert ((drawn_N >= 0) & (drawn_N < np.array(bounds))).all()


@pytest.mark.parametrize("bound", [2, 3, 5, 8, 11])
def test_integers_below_a_bound_are_equally_likely(bound: int) -> None:
    drawn_N = below(bits(f"equal {bound}"), np.full(30_000, bound))
    assert stats.chisquare(np.bincount(drawn_N, minlength=bound)).pvalue > SURPRISE

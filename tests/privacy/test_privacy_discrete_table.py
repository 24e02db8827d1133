"""Tabulated noise: near enough to the exact distribution, by whole numbers and by samples."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import stats

from troth.crypto.seeded_bits import SeededBits
from troth.errors import LocalError
from troth.privacy.discrete import MAX_SIGMA
from troth.privacy.discrete_table import GaussianTable, cumulative_gaussian, gaussian_table
from troth.privacy.noise import RandomBits, SimulatedSecret, UInt64s
from troth.streams import Stream
from troth.wire import Int64s

SURPRISE = 1e-4
"""How surprised one would have to be by a sample to doubt a sampler; all streams are fixed."""

DISTANCE = Decimal(2) ** -109

PINNED = {
    1: [0, 0, 1, 0, 0, -1, 0, 0],
    1000: [-1057, -968, 1707, -1452, 494, 0, 408, -46],
    2**19: [-557077, -512798, 876872, -766889, 267303, 33477, 213034, -31593],
    MAX_SIGMA: [-17828624, -16410392, 28038886, -24539887, 8563544, 1113647, 6821680, -1013166],
}


class Written(RandomBits):
    """Gives the words that a test wrote down."""

    def __init__(self, *words: int) -> None:
        self._words = list(words)

    def words(self, count: int) -> UInt64s:
        given, self._words = self._words[:count], self._words[count:]
        assert len(given) == count
        return np.array(given, dtype=np.uint64)


def exact(sigma: int, largest: int) -> dict[int, Decimal]:
    """The probabilities from -largest to largest, as exact as the decimal context."""
    with localcontext(prec=80):
        weights = {
            x: (-Decimal(x * x) / (2 * sigma * sigma)).exp() for x in range(-largest, largest + 1)
        }
        total = sum(weights.values())
        return {x: weight / total for x, weight in weights.items()}


def draw(sigma: int, count: int) -> Int64s:
    bits = SimulatedSecret(Stream(0, ("test-secret", "table"))).child(sigma).bits()
    return GaussianTable(sigma).draw(bits, count)


@pytest.mark.parametrize("sigma", [1, 2, 5, 40])
def test_the_table_has_the_exact_probabilities(sigma: int) -> None:
    cumulative = cumulative_gaussian(2 * sigma * sigma, 1)
    largest = len(cumulative) // 2
    assert cumulative[-1] == 2**128
    with localcontext(prec=80):
        reached = Decimal(0)
        for x, probability in exact(sigma, largest + 5 * sigma).items():
            reached += probability
            if -largest <= x <= largest:
                # Rounded down, and what lies beyond the table is below a unit too.
                assert abs(cumulative[x + largest] - reached * 2**128) < 2
            else:
                assert probability * 2**128 < 1


@pytest.mark.parametrize(("sigma", "factor"), [(1, 0), (5, 0), (6, 1), (15, 2), (60, 4), (90, 5)])
def test_a_sum_of_two_values_is_within_the_stated_distance(sigma: int, factor: int) -> None:
    """The distribution of y_1 + k y_2, from the table's own whole numbers."""
    assert GaussianTable(sigma).factor == factor
    cumulative = cumulative_gaussian(2 * sigma * sigma, 1 + factor * factor)
    largest = len(cumulative) // 2
    masses = np.diff(np.array([0, *cumulative], dtype=object))
    masses_of_sum = np.zeros(2 * largest * (1 + factor) + 1, dtype=object)
    if factor == 0:
        masses_of_sum = masses << 128
    else:
        for place, mass in enumerate(masses):
            masses_of_sum[factor * place : factor * place + len(masses)] += mass * masses
    middle = len(masses_of_sum) // 2
    assert sum(masses_of_sum) == 2**256
    with localcontext(prec=80):
        distance = sum(
            abs(Decimal(masses_of_sum[x + middle]) / 2**256 - probability)
            for x, probability in exact(sigma, middle).items()
        )
        assert distance / 2 < DISTANCE


@pytest.mark.parametrize("sigma", [1, 3, 6, 30])
def test_values_come_as_often_as_they_should(sigma: int) -> None:
    count = 60_000
    found = Counter(draw(sigma, count).tolist())
    expected = {x: count * float(p) for x, p in exact(sigma, 14 * sigma).items()}
    likely = [x for x, times in expected.items() if times >= 10]
    observed = [found[x] for x in likely]
    test = stats.chisquare(
        [*observed, count - sum(observed)],
        [*(expected[x] for x in likely), count - sum(expected[x] for x in likely)],
    )
    assert test.pvalue > SURPRISE


@pytest.mark.parametrize("sigma", [1000, 2**19, MAX_SIGMA])
def test_wide_noise_is_nearly_normal(sigma: int) -> None:
    count = 50_000
    values_N = draw(sigma, count)
    assert stats.kstest(values_N / sigma, "norm").pvalue > SURPRISE
    # Five standard errors of the first four moments.
    for power, moment, error in [(1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)]:
        found = ((values_N / sigma) ** power).mean()
        assert abs(found - moment) < 5 * error / count**0.5
    # It is on every place of the grid: modulo k, where one of the two values shows alone, too.
    for modulus in (2, 3, GaussianTable(sigma).factor):
        shares = np.bincount(values_N % modulus, minlength=modulus)
        assert stats.chisquare(shares).pvalue > SURPRISE


def test_values_are_independent() -> None:
    values_N = draw(2**19, 40_000).astype(np.float64)
    for one, other in [(values_N[:-1], values_N[1:]), (values_N[:20_000], values_N[20_000:])]:
        assert stats.pearsonr(one, other).pvalue > SURPRISE
        assert stats.pearsonr(one**2, other**2).pvalue > SURPRISE


def test_the_lower_word_decides_between_equal_upper_ones() -> None:
    cumulative = cumulative_gaussian(2 * 2**2, 1)
    largest = len(cumulative) // 2
    table = GaussianTable(2)
    for place in (3, 5, largest - 3, largest, largest + 7, len(cumulative) - 2):
        for number in (cumulative[place] - 1, cumulative[place]):
            (value,) = table.draw(Written(number >> 64, number % 2**64), 1)
            assert value == sum(reached <= number for reached in cumulative) - largest


def test_the_most_extreme_words_give_the_ends_of_the_table() -> None:
    table = GaussianTable(2)
    ends = len(cumulative_gaussian(2 * 2**2, 1)) // 2
    most = 2**64 - 1
    # Upper words first, then lower ones.
    low, high = table.draw(Written(0, most, 0, most), 2)
    # A probability below a unit is rounded to none on one side and to one on the other.
    assert 13 * 2 <= -low <= high == ends <= 14 * 2


def test_noise_written_down() -> None:
    """Nodes that draw other values from the same seed blame each other; this must never change."""
    drawn = {
        sigma: gaussian_table(sigma).draw(SeededBits(bytes(32)), 8).tolist() for sigma in PINNED
    }
    assert drawn == PINNED


def test_a_table_is_made_once() -> None:
    assert gaussian_table(77) is gaussian_table(77)
    assert gaussian_table(77) is not gaussian_table(78)


@pytest.mark.parametrize("sigma", [0, -1, MAX_SIGMA + 1])
def test_sigma_has_bounds(sigma: int) -> None:
    with pytest.raises(LocalError, match=f"sigma={sigma} is outside"):
        GaussianTable(sigma)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_as_many_values_as_asked_for(count: int) -> None:
    assert draw(1000, count).shape == (count,)

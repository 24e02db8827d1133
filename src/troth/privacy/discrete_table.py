"""The discrete Gaussian, drawn by inversion from a table: fifteen times as quick as rejection.

`troth.privacy.discrete` draws exactly N_Z(0, sigma^2): integers x with probability proportional to
exp(-x^2 / (2 sigma^2)). Here a value is the sum of two that a small table gives (Poeppelmann, Ducas
& Gueneysu, "Enhanced Lattice-Based Signatures on Reconfigurable Hardware", CHES 2014):

    x = y_1 + k y_2,    y_1, y_2 independent of N_Z(0, s^2),    s^2 = sigma^2 / (1 + k^2)

Why that is N_Z(0, sigma^2): the probability of x is proportional to

    sum_y exp(-((x - k y)^2 + y^2) / (2 s^2))
        = exp(-x^2 / (2 sigma^2)) sum_y exp(-(y - c)^2 / (2 w^2)),
    c = k x / (1 + k^2),    w = sigma / (1 + k^2)

and by Poisson's summation formula the last sum is w sqrt(2 pi) (1 + d) with
|d| < 2.01 exp(-2 pi^2 w^2), whatever c is. k is the largest with w >= 3, so |d| < 2^-255. The table
is the cumulative probability of s in units of 2^-128, rounded down; it has less than 2^18 entries,
and gives no value a probability that is wrong by more than a unit. All in all:

    The statistical distance of one value from N_Z(0, sigma^2) is below 2^-109, and that of D values
    below D 2^-109. Differential privacy that is proved for the exact noise keeps its epsilon, and
    its delta grows by at most (1 + e^epsilon) D 2^-109.

Tables are made and read in whole numbers, so every node draws the same values from the same bits.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import accumulate
from math import isqrt

import numpy as np
import numpy.typing as npt

from troth.errors import LocalError
from troth.privacy.discrete import MAX_SIGMA
from troth.privacy.noise import RandomBits
from troth.wire import Int64s

PROBABILITY_BITS = 128

_GUARD_BITS = 128
"""Rounding of up to 2^17 factors in a row costs the lowest 50 of them or so."""
_ONE = 1 << (PROBABILITY_BITS + _GUARD_BITS)
_NEGLIGIBLE = 1 << (_GUARD_BITS - 4)
_MIN_WIDTH = 3
_WORD_BITS = 64
_GUIDE_BITS = 14
"""All but the far tails have at most one entry for each value of so many upper bits."""


class GaussianTable:
    """N_Z(0, sigma^2) for one sigma; `gaussian_table` keeps those that were made.

    About 46 sqrt(sigma) entries of 16 bytes: 0.5 MB for sigma = 2^19.

    Args:
      sigma: a whole number, 1 to `MAX_SIGMA`.
    """

    def __init__(self, sigma: int) -> None:
        if not 1 <= sigma <= MAX_SIGMA:
            raise LocalError(f"sigma={sigma} is outside 1..{MAX_SIGMA}")
        self.factor = isqrt(max(0, sigma // _MIN_WIDTH - 1))
        """k; 0 where one value is enough."""
        cumulative = cumulative_gaussian(2 * sigma * sigma, 1 + self.factor**2)
        self._largest = len(cumulative) // 2
        # The last is 2^128, which no word reaches.
        data = b"".join(value.to_bytes(16, "little") for value in cumulative[:-1])
        halves = np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(-1, 2)
        self._low, self._high = halves[:, 0].copy(), halves[:, 1].copy()
        # Where to look for a word by its upper bits: ten times as quick as a search of the table.
        starts = np.arange(2**_GUIDE_BITS, dtype=np.uint64) << np.uint64(_WORD_BITS - _GUIDE_BITS)
        self._first = np.searchsorted(self._high, starts)
        self._count = np.diff(self._first, append=len(self._high))

    def draw(self, bits: RandomBits, count: int) -> Int64s:
        """Draws `count` independent values of the distribution, int64 of shape (count,)."""
        values_N = self._look_up(bits, count)
        if self.factor:
            values_N += self.factor * self._look_up(bits, count)
        return values_N

    def _look_up(self, bits: RandomBits, count: int) -> Int64s:
        """How many entries a uniform number of 128 bits reaches; all upper words come first."""
        high_N, low_N = bits.words(count), bits.words(count)
        reached_N = self._reached(high_N)
        last_N = self._high[np.maximum(reached_N - 1, 0)]
        # Lower words decide where upper ones are equal: hardly ever, but in the far tails.
        for at in np.flatnonzero(last_N == high_N):
            first = int(np.searchsorted(self._high, high_N[at], side="left"))
            tied = self._low[first : int(reached_N[at])]
            reached_N[at] = first + np.searchsorted(tied, low_N[at], side="right")
        return reached_N.astype(np.int64) - self._largest

    def _reached(self, high_N: npt.NDArray[np.uint64]) -> Int64s:
        """How many entries' upper words are not above each word: `searchsorted`, side "right"."""
        guide_N = (high_N >> np.uint64(_WORD_BITS - _GUIDE_BITS)).astype(np.int64)
        reached_N, count_N = self._first[guide_N], self._count[guide_N]
        next_N = self._high[np.minimum(reached_N, len(self._high) - 1)]
        reached_N += (count_N == 1) & (next_N <= high_N)
        many = np.flatnonzero(count_N > 1)
        reached_N[many] = np.searchsorted(self._high, high_N[many], side="right")
        return reached_N


@lru_cache(maxsize=8)
def gaussian_table(sigma: int) -> GaussianTable:
    """The table of this sigma; 22 ms for sigma = 2^19 the first time."""
    return GaussianTable(sigma)


def cumulative_gaussian(numerator: int, denominator: int) -> list[int]:
    """floor(2^128 P(Y <= y)) for y = -n .. n, where P(Y = y) ~ exp(-y^2 denominator / numerator).

    Args:
      numerator, denominator: of 2 s^2, at least 1. Values beyond n have probability below 2^-128.
    """
    # From y to y + 1, exp(-y^2 / (2 s^2)) takes the factor q^(2 y + 1), q = exp(-1 / (2 s^2)).
    inverse_q, term, place = 0, _ONE, 0
    while term:
        inverse_q += term
        place += 1
        term = term * denominator // (numerator * place)
    factor = _ONE * _ONE // inverse_q
    step = factor * factor // _ONE
    weights = [_ONE]
    while weights[-1] > _NEGLIGIBLE:
        weights.append(weights[-1] * factor // _ONE)
        factor = factor * step // _ONE
    both_sides = [*reversed(weights[1:]), *weights]
    total = sum(both_sides)
    return [(reached << PROBABILITY_BITS) // total for reached in accumulate(both_sides)]

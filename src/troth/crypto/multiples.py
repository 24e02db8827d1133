"""Sums of the same points by small factors, for very many rows: a table of the points' multiples.

A factor is written in three digits of an odd base m = 2 h + 1, each from -h to h, and the table
holds the multiples 1 .. h of P, m P and, as far as the third digit goes, m^2 P for each point P
(Brickell, Gordon, McCurley & Wilson, EUROCRYPT 1992). The sum of a row is that of what the table
has for its positive digits, less that for its negative ones: one addition for each digit that is
not zero, and no product. Two digits reach half of the bound, six standard deviations of a slot's
noise, so a third is hardly ever needed. Additions are nearly all of the time. Factors of 20 bits
over a thousand points take seven tenths of a multi-exponentiation's time; over a hundred, half.

The rule: m is about the root of the bound, so the table costs m additions for each point, and is
made once m rows have been summed without it. By then that was three times as much work, and as many
rows again win it back; few rows never pay for a table. A process keeps one table, the last, of up
to `MAX_MULTIPLES`. Where they do not do for two digits that reach an eighth of the bound, or where
rows are longer than `LONGEST_ROW`, sums are left to the library; so are those of other threads than
the main one, which it lets run at the same time.

Shapes: R rows, L points, H multiples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, repeat
from math import isqrt
from operator import add
from threading import current_thread, main_thread
from typing import Final

import numpy as np
import numpy.typing as npt

from troth.crypto.fixed_point import within
from troth.crypto.group import Group, Point, RowSums
from troth.wire import Int64s

MAX_MULTIPLES: Final = 1_500_000
"""Points of one table; 168 bytes each, 250 MB in all."""
LONGEST_ROW: Final = 2**11
"""Beyond it a multi-exponentiation is about as quick: it takes larger digits the longer a row is,
and the table has to take smaller ones."""

_CHUNK: Final = 2**18
"""Factors that are taken apart at once; their digits and where to find them take 50 bytes each."""

_FETCHED: Final = 2**10
"""Multiples that are looked up at once; 160 kB, which a core's cache holds until they are added."""

_Points = npt.NDArray[np.object_]


class MultiplesTable:
    """The multiples of some points.

    Args:
      bound: no factor is larger.
      half: h.
    """

    def __init__(self, group: Group, points_L: Sequence[Point], bound: int, half: int) -> None:
        self.bound = bound
        self._identity = group.identity
        self._half, self._base = half, 2 * half + 1
        self._places: list[_Points] = []
        # With one digit more to come, the rest after two of them is rounded to the nearest.
        third = (bound + self._base**2 // 2) // self._base**2
        for count in (half, half, third):
            multiples_LH = np.empty((len(points_L), count), dtype=object)
            for row, point in zip(multiples_LH, points_L, strict=True):
                row[:] = list(accumulate(repeat(point, count), add))
            self._places.append(multiples_LH)
            points_L = [group.times(point, self._base) for point in points_L]

    def sums(self, factors_RL: Int64s) -> tuple[Point, ...]:
        """sum_l factors[r,l] P_l for each row r.

        Args:
          factors_RL: from -bound to bound.
        """
        # One above would find the multiple of another point.
        assert within(factors_RL, self.bound), "a factor is above the bound"
        step = max(1, _CHUNK // factors_RL.shape[1])
        chunks = (factors_RL[at : at + step] for at in range(0, len(factors_RL), step))
        return tuple(point for chunk in chunks for point in self._sums(chunk))

    def _sums(self, factors_RL: Int64s) -> list[Point]:
        rows = len(factors_RL)
        # What positive digits add up to in each row, then what negative ones do.
        sums: list[Point] = [self._identity] * (2 * rows)
        rest_LR = np.ascontiguousarray(factors_RL.T)
        for multiples_LH in self._places:
            digits_LR = (rest_LR + self._half) % self._base - self._half
            rest_LR = (rest_LR - digits_LR) // self._base
            # Point after point, because the multiples of one lie close together: row after row
            # would wait longer for memory.
            points, of_row = np.nonzero(digits_LR)
            digits = digits_LR[points, of_row]
            where = points * multiples_LH.shape[1] + np.abs(digits) - 1
            into = of_row + rows * (digits < 0)
            found = multiples_LH.reshape(-1)
            for start in range(0, len(where), _FETCHED):
                some = slice(start, start + _FETCHED)
                for row, multiple in zip(
                    into[some].tolist(), found[where[some]].tolist(), strict=True
                ):
                    sums[row] += multiple
        return [plus - minus for plus, minus in zip(sums[:rows], sums[rows:], strict=True)]


class RepeatedSums:
    """Sums of rows over the same points, from a table once there have been many; see above.

    Args:
      plain: the same sums without a table.
    """

    def __init__(self, group: Group, points_L: Sequence[Point], plain: RowSums) -> None:
        self._group, self._points_L, self._plain = group, points_L, plain
        self._bound = self._rows = 0

    def __call__(self, factors_RL: Int64s, bound: int) -> tuple[Point, ...]:
        table = self._table(len(factors_RL), bound)
        return self._plain(factors_RL, bound) if table is None else table.sums(factors_RL)

    def _table(self, rows: int, bound: int) -> MultiplesTable | None:
        """The table for so many more rows, if it is there or time to make it."""
        global _kept
        if current_thread() is not main_thread():
            return None
        if _kept is not None and _kept[0] is self and bound <= _kept[1].bound:
            return _kept[1]
        if half_of_base(bound, len(self._points_L)) is None:
            return None
        # Commitments have several bounds, and one table is to do for all.
        self._bound = max(self._bound, bound)
        half = half_of_base(self._bound, len(self._points_L))
        assert half is not None
        self._rows += rows
        if self._rows < 2 * half + 1:
            return None
        self._rows = 0
        _kept = None  # Its memory is needed for the next.
        _kept = self, MultiplesTable(self._group, self._points_L, self._bound, half)
        return _kept[1]


_kept: tuple[RepeatedSums, MultiplesTable] | None = None
"""The process's table, and whose it is. Nobody but the main thread looks at it."""


def half_of_base(bound: int, points: int) -> int | None:
    """h for factors up to the bound; None where a table does not pay."""
    if points > LONGEST_ROW:
        return None
    # The third digit is at most 4.
    half = min((isqrt(bound) + 1) // 2, (MAX_MULTIPLES // points - 4) // 2)
    reach = (2 * half + 1) ** 2 // 2
    return half if half and 8 * reach >= bound else None

"""What commitments need of a group of prime order r, written additively.

`troth.crypto.g1` is the group in which they bind. `troth.crypto.modelled_group` takes its place in
simulations of very many rounds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import add
from typing import Protocol, Self

from troth.crypto.field import Elements, from_unsigned
from troth.errors import PeerError
from troth.ids import NodeId
from troth.wire import Int64s

POINT_BYTES = 96
"""Of a point, in every group, so that simulated messages are as long as real ones."""


class Point(Protocol):
    """An element of a group. Points of two groups do not add."""

    def __add__(self, other: Self, /) -> Self: ...

    def __sub__(self, other: Self, /) -> Self: ...


RowSums = Callable[[Int64s, int], tuple[Point, ...]]
"""What `Group.combiner` gives: of factors, shape (R, L), and their bound, a point for each row."""


class Group(ABC):
    """A group of prime order r.

    If two nodes do not agree on which bytes are points or on which points are equal, they do not
    agree on who is to blame.
    """

    name: str
    binding: bool
    """Whether a commitment binds whoever computes. A node that others rely on refuses a group where
    it does not."""
    identity: Point

    @abstractmethod
    def hash_to_group(self, message: bytes, dst: bytes) -> Point:
        """A point that nobody chose.

        Args:
          dst: domain separation tag, 16 to 255 bytes (RFC 9380, 3.1).
        """

    @abstractmethod
    def times(self, point: Point, factor: int) -> Point:
        """factor times the point; the factor is from 0 to r - 1."""

    def multiplier(self, point: Point) -> Callable[[int], Point]:
        """`times` of one point, for many factors."""
        return partial(self.times, point)

    @abstractmethod
    def equal(self, left: Point, right: Point) -> bool:
        """Whether the points are the same element of the group: what every check ends with."""

    @abstractmethod
    def encode(self, points: Sequence[Point]) -> bytes:
        """The points as bytes, `POINT_BYTES` for each, in order."""

    @abstractmethod
    def read(self, encoded: bytes) -> Point:
        """The point that is written so.

        Raises:
          ValueError: there is none, or it is written in another way.
        """

    @abstractmethod
    def _msm_rows(self, points_L: Sequence[Point], factors_KLW: Elements) -> tuple[Point, ...]:
        """`msm_rows` of as many factors as points."""

    def msm_rows(self, points_L: Sequence[Point], factors_KLW: Elements) -> tuple[Point, ...]:
        """sum_l factors[i,l] points[l] for each row i; the smaller all factors, the quicker.

        Raises:
          ValueError: the numbers differ. What a commitment drops it does not bind.
        """
        if factors_KLW.shape[1] != len(points_L):
            raise ValueError(f"{len(points_L)} points and {factors_KLW.shape[1]} factors")
        return self._msm_rows(points_L, factors_KLW)

    def msm(self, points_L: Sequence[Point], factors_LW: Elements) -> Point:
        """The sum of factors times points for one row: `msm_rows` of that row."""
        return self.msm_rows(points_L, factors_LW[None])[0]

    def combiner(self, points_L: Sequence[Point]) -> RowSums:
        """`msm_rows` of the same points, for many rows of integers from -bound to bound, which is
        below 2^62; the smaller the bound, the quicker."""
        all_points = sum_points(points_L)

        def combine(factors_RL: Int64s, bound: int) -> tuple[Point, ...]:
            # f + B is a short scalar, and r - |f|, which a negative f stands for, is not: seven
            # times the time. B (P_1 + .. + P_L) is taken off again.
            shifted = from_unsigned(factors_RL + bound, short=2 * bound < 2**32)
            shift = self.times(all_points, bound)
            return tuple(row - shift for row in self.msm_rows(points_L, shifted))

        return combine

    def parse(
        self, data: bytes, count: int, *, sender: NodeId, infinity: bool = False
    ) -> tuple[Point, ...]:
        """What `encode` wrote.

        Args:
          infinity: whether the identity may be among them. No honest commitment is that point but
            with probability 2^-255.

        Raises:
          PeerError: these are not `count` points, or one of them is the identity where that is not
            allowed; the culprit is `sender`.
        """
        if len(data) != count * POINT_BYTES:
            raise PeerError(
                f"sent {len(data)} bytes for {count} points of {POINT_BYTES} bytes",
                culprits=(sender,),
            )
        try:
            points = tuple(
                self.read(data[at : at + POINT_BYTES]) for at in range(0, len(data), POINT_BYTES)
            )
        except ValueError:
            raise PeerError(
                "sent bytes that encode no point of the group", culprits=(sender,)
            ) from None
        if not infinity and self.identity in points:
            raise PeerError("sent the point at infinity", culprits=(sender,))
        return points


def sum_points(points: Sequence[Point]) -> Point:
    """The sum of one point or more."""
    return reduce(add, points)

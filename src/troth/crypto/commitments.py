"""Pedersen commitments to a vector, one for each row of it (Pedersen, CRYPTO 1991).

A vector of D integers is laid out as K rows of L. Row i is committed as

    C_i = sum_l x[i,l] G_l + b_i H,    b_i uniform in F_r

and COMM(x) = (C_0, ..., C_{K-1}), whose SHA-256 names the update. The generators' relations are
unknown, so it is *binding* as long as discrete logarithms in the group are hard. It is *perfectly
hiding*: for every vector there are blinding factors that give the same points. It adds up: sums of
openings open sums of commitments. That is all there is to a masked update (update plus noise) and
to an aggregate (sum of updates), so one check serves both.

Differs from the paper: Biscotti commits to polynomials (Kate, Zaverucha & Goldberg, ASIACRYPT
2010), because that needs a trusted setup and a witness for each share, and does not hide. Rows need
L generators instead of D.

Shapes: D coordinates, K rows, L columns, U claims. Field elements end in 16 limbs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NewType

import numpy as np

from troth.crypto.blame import wrong_claims
from troth.crypto.field import (
    LIMBS,
    Elements,
    elements,
    from_unsigned,
    integers,
    matmul,
    random_elements,
    random_weights,
    total,
)
from troth.crypto.fixed_point import within
from troth.crypto.g1 import G1
from troth.crypto.generators import Generators
from troth.crypto.group import Group, Point, sum_points
from troth.errors import LocalError, PeerError
from troth.ids import NodeId
from troth.privacy.noise import RandomBits
from troth.wire import Int64s

UpdateId = NewType("UpdateId", bytes)
"""SHA-256 of an update's commitment, 32 bytes."""

_MAX_BATCH = 2**21
"""Coordinates that are weighted in one product."""


@dataclass(frozen=True)
class Layout:
    """How a vector of D coordinates becomes K rows; the last ones are filled up with zeros."""

    dimension: int
    rows: int

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= self.dimension:
            raise LocalError(
                f"rows={self.rows} is not 1 to dimension={self.dimension}",
                hint="share a larger model, or take fewer points for each aggregator",
            )

    @property
    def columns(self) -> int:
        """L = ceil(D / K), how many integers a row has."""
        return -(-self.dimension // self.rows)

    def to_rows(self, values_D: Int64s) -> Int64s:
        """The vector as K rows of L integers each, shape (K, L), filled up with zeros."""
        rows_KL = np.zeros((self.rows, self.columns), dtype=np.int64)
        rows_KL.reshape(-1)[: self.dimension] = values_D
        return rows_KL

    def to_vector(self, rows_KL: Int64s) -> Int64s | None:
        """The vector that `to_rows` laid out, shape (D,); None if a value that only fills up is not
        zero."""
        flat = rows_KL.reshape(-1)
        return None if flat[self.dimension :].any() else flat[: self.dimension]


@dataclass(frozen=True, eq=False)
class CommitmentKey:
    """What everybody needs to make and check commitments. It holds no secret.

    Raises:
      LocalError: there is not one generator for each column.
    """

    layout: Layout
    generators: Generators

    def __post_init__(self) -> None:
        count, columns = len(self.generators.coordinates_L), self.layout.columns
        if count != columns:
            raise LocalError(
                f"{count} generators for rows of {columns} coordinates",
                hint=f"derive {columns} generators",
            )

    @property
    def group(self) -> Group:
        """The group that all generators and commitments are points of."""
        return self.generators.group


@dataclass(frozen=True)
class Commitment:
    """Points of the group, verified to be that and nothing more."""

    encoded: bytes
    """96 bytes for each row: what travels and what is signed."""

    points: tuple[Point, ...] = field(compare=False, repr=False)

    @classmethod
    def of(cls, points: Sequence[Point], *, group: Group = G1) -> Commitment:
        return cls(group.encode(points), tuple(points))

    @classmethod
    def parse(cls, data: bytes, rows: int, *, sender: NodeId, group: Group = G1) -> Commitment:
        """What a peer sent as its commitment of so many rows.

        Raises:
          PeerError: as `Group.parse`; the culprit is `sender`.
        """
        return cls(data, group.parse(data, rows, sender=sender))

    @property
    def id(self) -> UpdateId:
        """The name of what is committed to."""
        return UpdateId(sha256(self.encoded).digest())


class Opening:
    """A vector and its blinding factors. It has no wire encoder and prints as `<redacted>`.

    Who reveals an opening sends its two parts; a masked one, or that of a sum, is meant to be.

    Args:
      values_D: integers.
      blindings_K: field elements, shape (K, 16).
    """

    __slots__ = ("blindings_K", "values_D")

    def __init__(self, values_D: Int64s, blindings_K: Elements) -> None:
        self.values_D = values_D
        self.blindings_K = blindings_K

    @classmethod
    def draw(cls, values_D: Int64s, rows: int, bits: RandomBits) -> Opening:
        """The vector with fresh blinding factors, one for each row.

        The same factors for two vectors would betray their difference to whoever guesses it.
        """
        return cls(values_D, random_elements(bits, rows))

    def __repr__(self) -> str:
        return "<redacted>"

    def __add__(self, other: Opening) -> Opening:
        """Opens the sum of what both open."""
        return Opening(self.values_D + other.values_D, total([self.blindings_K, other.blindings_K]))


@dataclass(frozen=True, eq=False)
class OpeningClaim:
    """What `author` says: that these values and blinding factors open these points."""

    author: NodeId
    values_D: Int64s = field(repr=False)
    blindings_K: Elements = field(repr=False)
    points_K: Sequence[Point] = field(repr=False)


def commit(key: CommitmentKey, opening: Opening, *, bound: int) -> Commitment:
    """COMM(x): the points C_0 .. C_{K-1}.

    Args:
      opening: of values from -bound to bound; one blinding factor for each row.
      bound: below 2^62; the smaller, the quicker.

    Raises:
      ValueError: the opening is none for this key and bound.
    """
    return commit_many(key, [opening], bound=bound)[0]


def commit_many(key: CommitmentKey, openings: Sequence[Opening], *, bound: int) -> list[Commitment]:
    """`commit` of each opening; all rows go to the group together.

    Raises:
      ValueError: as `commit`.
    """
    for opening in openings:
        _check_opening(key, opening.values_D, opening.blindings_K, bound)
    if not openings:
        return []
    generators, count = key.generators, key.layout.rows
    rows_RL = np.concatenate([key.layout.to_rows(opening.values_D) for opening in openings])
    blindings_RW = np.concatenate([opening.blindings_K for opening in openings])
    points = [
        row + generators.blind(blinding)
        for row, blinding in zip(
            generators.combine(rows_RL, bound), integers(blindings_RW), strict=True
        )
    ]
    return [
        Commitment.of(points[at : at + count], group=key.group)
        for at in range(0, len(points), count)
    ]


def commit_elements(key: CommitmentKey, rows_RM: Elements) -> tuple[Point, ...]:
    """Commitments to rows of field elements of any size, each with its blinding factor last.

    Args:
      rows_RM: shape (R, L + 1, 16).
    """
    bases = (*key.generators.coordinates_L, key.generators.blinding)
    return key.group.msm_rows(bases, rows_RM)


def add_commitments(commitments: Sequence[Sequence[Point]]) -> tuple[Point, ...]:
    """Row by row, the sums of equally long tuples of points, at least one."""
    return tuple(sum_points(points) for points in zip(*commitments, strict=True))


def check_openings(
    key: CommitmentKey, claims: Sequence[OpeningClaim], *, bound: int, bits: RandomBits
) -> None:
    """Check that every claim holds, all with two multi-exponentiations.

    Masked update: its points are the update's plus each noise vector's. Aggregate: its points are
    the sum of the updates', and `bound` is that of a sum.

    A wrong claim passes with probability at most 2^-128, if its author could not know `bits`.

    Raises:
      PeerError: the authors of all claims that do not hold.
    """
    for claim in claims:
        if len(claim.points_K) != key.layout.rows:
            raise ValueError(f"{len(claim.points_K)} points for {key.layout.rows} rows")
        try:
            _check_opening(key, claim.values_D, claim.blindings_K, bound)
        except ValueError as error:
            raise PeerError(f"sent a wrong opening: {error}", culprits=(claim.author,)) from None
    wrong = wrong_claims(claims, lambda some: _openings_hold(key, some, bound, bits))
    if wrong:
        raise PeerError(
            "sent values that do not open their commitment",
            culprits=[claim.author for claim in wrong],
        )


def _openings_hold(
    key: CommitmentKey, claims: Sequence[OpeningClaim], bound: int, bits: RandomBits
) -> bool:
    """sum_i g_i (sum_l x[i,l] G_l + b_i H - C_i) = 0 over all rows i of all claims."""
    rows = key.layout.rows
    weights = random_weights(bits, rows * len(claims))
    size = max(1, _MAX_BATCH // key.layout.dimension)
    weighted = [
        matmul(
            [weights[rows * start : rows * (start + size)]],
            np.concatenate(
                [_shifted(key, claim.values_D, bound) for claim in claims[start : start + size]]
            ),
        )[0]
        for start in range(0, len(claims), size)
    ]
    blindings = np.concatenate([claim.blindings_K for claim in claims])[:, None]
    blinding = matmul([weights], blindings)[0]
    bases = (*key.generators.coordinates_L, key.generators.blinding)
    opened = key.group.msm(bases, np.concatenate([total(weighted), blinding]))
    points = [point for claim in claims for point in claim.points_K]
    shift = bound * sum(weights)
    factors = elements([*weights, shift])
    return key.group.equal(opened, key.group.msm([*points, key.generators.sum], factors))


def _shifted(key: CommitmentKey, values_D: Int64s, bound: int) -> Elements:
    """x + B in rows, shape (K, L, 2) or (K, L, 4): never negative."""
    return from_unsigned(key.layout.to_rows(values_D) + bound, short=2 * bound < 2**32)


def _check_opening(key: CommitmentKey, values_D: Int64s, blindings_K: Elements, bound: int) -> None:
    if values_D.shape != (key.layout.dimension,):
        raise ValueError(f"{values_D.size} values for {key.layout.dimension} coordinates")
    if blindings_K.shape != (key.layout.rows, LIMBS):
        raise ValueError(f"{len(blindings_K)} blinding factors for {key.layout.rows} rows")
    if not within(values_D, bound):
        raise ValueError(f"a value is not within {bound}")

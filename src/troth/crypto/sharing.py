"""Packed verifiable secret sharing of committed vectors, of which only a sum is ever opened.

A contributor puts its K committed rows, each with its blinding factor as last column, on top of
random rows. Aggregator j receives the R rows' polynomial at s points of its own:

    M in F_r^{R x (L+1)}: rows 0 .. K-1 the data, rows K .. R-1 uniform
    share of point a != 0:  F_a = sum_i a^i M[i,:]
    K = s (tau - t),    R = s tau

- *Privacy.* t aggregators hold s t points, as many as there are random rows, and see them through
  an invertible matrix: whatever the data are, these shares are uniform. With the commitments too:
  for every vector there are blinding factors and random rows that give the same commitments and the
  same shares. So t aggregators learn nothing, however much they compute.
- *Sum.* Shares add up. Any tau aggregators' sums of shares over one set of contributors give the
  sum of the vectors. The random rows' sum is not even computed.
- *Check.* Com(F_a) = sum_i a^i C_i, if the contributor commits to the random rows too. That can
  wait until somebody asks for it (`Dealing.random_commitments`): the recovered sum is checked
  against the data rows' commitments in any case (`check_openings`); only blame needs the others.
- *One sum only.* Two sums over sets that differ in one contributor would give it away. And so does
  one sum with aggregators' shares of another: who knows the sum's polynomial knows everybody's
  share of it. So before any share of a sum is released, aggregators agree on one set: each signs
  one, and tau > (m + t)/2 signatures are needed, of which two groups have an honest one in common.

Packed sharing: Franklin & Yung, STOC 1992; checked by commitments: Pedersen, CRYPTO 1991.

Differs from the paper: Biscotti's polynomials have nothing but data for coefficients, so its shares
betray something to everybody who holds one.

Shapes: m aggregators, S points of each, K data rows, R rows, L columns, M = L + 1; field elements
end in 16 limbs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from troth.crypto.blame import wrong_claims
from troth.crypto.commitments import CommitmentKey, Layout, Opening, commit_elements
from troth.crypto.field import (
    LIMBS,
    ORDER,
    Elements,
    elements,
    encode_elements,
    from_signed,
    matmul,
    parse_elements,
    random_elements,
    random_weights,
    to_signed,
    total,
)
from troth.crypto.group import Point
from troth.errors import LocalError, PeerError
from troth.ids import NodeId
from troth.privacy.noise import RandomBits

MAX_AGGREGATORS = 2**12
MAX_ROWS = 2**12


@dataclass(frozen=True)
class SharingScheme:
    """Who has to come together for what.

    Args:
      aggregators: m.
      tolerated: t, how many aggregators together learn nothing; at least 1.
      quorum: tau, how many have to answer; m - tau may stay away.
      points: s, points of each aggregator. More points, fewer columns and generators; the
        quickest has about as many columns as an aggregator has commitments to check.
      crash: aggregators may fail but do not lie to each other about the set that is summed.
        The quorum rule tau > (m + t)/2 is then not asked for, and one who splits them gets two
        sums.

    Raises:
      LocalError: these numbers do not go together.
    """

    aggregators: int
    tolerated: int
    quorum: int
    points: int = 1
    crash: bool = False

    def __post_init__(self) -> None:
        m, t, tau = self.aggregators, self.tolerated, self.quorum
        shown = f"aggregators={m}, tolerated={t}, quorum={tau}"
        if not 1 <= t < tau <= m <= MAX_AGGREGATORS:
            raise LocalError(
                f"{shown} do not keep to 1 <= tolerated < quorum <= aggregators <= "
                f"{MAX_AGGREGATORS}",
                hint="take about half of the aggregators for tolerated and 3/4 for quorum",
            )
        if not self.crash and 2 * tau <= m + t:
            raise LocalError(
                f"{shown}: the quorum is not above (aggregators + tolerated) / 2, so two "
                "different sums of one round could be opened",
                hint=f"take a quorum of at least {(m + t) // 2 + 1}",
            )
        if self.points < 1 or self.rows > MAX_ROWS:
            raise LocalError(
                f"points={self.points} with quorum={tau} is not 1 to {MAX_ROWS} rows",
                hint="take fewer points",
            )

    @property
    def data_rows(self) -> int:
        """K, how many rows of the matrix hold the update."""
        return self.points * (self.quorum - self.tolerated)

    @property
    def random_rows(self) -> int:
        """R - K, how many rows of the matrix are random and hide the update."""
        return self.points * self.tolerated

    @property
    def rows(self) -> int:
        """R, how many rows the matrix has, and how many points suffice to open a sum."""
        return self.points * self.quorum

    def layout(self, dimension: int) -> Layout:
        """How a vector of D coordinates is committed so that this scheme can share it.

        Raises:
          LocalError: it has fewer coordinates than there are data rows.
        """
        return Layout(dimension, self.data_rows)

    def points_of(self, aggregator: int) -> range:
        """Where aggregator 0 .. m-1 holds the polynomial. Never at 0: that is a row of the data."""
        if not 0 <= aggregator < self.aggregators:
            raise ValueError(f"there is no aggregator {aggregator} of {self.aggregators}")
        return range(aggregator * self.points + 1, (aggregator + 1) * self.points + 1)

    def share_bytes(self, layout: Layout) -> int:
        """Size of what one aggregator receives from one contributor."""
        return 32 * self.points * (layout.columns + 1)


class Dealing:
    """A contributor's matrix M. It has no wire encoder and prints as `<redacted>`.

    Args:
      matrix_RM: shape (R, L + 1, 16).
    """

    __slots__ = ("_matrix_RM", "_scheme")

    def __init__(self, scheme: SharingScheme, matrix_RM: Elements) -> None:
        self._scheme = scheme
        self._matrix_RM = matrix_RM

    def __repr__(self) -> str:
        return "<redacted>"

    def shares(self) -> list[bytes]:
        """What each aggregator is sent, confidentially, in order."""
        scheme = self._scheme
        points = [at for j in range(scheme.aggregators) for at in scheme.points_of(j)]
        shares = matmul(_powers(points, scheme.rows), self._matrix_RM)
        return [
            encode_elements(shares[at : at + scheme.points])
            for at in range(0, len(shares), scheme.points)
        ]

    def random_commitments(self, key: CommitmentKey) -> tuple[Point, ...]:
        """C_K .. C_{R-1}. They may be public; the slowest part of dealing."""
        return commit_elements(key, self._matrix_RM[self._scheme.data_rows :])


@dataclass(frozen=True, eq=False)
class ShareClaim:
    """What `author` says: that `share` is at `points` on the polynomial of these commitments.

    A contributor claims that of the share it deals, an aggregator of the sum that it publishes, for
    which the commitments are sums too.
    """

    author: NodeId
    points: Sequence[int]
    share_SM: Elements = field(repr=False)
    commitments_R: Sequence[Point] = field(repr=False)


def deal(scheme: SharingScheme, layout: Layout, opening: Opening, bits: RandomBits) -> Dealing:
    """Share the opening of a commitment.

    Args:
      bits: never the same for two dealings, or their difference is no longer hidden.

    Raises:
      ValueError: the opening does not have this layout, or the layout is not the scheme's.
    """
    if layout.rows != scheme.data_rows:
        raise ValueError(f"{layout.rows} rows where the scheme has {scheme.data_rows}")
    columns = layout.columns + 1
    matrix_RM = np.empty((scheme.rows, columns, LIMBS), dtype="<u2")
    matrix_RM[: layout.rows, :-1] = from_signed(layout.to_rows(opening.values_D))
    matrix_RM[: layout.rows, -1] = opening.blindings_K
    random = random_elements(bits, scheme.random_rows * columns)
    matrix_RM[layout.rows :] = random.reshape(scheme.random_rows, columns, LIMBS)
    return Dealing(scheme, matrix_RM)


def parse_share(data: bytes, scheme: SharingScheme, layout: Layout, *, sender: NodeId) -> Elements:
    """A share, or a sum of shares, as a peer sent it; shape (S, L + 1, 16).

    Raises:
      PeerError: it is not so many field elements; the culprit is `sender`.
    """
    columns = layout.columns + 1
    parsed = parse_elements(data, scheme.points * columns, sender=sender)
    return parsed.reshape(scheme.points, columns, LIMBS)


def check_shares(key: CommitmentKey, claims: Sequence[ShareClaim], bits: RandomBits) -> None:
    """Check that every claim holds, all with two multi-exponentiations.

    A wrong claim passes with probability at most 2^-128, if its author could not know `bits`.

    Raises:
      PeerError: the authors of all claims that do not hold.
    """
    wrong = wrong_claims(claims, lambda some: _shares_hold(key, some, bits))
    if wrong:
        raise PeerError(
            "sent a share that does not match its commitments",
            culprits=[claim.author for claim in wrong],
        )


def sum_shares(shares: Sequence[Elements]) -> Elements:
    """One aggregator's share of the sum; shape (S, L + 1, 16)."""
    return total(shares)


def recover(
    scheme: SharingScheme, layout: Layout, sums: Mapping[int, Elements], *, bound: int
) -> Opening:
    """The opening of the summed commitments, from tau aggregators' sums.

    Any tau give the same if all are right. `check_openings` tells whether they were, and
    `check_shares` who was not.

    Args:
      sums: by aggregator, 0 .. m-1; of more than tau the first are taken.
      bound: the largest absolute value that a sum can have; below 2^62.

    Raises:
      PeerError: what comes out is no sum within the bound; whose fault it is, `check_shares` finds
        out, so nobody is named.
      ValueError: there are fewer than tau sums.
    """
    if len(sums) < scheme.quorum:
        raise ValueError(f"{len(sums)} sums where {scheme.quorum} are needed")
    chosen = sorted(sums)[: scheme.quorum]
    points = [at for aggregator in chosen for at in scheme.points_of(aggregator)]
    stacked_RM = np.concatenate([sums[aggregator] for aggregator in chosen])
    rows_KM = matmul(_interpolation(points, scheme.data_rows), stacked_RM)
    values = to_signed(rows_KM[:, :-1].reshape(-1, LIMBS), bound)
    values_D = None if values is None else layout.to_vector(values)
    if values_D is None:
        raise PeerError("the sums of shares give no sum of updates", culprits=())
    return Opening(values_D, rows_KM[:, -1])


def _shares_hold(key: CommitmentKey, claims: Sequence[ShareClaim], bits: RandomBits) -> bool:
    """sum_{u,a} g_{u,a} (Com(F_u[a]) - sum_i a^i C_{u,i}) = 0."""
    weights = random_weights(bits, sum(len(claim.points) for claim in claims))
    combined = matmul([weights], np.concatenate([claim.share_SM for claim in claims]))[0]
    bases = (*key.generators.coordinates_L, key.generators.blinding)
    factors: list[int] = []
    points: list[Point] = []
    start = 0
    for claim in claims:
        rows = len(claim.commitments_R)
        weighted = [0] * rows
        for at, weight in enumerate(weights[start : start + len(claim.points)]):
            power = weight
            for row in range(rows):
                weighted[row] += power
                power *= claim.points[at]
        start += len(claim.points)
        factors += weighted
        points += claim.commitments_R
    group = key.group
    return group.equal(group.msm(bases, combined), group.msm(points, elements(factors)))


def _powers(points: Sequence[int], count: int) -> list[list[int]]:
    """a^0 .. a^(count-1) modulo r, for each a."""
    return [[pow(point, power, ORDER) for power in range(count)] for point in points]


def _interpolation(points: Sequence[int], count: int) -> list[list[int]]:
    """The first `count` rows of the inverse of the points' square Vandermonde matrix.

    Column j holds the lowest coefficients of Lagrange's polynomial that is 1 at point j and 0 at
    the others: product over (X - a) divided by (X - a_j), over its value at a_j.
    """
    product = [1]
    for point in points:
        product = [
            (above - point * here) % ORDER
            for above, here in zip([0, *product], [*product, 0], strict=True)
        ]
    columns = []
    for point in points:
        quotient = [0] * len(points)
        carry = 0
        for power in range(len(points), 0, -1):
            carry = (product[power] + point * carry) % ORDER
            quotient[power - 1] = carry
        value = sum(term * pow(point, power, ORDER) for power, term in enumerate(quotient))
        inverse = pow(value, -1, ORDER)
        columns.append([term * inverse % ORDER for term in quotient[:count]])
    return [list(row) for row in zip(*columns, strict=True)]

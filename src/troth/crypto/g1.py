"""The group G1 of BLS12-381, of prime order r, over arkworks.

A point is an element of G1 plus one of small order that nothing depends on:

    E(F_q) = G1 + T,    h_eff t = 0 for every t in T,    gcd(h_eff, r) = 1

where E is the curve, q its field's prime, T the elements whose order divides the cofactor, and
h_eff = 0xd201000000010001 (RFC 9380, 8.8.1). What a peer sends is checked to be on the curve, and
not to be in G1, which would take a hundred times as long. Points are the same if h_eff times their
difference is zero, that is, if their parts in G1 are: T has no element but zero in common with G1,
and multiplying by h_eff takes T to zero and maps G1 one to one. So

- a commitment binds as it would without its part in T: P and P + t have the same openings;
- all nodes judge alike. A check that left T in would pass or fail with the checker's random
  weights: a part of order 3 vanishes under a third of them. Times h_eff, it vanishes under all;
- nothing leaks through T: peers' points are multiplied by public numbers only.

Ids and Merkle leaves are of the bytes as they were sent, so P and P + t are two commitments to one
vector, as are two with different blinding factors.

Points travel uncompressed, 96 bytes each, because taking a root for each would be most of the time
of reading them. Scalar multiplication takes time that depends on the scalar (0.3 us for 1, 110 us
for 255 one-bits), and so do sums from tables of multiples, which look up what the scalars say and
skip zeros: whoever shares the machine can learn about secret scalars that way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Final, cast

import numpy as np
from py_arkworks_bls12381 import G1Point, Scalar

from troth.crypto.field import ELEMENT_BYTES, LIMBS, Elements
from troth.crypto.group import Group, Point, RowSums
from troth.crypto.multiples import RepeatedSums

COFACTOR_MULTIPLE: Final = 0xD201000000010001
"""h_eff, by which a point of the curve is multiplied to bring it into G1 (RFC 9380, 8.8.1)."""

_H_EFF = Scalar(COFACTOR_MULTIPLE)


class G1Group(Group):
    """G1 of BLS12-381, whose points are those of the library py_arkworks_bls12381."""

    name = "g1"
    binding = True
    identity = G1Point.identity()

    def hash_to_group(self, message: bytes, dst: bytes) -> G1Point:
        """A point whose logarithm nobody knows: BLS12381G1_XMD:SHA-256_SSWU_RO_ (RFC 9380, 8.8.1).

        In G1, without a part in T.
        """
        if not 16 <= len(dst) <= 255:
            raise ValueError(f"a domain separation tag has 16 to 255 bytes, not {len(dst)}")
        return G1Point.hash_to_curve(message, dst)

    def times(self, point: Point, factor: int) -> G1Point:
        return cast("G1Point", point) * Scalar(factor)

    def multiplier(self, point: Point) -> Callable[[int], G1Point]:
        """30 us for 255 bits, after 6 ms for the point's multiples by d 256^i (Brickell, Gordon,
        McCurley & Wilson, EUROCRYPT 1992)."""
        base = cast("G1Point", point)
        multiples: list[list[G1Point]] = []
        for _ in range(ELEMENT_BYTES):
            row = [self.identity]
            for _ in range(256):
                row.append(row[-1] + base)
            base = row.pop()
            multiples.append(row)

        def times(factor: int) -> G1Point:
            digits = factor.to_bytes(ELEMENT_BYTES, "little")
            return reduce(add, [row[digit] for row, digit in zip(multiples, digits, strict=True)])

        return times

    def equal(self, left: Point, right: Point) -> bool:
        # The library multiplies points outside G1 by the whole number too, not modulo r.
        return left == right or cast("G1Point", left - right) * _H_EFF == self.identity

    def encode(self, points: Sequence[Point]) -> bytes:
        """x and y of each, big-endian; zeros for the point at infinity."""
        return b"".join(cast("G1Point", point).to_xy_bytes_be() for point in points)

    def read(self, encoded: bytes) -> G1Point:
        """A point of the curve; 0.3 us. Coordinates of q or more are refused."""
        return G1Point.from_xy_bytes_unchecked_be(encoded)

    def combiner(self, points_L: Sequence[Point]) -> RowSums:
        """After many rows from a table of multiples, in seven tenths of the time or less."""
        return RepeatedSums(self, points_L, super().combiner(points_L))

    def _msm_rows(self, points_L: Sequence[Point], factors_KLW: Elements) -> tuple[G1Point, ...]:
        # The library would drop the tail of the longer list; `msm_rows` has counted.
        points = cast("list[G1Point]", list(points_L))
        return tuple(
            G1Point.multiexp_unchecked(points, scalars(factors_LW)) for factors_LW in factors_KLW
        )


G1: Final = G1Group()


def scalars(elements_NW: Elements) -> list[Scalar]:
    """The library's scalars for an array of elements, in order."""
    wide = np.zeros((*elements_NW.shape[:-1], LIMBS), dtype="<u2")
    wide[..., : elements_NW.shape[-1]] = elements_NW
    # As raw bytes, which numpy hands out one by one sooner than they are cut out here.
    return list(map(Scalar.from_le_bytes, wide.reshape(-1).view(f"V{ELEMENT_BYTES}").tolist()))

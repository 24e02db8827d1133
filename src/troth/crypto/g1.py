"""The group G1 of BLS12-381, of prime order r, over arkworks.

Points travel compressed, 48 bytes each. What a peer sends is checked to be the one encoding of a
point of the subgroup. Scalar multiplication takes time that depends on the scalar (0.3 us for 1,
110 us for 255 one-bits): whoever shares the machine can learn about secret scalars that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

from py_arkworks_bls12381 import G1Point, Scalar

from troth.crypto.field import ELEMENT_BYTES, Elements, encode_elements
from troth.errors import PeerError
from troth.ids import NodeId

POINT_BYTES = 48
UNCOMPRESSED_BYTES = 96

IDENTITY = G1Point.identity()
"""The point at infinity, the group's zero."""


def hash_to_curve(message: bytes, dst: bytes) -> G1Point:
    """A point whose logarithm nobody knows: BLS12381G1_XMD:SHA-256_SSWU_RO_ (RFC 9380, 8.8.1).

    Args:
      dst: domain separation tag, 16 to 255 bytes (RFC 9380, 3.1).
    """
    if not 16 <= len(dst) <= 255:
        raise ValueError(f"a domain separation tag has 16 to 255 bytes, not {len(dst)}")
    return G1Point.hash_to_curve(message, dst)


def scalars(elements_NW: Elements) -> list[Scalar]:
    """The library's scalars for an array of elements, in order."""
    limbs = elements_NW.shape[-1]
    data, padding = encode_elements(elements_NW), bytes(ELEMENT_BYTES - 2 * limbs)
    read = Scalar.from_le_bytes
    return [read(data[at : at + 2 * limbs] + padding) for at in range(0, len(data), 2 * limbs)]


def msm(points: Sequence[G1Point], factors: Sequence[Scalar]) -> G1Point:
    """sum_l factors[l] points[l]; quicker if all factors are small.

    Raises:
      ValueError: the numbers differ. The library would drop the longer one's tail, and what a
        commitment drops it does not bind.
    """
    if len(points) != len(factors):
        raise ValueError(f"{len(points)} points and {len(factors)} factors")
    return G1Point.multiexp_unchecked(list(points), list(factors))


def sum_points(points: Sequence[G1Point]) -> G1Point:
    """The sum; the identity for none."""
    return reduce(add, points, IDENTITY)


def encode_points(points: Sequence[G1Point]) -> bytes:
    """48 bytes for each."""
    return b"".join(point.to_compressed_bytes() for point in points)


def parse_points(
    data: bytes, count: int, *, sender: NodeId, infinity: bool = False
) -> tuple[G1Point, ...]:
    """What `encode_points` wrote; 56 us for each point.

    Args:
      infinity: whether the point at infinity may be among them. No honest commitment is that point
        but with probability 2^-255.

    Raises:
      PeerError: these are not `count` points, or one of them is off the curve, outside the subgroup
        of order r, written otherwise than `encode_points` would, or at infinity where that is not
        allowed; the culprit is `sender`.
    """
    if len(data) != count * POINT_BYTES:
        raise PeerError(
            f"sent {len(data)} bytes for {count} points of {POINT_BYTES} bytes", culprits=(sender,)
        )
    points = []
    for at in range(0, len(data), POINT_BYTES):
        encoded = data[at : at + POINT_BYTES]
        try:
            # Checks the curve and the subgroup.
            point = G1Point.from_compressed_bytes(encoded)
        except ValueError:
            raise PeerError(
                "sent bytes that encode no point of the group", culprits=(sender,)
            ) from None
        # The library reads any bytes after the infinity bit.
        if point.to_compressed_bytes() != encoded:
            raise PeerError("sent a point in another than its one encoding", culprits=(sender,))
        if not infinity and point == IDENTITY:
            raise PeerError("sent the point at infinity", culprits=(sender,))
        points.append(point)
    return tuple(points)

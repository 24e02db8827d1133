"""The generators G_1 .. G_L and H of commitments. Nobody knows how they relate to each other.

Each is the hash of its own name under a tag that holds the run's id, so anybody can derive them
again and nobody can have chosen them. That takes 0.2 ms each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from troth.crypto.g1 import G1
from troth.crypto.group import Group, Point, RowSums, sum_points

GENESIS_ID_BYTES = 32
MAX_GENERATORS = 2**24

_TAG = b"TROTH-PEDERSEN-V01-with-BLS12381G1_XMD:SHA-256_SSWU_RO_-"


@dataclass(frozen=True, eq=False)
class Generators:
    """G_1 .. G_L for the coordinates of a row, H for its blinding factor."""

    coordinates_L: tuple[Point, ...]
    blinding: Point
    group: Group = G1
    """Which they are of, and so everything that is committed with them."""

    @classmethod
    def derive(cls, genesis_id: bytes, count: int, *, group: Group = G1) -> Generators:
        """The generators of one run.

        Args:
          genesis_id: 32 bytes that all parties agree on. If the genesis holds these generators'
            digest, its id has to be taken without it.
          count: L, up to `MAX_GENERATORS`.
        """
        if len(genesis_id) != GENESIS_ID_BYTES:
            raise ValueError(f"a genesis id has {GENESIS_ID_BYTES} bytes, not {len(genesis_id)}")
        if not 1 <= count <= MAX_GENERATORS:
            raise ValueError(f"{count} generators are not 1 to {MAX_GENERATORS}")
        dst = _TAG + genesis_id.hex().encode()
        coordinates = (
            group.hash_to_group(b"G" + at.to_bytes(4), dst) for at in range(1, count + 1)
        )
        return cls(tuple(coordinates), group.hash_to_group(b"H", dst), group)

    @cached_property
    def blind(self) -> Callable[[int], Point]:
        """Multiplies H, which blinds commitments, by a factor."""
        return self.group.multiplier(self.blinding)

    @cached_property
    def combine(self) -> RowSums:
        """Makes of each row of L factors the sum of factors times G_1 .. G_L."""
        return self.group.combiner(self.coordinates_L)

    def digest(self) -> bytes:
        """SHA-256 of all generators, encoded, H last."""
        return sha256(self._encoded).digest()

    @cached_property
    def sum(self) -> Point:
        """The sum G_1 + .. + G_L of all generators but H."""
        return sum_points(self.coordinates_L)

    @property
    def _encoded(self) -> bytes:
        return self.group.encode((*self.coordinates_L, self.blinding))

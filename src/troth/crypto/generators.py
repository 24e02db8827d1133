"""The generators G_1 .. G_L and H of commitments. Nobody knows how they relate to each other.

Each is the hash of its own name under a tag that holds the run's id, so anybody can derive them
again and nobody can have chosen them. That takes 0.2 ms each: a file keeps them, and is believed
only if its SHA-256 is the one that all agreed on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from troth.crypto.g1 import G1
from troth.crypto.group import POINT_BYTES, Group, Point, RowSums, sum_points
from troth.errors import UsageError, VerificationError, reason_of

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

    @classmethod
    def load(cls, path: Path, digest: bytes) -> Generators:
        """The generators of G1 in a file that `save` wrote; 0.3 us each.

        Args:
          digest: `digest()` of the generators agreed on.

        Raises:
          VerificationError: the file cannot be read, or holds others.
        """
        hint = "delete the file and derive the generators again"
        try:
            data = path.read_bytes()
        except OSError as error:
            raise VerificationError(
                f"{path}: cannot be read: {reason_of(error)}", hint=hint
            ) from None
        if sha256(data).digest() != digest:
            raise VerificationError(
                f"{path}: does not hold the generators of SHA-256 {digest.hex()}", hint=hint
            )
        # The digest says that these bytes came from points of G1.
        points = tuple(
            G1.read(data[at : at + POINT_BYTES]) for at in range(0, len(data), POINT_BYTES)
        )
        return cls(points[:-1], points[-1])

    @classmethod
    def cached(cls, path: Path, digest: bytes, genesis_id: bytes, count: int) -> Generators:
        """`load`, or `derive` in G1 and `save` where there is no file yet.

        Raises:
          VerificationError: as `load`, or the derived generators have another digest.
          UsageError: as `save`.
        """
        if path.exists():
            return cls.load(path, digest)
        generators = cls.derive(genesis_id, count)
        if generators.digest() != digest:
            raise VerificationError(
                f"the generators that follow from the genesis do not have SHA-256 {digest.hex()}",
                hint="whoever made the genesis counted or derived them otherwise; do not use it",
            )
        generators.save(path)
        return generators

    def save(self, path: Path) -> None:
        """Write a file for `load`, 96 bytes for each generator.

        Raises:
          UsageError: it cannot be written.
        """
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(self._encoded)
            partial.replace(path)
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {reason_of(error)}") from None

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

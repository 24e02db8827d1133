"""Merkle trees as in RFC 6962, section 2.1, with SHA-256: 32 bytes that bind many values in order.

Leaves and inner nodes are hashed with a different first byte, so that none passes for the other.
A leaf's own bytes should say what it is, where trees of several kinds are about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated

import msgspec

from troth.crypto.digest import Digest
from troth.errors import PeerError
from troth.ids import NodeId

MAX_PATH = 40
"""A path in a tree of 2^40 leaves; there are no larger ones here."""

Path = Annotated[tuple[Digest, ...], msgspec.Meta(max_length=MAX_PATH)]
"""What leads from a leaf to the root: the sibling at each level, the lowest first."""


class MerkleTree:
    """A tree over at least one leaf. Keeps all hashes: 64 bytes a leaf.

    Args:
      leaves: the values, in order.
    """

    def __init__(self, leaves: Iterable[bytes]) -> None:
        level = [leaf_hash(leaf) for leaf in leaves]
        if not level:
            raise ValueError("a tree has at least one leaf")
        self._levels = [level]
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            above = [_node_hash(left, right) for left, right in pairs]
            # The last of an odd number goes up as it is: the RFC's split at a power of two.
            level = above + level[len(above) * 2 :]
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        """What the whole tree is bound by, 32 bytes."""
        return self._levels[-1][0]

    @property
    def size(self) -> int:
        """How many leaves there are."""
        return len(self._levels[0])

    def path(self, index: int) -> tuple[bytes, ...]:
        """What `check_path` needs for leaf `index`: at most log2(size), rounded up, hashes."""
        if not 0 <= index < self.size:
            raise IndexError(f"leaf {index} of {self.size}")
        siblings = []
        for level in self._levels[:-1]:
            if index ^ 1 < len(level):
                siblings.append(level[index ^ 1])
            index //= 2
        return tuple(siblings)


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's value, 32 bytes."""
    return sha256(b"\x00" + leaf).digest()


def check_path(
    root: bytes, size: int, index: int, leaf: bytes, path: Sequence[bytes], *, sender: NodeId
) -> None:
    """Check that `leaf` is number `index` of the `size` leaves below `root` (RFC 9162, 2.1.3.2).

    Root, size and index are what the receiver knows, not what the sender says.

    Raises:
      PeerError: it is not, or the path is not the one there is; the culprit is `sender`.
    """
    if not 0 <= index < size or root_of(size, index, leaf, path) != root:
        raise PeerError(f"sent a wrong Merkle path for leaf {index}", culprits=(sender,))


def root_of(size: int, index: int, leaf: bytes, path: Sequence[bytes]) -> bytes | None:
    """The root that a path leads to; None if it is too long or too short for its place."""
    node, last = leaf_hash(leaf), size - 1
    siblings = iter(path)
    while last > 0:
        if index != last or index & 1:
            sibling = next(siblings, None)
            if sibling is None:
                return None
            node = _node_hash(sibling, node) if index & 1 else _node_hash(node, sibling)
        index //= 2
        last //= 2
    return node if next(siblings, None) is None else None


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()

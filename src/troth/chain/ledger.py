"""Where a node keeps the blocks it has verified, as a role sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from troth.protocols.biscotti.ledger.block import CertifiedBlock, VerifiedBlock


class Ledger(Protocol):
    """An append-only store of one node's blocks; what it holds survives a crash."""

    def keep(self, block: VerifiedBlock) -> None:
        """Add a block whose block below is there; one that is there already changes nothing."""

    def line(self, tip: bytes, *, above: int, most_bytes: int) -> tuple[CertifiedBlock, ...]:
        """The first blocks above a height of the branch that ends with block `tip`, ascending.

        As many as fit into `most_bytes`, but at least one if there is one; none if the tip is not
        here. The same for ever, as a branch below its tip never changes.
        """


class MemoryLedger:
    """A ledger of a simulated node, on the shelf that all nodes share: equal blocks are held once.

    Args:
      shelf: every block of the run, by hash.
    """

    def __init__(self, shelf: dict[bytes, CertifiedBlock]) -> None:
        self._shelf = shelf
        self.hashes: set[bytes] = set()
        """Of the blocks that this node has."""

    def keep(self, block: VerifiedBlock) -> None:
        """See `Ledger`."""
        self._shelf.setdefault(block.hash, block)
        self.hashes.add(block.hash)

    def blocks(self) -> list[CertifiedBlock]:
        """All of this node's, each after the one below it."""
        kept = [self._shelf[block_hash] for block_hash in self.hashes]
        return sorted(kept, key=lambda block: (block.block.content.height, block.hash))

    def line(self, tip: bytes, *, above: int, most_bytes: int) -> tuple[CertifiedBlock, ...]:
        """See `Ledger`."""
        line: list[CertifiedBlock] = []
        while tip in self.hashes:
            block = self._shelf[tip]
            if block.block.content.height <= above:
                break
            line.append(block)
            tip = block.block.content.previous
        return fitting(reversed(line), most_bytes)


def fitting(blocks: Iterable[CertifiedBlock], most_bytes: int) -> tuple[CertifiedBlock, ...]:
    """The first of these blocks, as many as fit, and at least one."""
    taken: list[CertifiedBlock] = []
    size = 0
    for block in blocks:
        size += len(block.block.data)
        if taken and size > most_bytes:
            break
        taken.append(block)
    return tuple(taken)

"""Where a node keeps the blocks it has verified, as its role sees it: one store of
`troth.roles.stores`, and the two requests that it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from troth.chain.block import SealedBlock, VerifiedBlock
from troth.ids import NodeId
from troth.roles.stores import StoreRequest


class Ledger(Protocol):
    """An append-only store of one node's blocks; what it holds survives a crash."""

    def keep(self, block: VerifiedBlock) -> None:
        """Add a block whose block below is there; one that is there already changes nothing."""

    def branch(self, tip: bytes, *, above: int, most_bytes: int) -> tuple[SealedBlock, ...]:
        """The first blocks above a height of the branch that ends with block `tip`, ascending.

        As many as fit into `most_bytes`, but at least one if there is one; none if the tip is not
        here. The same for ever, as a branch below its tip never changes.
        """


@dataclass(frozen=True, slots=True)
class KeepBlock(StoreRequest[Ledger, None]):
    """Add a verified block to the node's ledger."""

    block: VerifiedBlock

    def run(self, store: Ledger) -> None:
        store.keep(self.block)

    def change(self) -> tuple[bytes, ...]:
        return b"keep", self.block.hash


@dataclass(frozen=True, slots=True)
class ReadBranch(StoreRequest[Ledger, tuple[SealedBlock, ...]]):
    """Asks a node's ledger for a part of the chain that ends in `tip`; see `Ledger.branch`."""

    tip: bytes
    above: int
    most_bytes: int

    def run(self, store: Ledger) -> tuple[SealedBlock, ...]:
        return store.branch(self.tip, above=self.above, most_bytes=self.most_bytes)


class MemoryLedger:
    """A ledger of a simulated node, on the shelf that all nodes share.

    Args:
      shelf: every block of the run, by hash.
    """

    def __init__(self, shelf: dict[bytes, SealedBlock]) -> None:
        self._shelf = shelf
        self.hashes: set[bytes] = set()
        """Of the blocks that this node has."""

    def keep(self, block: VerifiedBlock) -> None:
        """Keeps a block of this node; keeping it twice changes nothing."""
        self._shelf.setdefault(block.hash, block)
        self.hashes.add(block.hash)

    def blocks(self) -> list[SealedBlock]:
        """All blocks of this node, each after the one below it."""
        kept = [self._shelf[block_hash] for block_hash in self.hashes]
        return sorted(kept, key=lambda block: (block.height, block.hash))

    def branch(self, tip: bytes, *, above: int, most_bytes: int) -> tuple[SealedBlock, ...]:
        """The blocks above a height that end in `tip`; see `Ledger.branch`."""
        found: list[SealedBlock] = []
        while tip in self.hashes and self._shelf[tip].height > above:
            found.append(self._shelf[tip])
            tip = found[-1].previous
        return fitting(reversed(found), most_bytes)


class _Contents(msgspec.Struct):
    """What all ledgers of a world hold."""

    shelf: list[SealedBlock]
    kept: dict[NodeId, list[bytes]]
    """The hashes of the blocks that each node has kept."""


class MemoryLedgers:
    """The ledgers of a simulated world (`troth.roles.stores.Stores`): equal blocks are held once,
    and written once into a snapshot."""

    def __init__(self) -> None:
        self.shelf: dict[bytes, SealedBlock] = {}
        """Every block that a node has kept, by hash."""
        self._ledgers: dict[NodeId, MemoryLedger] = {}

    def of(self, node: NodeId) -> MemoryLedger:
        """The ledger of this node, which is made at the first call."""
        return self._ledgers.setdefault(node, MemoryLedger(self.shelf))

    def contents(self) -> object:
        """What a snapshot has to hold so that `restore` makes these ledgers again."""
        kept = {node: sorted(ledger.hashes) for node, ledger in self._ledgers.items()}
        return _Contents(list(self.shelf.values()), kept)

    def restore(self, contents: object) -> None:
        """Makes the ledgers again from what `contents` gave to a snapshot."""
        found = msgspec.convert(contents, _Contents)
        self.shelf.update({block.hash: block for block in found.shelf})
        for node, hashes in found.kept.items():
            self.of(node).hashes.update(hashes)


def fitting(blocks: Iterable[SealedBlock], most_bytes: int) -> tuple[SealedBlock, ...]:
    """The first of these blocks, as many as fit, and at least one."""
    taken: list[SealedBlock] = []
    size = 0
    for block in blocks:
        size += len(block.data)
        if taken and size > most_bytes:
            break
        taken.append(block)
    return tuple(taken)

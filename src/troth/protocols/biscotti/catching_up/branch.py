"""A peer's chain: the branch that it goes on from, and where the chain stands at a block of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from troth.chain.block import VerifiedBlock
from troth.chain.ledger import KeepBlock, ReadBranch
from troth.protocols.biscotti.catching_up.gossip import MAX_ANSWER_BYTES
from troth.protocols.biscotti.ledger.block import CertifiedBlock, read_kept
from troth.protocols.biscotti.ledger.head import Head, Rules
from troth.roles.node import Node

KEPT_HEADS = 8
"""States of the chain that are held; older ones are computed again from the ledger."""


@dataclass
class Branch:
    """From the genesis to a peer's last block. What it takes up was checked before."""

    node: Node
    rules: Rules
    first: Head
    """Before the first block."""
    head: Head
    """Our last block."""
    hashes: list[bytes]
    """Hashes of our chain by height, from the genesis on."""
    heads: dict[bytes, Head] = field(init=False)
    """The last states of the chain, by hash; older ones are computed again when they are needed."""

    def __post_init__(self) -> None:
        self.heads = {self.head.hash: self.head}

    async def extend(self, below: int, blocks: list[tuple[CertifiedBlock, Head]]) -> None:
        """Take up other blocks than before, which hold.

        Args:
          below: the height that they begin above.
          blocks: each with the chain after it, ascending.
        """
        for block, _ in blocks:
            await self.keep(block)
        self.hashes = [*self.hashes[: below + 1], *(block.hash for block, _ in blocks)]
        self.head = blocks[-1][1]
        for _, after in blocks:
            self.heads[after.hash] = after
        for _ in range(len(self.heads) - KEPT_HEADS):
            del self.heads[next(iter(self.heads))]

    async def keep(self, block: CertifiedBlock) -> None:
        """Have our ledger keep a block that holds, whether or not we go on from it."""
        await self.node.access(KeepBlock(VerifiedBlock(block.sealed)))

    async def blocks(
        self, *, above: int, most_bytes: int, tip: bytes | None = None
    ) -> list[CertifiedBlock]:
        """The first blocks above a height that our ledger has, as `Ledger.branch` gives them.

        Args:
          tip: hash of the block that the branch ends with; None is our last block.
        """
        request = ReadBranch(tip or self.head.hash, above, most_bytes)
        return [read_kept(block) for block in await self.node.access(request)]

    async def head_at(self, block_hash: bytes) -> Head | None:
        """The chain after a block that we have; None if we do not have it. What is not at hand is
        computed from the genesis, without checking again what was checked before it was kept."""
        if block_hash in self.heads:
            return self.heads[block_hash]
        head = self.first
        while head.hash != block_hash:
            kept = await self.blocks(above=head.height, most_bytes=MAX_ANSWER_BYTES, tip=block_hash)
            if not kept:
                return None
            for block in kept:
                head = self.rules.follow(head, block)
        return head

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
"""The states of the chain that a peer keeps in memory; older ones are computed again."""


@dataclass
class Branch:
    """The chain that a peer goes on from, from the genesis to its last block. Blocks are checked
    before they are given to it."""

    node: Node
    rules: Rules
    first: Head
    """Where the chain stands before the first block."""
    head: Head
    """Where the chain stands after this peer's last block."""
    hashes: list[bytes]
    """Hashes of the branch's blocks by height, from the genesis on."""
    heads: dict[bytes, Head] = field(init=False)
    """The last states of the chain, by hash; older ones are computed again when they are needed."""

    def __post_init__(self) -> None:
        self.heads = {self.head.hash: self.head}

    async def extend(self, below: int, blocks: list[tuple[CertifiedBlock, Head]]) -> None:
        """Keep these blocks, which were checked, and go on from the last of them.

        Args:
          below: the height of the block that they stand on; what the branch had above is left.
          blocks: ascending, each with where the chain stands after it.
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
        """Have this peer's ledger keep a block that was checked, whether or not the peer goes on
        from it."""
        await self.node.access(KeepBlock(VerifiedBlock(block.sealed)))

    async def blocks(
        self, *, above: int, most_bytes: int, tip: bytes | None = None
    ) -> list[CertifiedBlock]:
        """The first blocks that this peer's ledger has above a height; see `Ledger.branch`.

        Args:
          most_bytes: blocks are given up to so many bytes, and always the first one.
          tip: hash of the block that the branch ends with; None is this peer's last block.
        """
        request = ReadBranch(tip or self.head.hash, above, most_bytes)
        return [read_kept(block) for block in await self.node.access(request)]

    async def head_at(self, block_hash: bytes) -> Head | None:
        """Where the chain stands after a block that this peer has; None if it does not have it.
        What is not in memory is computed from the genesis, without checking again what was checked
        before it was kept."""
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

"""A peer's chain: the branch that it goes on from, and where the chain stands at a block of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from troth.protocols.biscotti.catching_up.gossip import MAX_ANSWER_BYTES
from troth.protocols.biscotti.ledger.block import CertifiedBlock, VerifiedBlock
from troth.protocols.biscotti.ledger.chain import Head, Rules
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
    line: list[bytes]
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
            await self.node.keep(VerifiedBlock(block))
        self.line = [*self.line[: below + 1], *(block.hash for block, _ in blocks)]
        self.head = blocks[-1][1]
        for _, after in blocks:
            self.heads[after.hash] = after
        for _ in range(len(self.heads) - KEPT_HEADS):
            del self.heads[next(iter(self.heads))]

    async def head_at(self, block_hash: bytes) -> Head | None:
        """Where the chain stands after a block that this peer has; None if it does not have it.
        What is not in memory is computed from the genesis, without checking again what was checked
        before it was kept."""
        if block_hash in self.heads:
            return self.heads[block_hash]
        head = self.first
        while head.hash != block_hash:
            kept = await self.node.kept_line(
                block_hash, above=head.height, most_bytes=MAX_ANSWER_BYTES
            )
            if not kept:
                return None
            for block in kept:
                head = self.rules.follow(head, block)
        return head

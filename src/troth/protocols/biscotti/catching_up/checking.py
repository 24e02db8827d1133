"""Checking a block that another peer has sent, and finding out who has certified two of one round.

Source: Shayan, Fung, Yoon & Beschastnikh, "Biscotti: a blockchain system for private and secure
federated learning", IEEE TPDS 2021.
"""

from __future__ import annotations

from dataclasses import dataclass

from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.blaming.accusing import Accuser
from troth.protocols.biscotti.blaming.offences import two_blocks
from troth.protocols.biscotti.catching_up.branch import Branch
from troth.protocols.biscotti.ledger.block import CertifiedBlock, encode_certificate
from troth.protocols.biscotti.ledger.head import Head, Rules
from troth.protocols.biscotti.ledger.link import check_certificate, double_signers, empty_block
from troth.protocols.biscotti.ledger.verifying import VerifyBlock, check_signers
from troth.roles.node import Node


@dataclass
class Checker:
    """Checks the blocks that other peers send, before this peer keeps any of them."""

    node: Node
    rules: Rules
    branch: Branch
    accuser: Accuser

    async def checked(
        self, at: Head, block: CertifiedBlock, sender: NodeId, *, signed: bool
    ) -> Head:
        """Check a block, and give where the chain stands after it.

        Args:
          at: where the chain stands before it.
          signed: whether this peer has checked its contents already, as an aggregator.

        Raises:
          PeerError: the block does not hold; the culprit is `sender`.
        """
        # Biscotti, section 4.7: "When a peer observes a new block through the gossip protocol, it
        # can verify that the computation performed is correct by running the consistent hashing
        # protocol for the latest block and verifying the signatures of the designated verifiers and
        # aggregators for each new block."
        certificate = block.certificate
        if certificate is None:
            expected = empty_block(self.rules.genesis, at.state)
            if at.height >= self.rules.training.rounds or block.hash != expected.digest:
                raise PeerError("sent a block without a certificate", culprits=(sender,))
        elif signed:
            check_certificate(self.rules.genesis, block, sender=sender)
            check_signers(self.rules, at, block, sender=sender)
        else:
            verified = await self.node.compute(
                VerifyBlock(self.rules, at, block.block.data, encode_certificate(certificate))
            )
            if verified.fault is not None:
                where, problem = verified.fault
                raise PeerError(
                    f"sent block {block.block.content.height} whose {where} {problem}",
                    culprits=(sender,),
                )
        if certificate is not None:
            await self._witness(block)
        return self.rules.follow(at, block)

    async def _witness(self, block: CertifiedBlock) -> None:
        """Remember, for accusing them, the peers that have certified both this block and the one of
        the same height on this peer's chain."""
        height = block.block.content.height
        ours = await self.branch.blocks(above=height - 1, most_bytes=1)
        if not ours or ours[0].certificate is None:
            return
        for liar in double_signers(self.rules.genesis, ours[0], block):
            self.accuser.add(two_blocks(liar, ours[0], block))

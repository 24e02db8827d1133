"""Who does what in a round: everything that follows from the chain below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha512

from troth.crypto import signatures
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.genesis import PublicEntry
from troth.protocols.biscotti.ledger.link import ChainState
from troth.protocols.biscotti.ledger.lottery import (
    Committees,
    draw_committees,
    draw_noisers,
    noiser_input,
    verified_noisers,
)
from troth.protocols.biscotti.ledger.stake import StakeTable
from troth.protocols.biscotti.parameters import Biscotti, MaskedPrivacy

MAX_AUDITED = 8
"""The most peers that have to open a slot of noise in a round."""


@dataclass(frozen=True)
class RoundContext:
    """One round on top of one block. All peers that have this block know the same."""

    chain: bytes
    """The chain's id, the digest of its genesis."""
    entries: Mapping[NodeId, PublicEntry]
    """Every peer's public keys, from the genesis."""
    parameters: Biscotti
    privacy: MaskedPrivacy
    below: ChainState
    """What the chain says before the round."""
    optimistic: bool
    """Whether contributors leave out the commitments to their random rows."""

    @property
    def round(self) -> Round:
        """The number of the round."""
        return Round(self.below.height + 1)

    @property
    def stake(self) -> StakeTable:
        """Everybody's stake before the round."""
        return self.below.stake

    @cached_property
    def committees(self) -> Committees:
        """The verifiers and the aggregators of the round, disjoint.

        Raises:
          RoundFailedError: too few peers hold stake.
        """
        # Biscotti, section 4.3: "The verification and aggregation committees are the same for all
        # peers but the noising committee is unique to each peer."
        return draw_committees(
            self.stake,
            self.below.seed,
            verifiers=self.parameters.verifiers,
            aggregators=self.parameters.aggregators,
        )

    @property
    def verifiers(self) -> tuple[NodeId, ...]:
        """The members of the verification committee."""
        return self.committees.verifiers

    @property
    def aggregators(self) -> tuple[NodeId, ...]:
        """The members of the aggregation committee; an aggregator's number is its place here."""
        return self.committees.aggregators

    @property
    def leader(self) -> NodeId:
        """The aggregator that puts the block together."""
        return self.aggregators[0]

    @property
    def certifiers(self) -> int:
        """How many aggregators have to sign a block: two groups of so many have an honest one in
        common, which signs one block in a round."""
        m = self.parameters.aggregators
        return max(self.parameters.resolved_quorum, m // 2 + 1)

    @property
    def fewest(self) -> int:
        """How many updates a sum has at least."""
        return self.parameters.fewest(len(self.contributors))

    @property
    def majority(self) -> int:
        """How many verifiers have to accept an update."""
        # Biscotti, section 4.5: "we require a peer to obtain signatures from the majority of
        # verifiers before their update is accepted".
        return self.parameters.verifiers // 2 + 1

    @cached_property
    def contributors(self) -> tuple[NodeId, ...]:
        """The contributors, whose updates are looked at in this round, ascending: R of the peers
        outside the committees, whatever their stake. They are drawn before anybody computes, so
        that nobody computes, or uses up noise, for an update that verifiers would leave out."""
        # Biscotti, section 4.3: "Peers that are part of the verification and aggregation committees
        # do not contribute updates for that round."
        seated = {*self.verifiers, *self.aggregators}
        others = [peer for peer in self.stake.peers if peer not in seated]
        wanted = self.parameters.contributors_drawn(len(self.stake.peers))
        return tuple(sorted(self._shuffled(b"contributor", others)[:wanted]))

    @cached_property
    def audited(self) -> tuple[NodeId, ...]:
        """The peers that have to open a slot of noise in this round, ascending."""
        return tuple(sorted(self._shuffled(b"audited", self.stake.peers)[:MAX_AUDITED]))

    def reserved_slots(self, noiser: NodeId) -> frozenset[int]:
        """The slots that a peer gives to nobody: the one that it opens, if it is audited."""
        return frozenset([self.audited_slot(noiser)] if noiser in self.audited else [])

    def audited_slot(self, noiser: NodeId) -> int:
        """The slot that a peer opens if it is audited.

        Nobody knew it when the table was made: if b of J slots of a round are badly formed, it is
        one of them with probability b / J.
        """
        digest = sha512(b"troth-audited-slot\0" + self.below.seed + noiser.encode()).digest()
        return int.from_bytes(digest) % self.privacy.slots

    @property
    def noiser_alpha(self) -> bytes:
        """The input (alpha) of contributors' VRFs, from which they draw their noisers."""
        return noiser_input(self.chain, self.round, self.below.seed)

    def noisers(self, contributor: NodeId, proof: bytes) -> tuple[bytes, tuple[NodeId, ...]]:
        """A contributor's VRF output and its noisers, in the order drawn, from its proof.

        Raises:
          PeerError: the proof is wrong; the culprit is `contributor`.
        """
        return verified_noisers(
            self.stake,
            self.entries[contributor].vrf,
            proof,
            self.privacy.noisers,
            alpha=self.noiser_alpha,
            contributor=contributor,
        )

    def check_signed(self, signer: NodeId, purpose: str, text: bytes, signature: bytes) -> None:
        """Check that a peer has signed a text for a purpose.

        Raises:
          PeerError: it has not; the culprit is `signer`.
        """
        signatures.verify(self.entries[signer].signing, purpose, text, signature, signer=signer)

    def noisers_of(self, contributor: NodeId, output: bytes) -> tuple[NodeId, ...]:
        """A contributor's noisers, in the order drawn, from the output of its VRF."""
        return draw_noisers(self.stake, output, self.privacy.noisers, contributor=contributor)

    def _shuffled(self, role: bytes, peers: Sequence[NodeId]) -> list[NodeId]:
        prefix = sha512(b"troth-drawn\0" + role + b"\0" + self.below.seed)

        def ticket(peer: NodeId) -> bytes:
            hashed = prefix.copy()
            hashed.update(peer.encode())
            return hashed.digest()

        return sorted(peers, key=ticket)

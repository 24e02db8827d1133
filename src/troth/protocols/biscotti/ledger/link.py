"""Whether a block fits on the one below it: everything that can be checked without knowing how its
updates were made.

That is: its place in the chain, all its signatures, the seed, the form of its lists, the size and
range of its sum, and the stake. What is left to the protocol: who was in the committees and how
many of them must agree, whether the sum is that of the commitments, w_t, noise, and evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

import numpy as np

from troth.chain import bitmap
from troth.chain.errors import BlockError
from troth.chain.sealed import Sealed
from troth.crypto import signatures, vrf
from troth.crypto.certificates import verify_aggregate
from troth.crypto.digest import DIGEST_BYTES
from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import (
    ACKNOWLEDGEMENT,
    DEALING,
    DEALING_BYTES,
    OPENING,
    VERDICT,
    Block,
    CertifiedBlock,
    certified_text,
    pieces,
    seal_block,
    signed_list,
)
from troth.protocols.biscotti.ledger.genesis import CheckedGenesis
from troth.protocols.biscotti.ledger.lottery import first_seed, next_seed, seed_input
from troth.protocols.biscotti.ledger.stake import StakeTable, apply_changes, stake_changes

_PASSED = NodeId("a block that was checked")


@dataclass(frozen=True)
class ChainState:
    """What the chain says after one of its blocks, or after the genesis."""

    hash: bytes
    height: int
    """How many rounds are over."""
    seed: bytes
    """The seed of the next round's lotteries, 32 bytes."""
    model: bytes
    """The digest of w_t, the model after the block."""
    stake: StakeTable
    """The stake of every peer."""
    punished: frozenset[tuple[NodeId, str, Round]] = frozenset()
    """The offences for which peers have lost stake: who, of which kind, and in which round. None is
    punished twice."""


def first_state(genesis: CheckedGenesis) -> ChainState:
    """What the chain says before the first block."""
    return ChainState(
        hash=genesis.id,
        height=0,
        seed=first_seed(genesis.id),
        model=genesis.content.model,
        stake=StakeTable.of(genesis.stake()),
    )


def empty_block(genesis: CheckedGenesis, below: ChainState) -> Sealed[Block]:
    """The block of a round that nobody ended: it draws new committees and changes nothing else.

    All peers make the same one from the block below, so it needs no certificate. But it says only
    that somebody heard nothing: take another peer's as an ancestor of a certified block, and of
    your own make one when the round's time is over.
    """
    height = below.height + 1
    return seal_block(
        Block(
            chain=genesis.id,
            height=height,
            previous=below.hash,
            proposer=None,
            seed=next_seed(below.seed, Round(height), None),
            seed_proof=b"",
            model=below.model,
            aggregate=None,
            blindings=b"",
            contributions=(),
            dealings=b"",
            acknowledgements=(),
            candidates=b"",
            verdicts=(),
            openings=(),
            evidence=(),
            stake_changes=(),
            stake=below.stake.digest(),
        )
    )


def check_link(
    genesis: CheckedGenesis, below: ChainState, certified: CertifiedBlock, *, sender: NodeId
) -> ChainState:
    """Check a block against the one below it, and give the state after it.

    Raises:
      BlockError: names the first field that is wrong; the culprit is `sender`.
    """
    if certified.certificate is not None:
        _Check(genesis, below, certified.block.content, sender).place()
        check_certificate(genesis, certified, sender=sender)
        return check_contents(genesis, below, certified.block, sender=sender)
    block = certified.block.content
    check = _Check(genesis, below, block, sender)
    check.place()
    check.nobody_ended_it(certified.block)
    return ChainState(
        certified.hash, block.height, block.seed, block.model, below.stake, below.punished
    )


def state_after(below: ChainState, certified: CertifiedBlock) -> ChainState:
    """What the chain says after a block whose checks have all passed."""
    block = certified.block.content
    return ChainState(
        certified.hash,
        block.height,
        block.seed,
        block.model,
        apply_changes(below.stake, block.stake_changes, sender=_PASSED),
        below.punished | {part.offence for part in block.evidence},
    )


def check_contents(
    genesis: CheckedGenesis, below: ChainState, sealed: Sealed[Block], *, sender: NodeId
) -> ChainState:
    """Check all that `check_link` does of a block that has no certificate yet, as its certifiers do
    before they sign.

    Raises:
      BlockError: names the first field that is wrong; the culprit is `sender`.
    """
    block = sealed.content
    check = _Check(genesis, below, block, sender)
    check.place()
    check.seed()
    check.lists()
    check.signatures()
    check.aggregate()
    punished = check.evidence()
    stake = check.stake()
    return ChainState(sealed.digest, block.height, block.seed, block.model, stake, punished)


def check_outline(
    genesis: CheckedGenesis, below: ChainState, certified: CertifiedBlock, *, sender: NodeId
) -> ChainState:
    """`check_link` without the proof of the seed and the signatures in the block, for blocks whose
    contents somebody trusted has named by a hash.

    The certificate is checked all the same: no hash binds it, forks are decided by it, and others
    are sent it.

    Raises:
      BlockError: names the first field that is wrong; the culprit is `sender`.
    """
    if certified.certificate is None:
        return check_link(genesis, below, certified, sender=sender)
    block = certified.block.content
    check = _Check(genesis, below, block, sender)
    check.place()
    check_certificate(genesis, certified, sender=sender)
    check.lists()
    check.aggregate()
    punished = check.evidence()
    return ChainState(
        certified.hash, block.height, block.seed, block.model, check.stake(), punished
    )


def check_certificate(
    genesis: CheckedGenesis, certified: CertifiedBlock, *, sender: NodeId
) -> tuple[NodeId, ...]:
    """Check a block's certificate, and give the peers that signed, ascending; none where there is
    no certificate. Whether they are enough, and in the committee, is for the protocol to say.

    Raises:
      BlockError: the certificate is not of this block by these peers; the culprit is `sender`.
    """
    certificate = certified.certificate
    if certificate is None:
        return ()
    try:
        places = bitmap.places(certificate.signers, len(genesis.keys))
        keys = [genesis.keys[place] for place in places]
        verify_aggregate(keys, certified_text(certified.hash), certificate.signature, sender=sender)
    except (PeerError, ValueError) as error:
        height = certified.block.content.height
        raise BlockError(height, "certificate", f"does not hold: {error}", sender=sender) from None
    return tuple(key.owner for key in keys)


def signers_of(genesis: CheckedGenesis, certified: CertifiedBlock) -> tuple[NodeId, ...]:
    """The peers that have signed the certificate of a block that was checked, ascending; none where
    there is no certificate."""
    if certified.certificate is None:
        return ()
    places = bitmap.places(certified.certificate.signers, len(genesis.keys))
    return tuple(genesis.keys[place].owner for place in places)


def double_signers(
    genesis: CheckedGenesis, one: CertifiedBlock, other: CertifiedBlock
) -> tuple[NodeId, ...]:
    """The peers that have signed two different blocks of one round, ascending. No honest peer does.

    Both certificates were checked. Together they are the proof, whichever blocks are below them: an
    honest peer signs one block in a round, whatever it takes for the chain then.
    """
    a, b = one.block.content, other.block.content
    if one.hash == other.hash or (a.chain, a.height) != (b.chain, b.height):
        return ()
    both = set(signers_of(genesis, one)) & set(signers_of(genesis, other))
    return tuple(sorted(both))


@dataclass(frozen=True)
class _Check:
    """The checks of one block, in the order of its fields."""

    genesis: CheckedGenesis
    below: ChainState
    block: Block
    sender: NodeId

    def fault(self, field: str, problem: str) -> BlockError:
        return BlockError(self.block.height, field, problem, sender=self.sender)

    def place(self) -> None:
        block, below, rounds = self.block, self.below, self.genesis.content.rounds
        if block.chain != self.genesis.id:
            raise self.fault("chain", "is another one")
        if block.height != below.height + 1:
            raise self.fault("height", f"does not follow {below.height}")
        if block.height > rounds:
            raise self.fault("height", f"is beyond the last round, {rounds}")
        if block.previous != below.hash:
            raise self.fault("previous", f"is not the hash of block {below.height}")

    def nobody_ended_it(self, block: Sealed[Block]) -> None:
        expected = empty_block(self.genesis, self.below)
        if block.digest != expected.digest:
            raise self.fault("certificate", "is missing, and it is not the empty block")

    def seed(self) -> None:
        block, below = self.block, self.below
        peers = self.genesis.by_name
        if block.proposer is None or block.proposer not in peers:
            raise self.fault("proposer", "is no peer")
        try:
            output = vrf.verify(
                peers[block.proposer].vrf,
                seed_input(block.chain, block.round, below.seed),
                block.seed_proof,
                prover=self.sender,
            )
        except PeerError as error:
            raise self.fault("seed_proof", f"does not hold: {error}") from None
        if block.seed != next_seed(below.seed, block.round, output):
            raise self.fault("seed", "is not what its proof gives")

    def lists(self) -> None:
        block = self.block
        self._ascend("contributions", [part.contributor for part in block.contributions])
        self._ascend("acknowledgements", [part.aggregator for part in block.acknowledgements])
        self._ascend("verdicts", [part.verifier for part in block.verdicts])
        self._ascend("dealings", pieces(block.dealings, DEALING_BYTES))
        self._ascend("candidates", pieces(block.candidates, DIGEST_BYTES))
        self._ascend("openings", [(part.noiser, part.slot) for part in block.openings])
        self._ascend("evidence", [part.offence for part in block.evidence])
        for name, table, width in (
            ("dealings", block.dealings, DEALING_BYTES),
            ("candidates", block.candidates, DIGEST_BYTES),
        ):
            if len(table) % width:
                raise self.fault(name, f"are {len(table)} bytes, not {width} for each")
        for name, peers in (
            ("contributions", [part.contributor for part in block.contributions]),
            ("openings", [part.noiser for part in block.openings]),
            ("evidence", [part.accused for part in block.evidence]),
        ):
            odd = set(peers) - self.genesis.by_name.keys()
            if odd:
                raise self.fault(name, f"name {min(odd)}, who is no peer")
        accepted = set(pieces(block.candidates, DIGEST_BYTES))
        dealt = set(pieces(block.dealings, DEALING_BYTES))
        for part in block.contributions:
            if part.update != sha256(part.commitments).digest():
                raise self.fault("contributions", f"of {part.contributor} have another id")
            if part.update not in accepted:
                raise self.fault("contributions", f"of {part.contributor} are no candidate")
            if part.update + part.dealing not in dealt:
                raise self.fault("contributions", f"of {part.contributor} were not dealt so")

    def signatures(self) -> None:
        block = self.block
        for part in block.contributions:
            text = signed_list(block.chain, block.round, part.update + part.dealing)
            self._by("contributions", DEALING, part.contributor, text, part.signature)
        for opening in block.openings:
            text = opening.text(block.chain, block.round)
            self._by("openings", OPENING, opening.noiser, text, opening.signature)
        for verdict in block.verdicts:
            field, who = "verdicts", verdict.verifier
            text = self._list(field, who, verdict.accepted, block.candidates, DIGEST_BYTES)
            self._by(field, VERDICT, who, text, verdict.signature)
        for ack in block.acknowledgements:
            field, who = "acknowledgements", ack.aggregator
            text = self._list(field, who, ack.held, block.dealings, DEALING_BYTES)
            self._by(field, ACKNOWLEDGEMENT, who, text, ack.signature)

    def aggregate(self) -> None:
        block, genesis = self.block, self.genesis.content
        if block.aggregate is None:
            if block.contributions or block.blindings:
                raise self.fault("aggregate", "is missing")
            if block.model != self.below.model:
                raise self.fault("model", "changed without an update")
            return
        if not block.contributions:
            raise self.fault("aggregate", "is the sum of nothing")
        if len(block.aggregate) != genesis.dimension:
            raise self.fault(
                "aggregate", f"has {len(block.aggregate)} entries, not {genesis.dimension}"
            )
        bound = genesis.bound * len(block.contributions)
        if np.any(block.aggregate > bound) or np.any(block.aggregate < -bound):
            raise self.fault("aggregate", f"is not within {bound}, {genesis.bound} for each update")

    def evidence(self) -> frozenset[tuple[NodeId, str, Round]]:
        block, punished = self.block, self.below.punished
        for part in block.evidence:
            if part.round > block.round:
                raise self.fault("evidence", f"against {part.accused} is of a later round")
            if part.offence in punished:
                raise self.fault("evidence", f"against {part.accused} was used before")
        return punished | {part.offence for part in block.evidence}

    def stake(self) -> StakeTable:
        block, below = self.block, self.below
        rewarded = not block.empty
        expected = stake_changes(
            self.genesis.content.stake_update,
            below.stake,
            contributors=[part.contributor for part in block.contributions],
            verifiers=[part.verifier for part in block.verdicts if rewarded],
            aggregators=[part.aggregator for part in block.acknowledgements if rewarded],
            blamed={part.accused for part in block.evidence},
        )
        if block.stake_changes != expected:
            raise self.fault("stake_changes", "are not what the update function gives")
        stake = apply_changes(below.stake, expected, sender=self.sender)
        if block.stake != stake.digest():
            raise self.fault("stake", "is not the digest of the stake after it")
        return stake

    def _ascend(self, field: str, values: Sequence[Any]) -> None:
        if any(before >= after for before, after in pairwise(values)):
            raise self.fault(field, "are not in ascending order, each once")

    def _list(self, field: str, signer: NodeId, chosen: bytes, table: bytes, width: int) -> bytes:
        """What a peer signs to say that it means the chosen entries of a table."""
        entries = pieces(table, width)
        try:
            places = bitmap.places(chosen, len(entries))
        except ValueError as error:
            raise self.fault(field, f"of {signer} do not hold: {error}") from None
        meant = b"".join(entries[place] for place in places)
        return signed_list(self.block.chain, self.block.round, meant)

    def _by(self, field: str, purpose: str, signer: NodeId, text: bytes, signature: bytes) -> None:
        """Check a peer's signature of a text."""
        peers = self.genesis.by_name
        if signer not in peers:
            raise self.fault(field, f"name {signer}, who is no peer")
        try:
            signatures.verify(peers[signer].signing, purpose, text, signature, signer=signer)
        except PeerError as error:
            raise self.fault(field, f"of {signer} do not hold: {error}") from None

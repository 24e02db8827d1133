"""How the leader of a round puts its block together, and the certificate of those who sign it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from troth.chain import bitmap
from troth.crypto import certificates, vrf
from troth.ids import NodeId
from troth.protocols.biscotti.keys import PeerKeys
from troth.protocols.biscotti.ledger.block import (
    Block,
    Certificate,
    Evidence,
    NoiseOpening,
)
from troth.protocols.biscotti.ledger.head import Head, Rules, model_digest
from troth.protocols.biscotti.ledger.lottery import next_seed, seed_input
from troth.protocols.biscotti.ledger.stake import apply_changes, stake_changes
from troth.protocols.biscotti.messages import SumSet
from troth.wire import Int64s

_OURSELVES = NodeId("ourselves")


def build_block(
    rules: Rules,
    head: Head,
    keys: PeerKeys,
    *,
    proposer: NodeId,
    agreed: SumSet | None,
    aggregate_D: Int64s | None,
    blindings: bytes = b"",
    openings: Sequence[NoiseOpening] = (),
    evidence: Sequence[Evidence] = (),
) -> Block:
    """The block of the round on top of `head`, as its leader proposes it.

    Args:
      agreed, aggregate_D, blindings: the set U, its sum and what opens it; None if the round has
        failed.
    """
    context = rules.context(head.before)
    proof = keys.vrf.prove(seed_input(context.chain, context.round, head.state.seed))
    params_D, _ = rules.moved(head, aggregate_D, 0 if agreed is None else len(agreed.contributions))
    blamed = {part.accused for part in evidence}
    changes = stake_changes(
        rules.genesis.content.stake_update,
        head.state.stake,
        contributors=[] if agreed is None else [c.contributor for c in agreed.contributions],
        verifiers=[] if agreed is None else [part.verifier for part in agreed.verdicts],
        aggregators=[] if agreed is None else [part.aggregator for part in agreed.acknowledgements],
        blamed=blamed,
    )
    return Block(
        chain=context.chain,
        height=context.round,
        previous=head.hash,
        proposer=proposer,
        seed=next_seed(head.state.seed, context.round, vrf.output(proof)),
        seed_proof=proof,
        model=head.state.model if agreed is None else model_digest(params_D),
        aggregate=aggregate_D,
        blindings=blindings,
        contributions=() if agreed is None else agreed.contributions,
        dealings=b"" if agreed is None else agreed.dealings,
        acknowledgements=() if agreed is None else agreed.acknowledgements,
        candidates=b"" if agreed is None else agreed.candidates,
        verdicts=() if agreed is None else agreed.verdicts,
        openings=tuple(sorted(openings, key=lambda part: (part.noiser, part.slot))),
        evidence=tuple(sorted(evidence, key=lambda part: part.offence)),
        stake_changes=changes,
        stake=apply_changes(head.state.stake, changes, sender=_OURSELVES).digest(),
    )


def certify(rules: Rules, text: bytes, signatures: Mapping[NodeId, bytes]) -> Certificate:
    """The certificate of these signatures of `certified_text`.

    Raises:
      PeerError: some of them are wrong; the culprits are exactly their senders.
    """
    owners = {key.owner: (place, key) for place, key in enumerate(rules.genesis.keys)}
    aggregate = certificates.combine(
        [owners[peer][1] for peer in sorted(signatures)], text, signatures
    )
    places = [owners[peer][0] for peer in signatures]
    return Certificate(bitmap.of(places, len(owners)), aggregate)

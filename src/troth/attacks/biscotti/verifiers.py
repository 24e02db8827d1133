"""Verifiers whose verdicts do not follow from what they were sent (step 5 of the paper's figure
1)."""

from __future__ import annotations

from collections.abc import Iterable

from troth.attacks.biscotti.malice import Malice, Receivers, sending
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import VERDICT, signed_list
from troth.protocols.biscotti.messages import Accepted, Masked
from troth.protocols.biscotti.texts import update_id
from troth.roles.effects import Send


@sending(Accepted)
def friends_only(malice: Malice, to: Receivers, honest: Accepted) -> Iterable[Send]:
    """Accepts the updates of all who attack, whatever they have sent, and no others."""
    liked = sorted(
        (update_id(message.commitments), sender)
        for sender, message in dict(malice.heard).items()
        if isinstance(message, Masked)
        and message.round == honest.round
        and sender in malice.attacker.friends
    )
    yield Send(to, _verdict(malice, honest.round, liked))


def _verdict(malice: Malice, round: Round, liked: list[tuple[bytes, NodeId]]) -> Accepted:
    updates = b"".join(update for update, _ in liked)
    text = signed_list(malice.context.chain, round, updates)
    names = tuple(sender for _, sender in liked)
    return Accepted(round, updates, names, malice.sign(VERDICT, text))


@sending(Accepted)
def two_verdicts(malice: Malice, to: Receivers, honest: Accepted) -> Iterable[Send]:
    """Signs an honest verdict for half of those it tells, and an empty one for the others."""
    yield Send(to[::2], honest)
    yield Send(to[1::2], _verdict(malice, honest.round, []))

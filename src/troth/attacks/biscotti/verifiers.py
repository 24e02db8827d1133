"""Verifiers whose verdicts do not follow from what they were sent (step 5 of the paper's figure
1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from troth.attacks.biscotti.malice import Malice, acting, sending
from troth.ids import NodeId, Round
from troth.protocols.biscotti.ledger.block import VERDICT, signed_list
from troth.protocols.biscotti.messages import Accepted, Masked
from troth.protocols.biscotti.texts import update_id
from troth.roles.effects import Effect, Send


def _friends_only(malice: Malice, effect: Effect[Any]) -> Iterable[Effect[Any]] | None:
    if not (isinstance(effect, Send) and isinstance(effect.message, Accepted)):
        return None
    round = effect.message.round
    liked = sorted(
        (update_id(message.commitments), sender)
        for sender, message in dict(malice.heard).items()
        if isinstance(message, Masked)
        and message.round == round
        and sender in malice.attacker.friends
    )
    return [Send(effect.to, _verdict(malice, round, liked))]


friends_only = acting(_friends_only)
"""Accepts the updates of all who attack, whatever they have sent, and no others."""


def _verdict(malice: Malice, round: Round, liked: list[tuple[bytes, NodeId]]) -> Accepted:
    updates = b"".join(update for update, _ in liked)
    text = signed_list(malice.context.chain, round, updates)
    names = tuple(sender for _, sender in liked)
    return Accepted(round, updates, names, malice.sign(VERDICT, text))


def _two_verdicts(malice: Malice, effect: Send) -> Iterable[Send]:
    assert isinstance(effect.message, Accepted)
    yield Send(effect.to[::2], effect.message)
    yield Send(effect.to[1::2], _verdict(malice, effect.message.round, []))


two_verdicts = sending(Accepted, _two_verdicts)
"""Signs an honest verdict for half of those it tells, and an empty one for the others."""

"""Peers whose messages are larger than they need be, so that others have to hold or decode them."""

from __future__ import annotations

import numpy as np

from troth.attacks.biscotti.contributors import masking
from troth.attacks.biscotti.floods import flooding
from troth.attacks.biscotti.malice import Malice, altered
from troth.ids import Round
from troth.protocols.biscotti.ledger.block import MAX_COMMITMENT_BYTES
from troth.protocols.biscotti.messages import Masked, NoiseGrant, Proposal, Shares
from troth.wire import Message


@masking
def million_values(_: Malice, message: Masked) -> Masked:
    """Signs and sends a masked update of a million values, whatever the model's size."""
    return altered(message, values=np.zeros(10**6, np.uint32))


def _early(malice: Malice) -> list[Message]:
    """All kinds that peers say in a round, large ones, for the one that comes after it."""
    round, large = Round(malice.context.round + 1), bytes(2**24)
    heard = (
        (malice.last(Masked), {"values": np.zeros(10**6, np.uint32)}),
        (malice.last(Shares), {"share": large}),
        (malice.last(NoiseGrant), {"rows": bytes(MAX_COMMITMENT_BYTES)}),
    )
    made = [altered(message, round=round, **changes) for message, changes in heard if message]
    return [Proposal(round, large), *made]


early = flooding(_early, copies=3)
"""Sends everybody large messages of the round after the one that begins."""

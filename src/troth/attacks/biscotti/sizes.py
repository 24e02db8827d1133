"""Peers whose messages are larger than they need be, or than their type allows, so that others have
to hold or decode them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np

from troth.attacks.biscotti.contributors import masking
from troth.attacks.biscotti.floods import flooding
from troth.attacks.biscotti.malice import Attack, Malice, Receivers, altered, sending
from troth.ids import Round
from troth.protocols.biscotti.ledger.block import MAX_COMMITMENT_BYTES
from troth.protocols.biscotti.messages import (
    MAX_NOISERS,
    MAX_SHARE_BYTES,
    Masked,
    NoiseGrant,
    Proposal,
    Shares,
)
from troth.roles.effects import Send, SendBytes
from troth.wire import WIRE_VERSION, Message, encode_array

Make = Callable[[Any], Any]
"""Makes a field's value from the honest one."""


def resized(kind: type[Message], **fields: Make) -> Attack:
    """Sends messages of a kind with some fields made anew, under the honest signature."""

    return sending(kind)(lambda _, to, message: [Send(to, _with(message, fields))])


def beyond(kind: type[Message], **fields: Make) -> Attack:
    """The same with fields that are larger than their type allows, which no codec would encode."""

    @sending(kind)
    def attack(_: Malice, to: Receivers, message: Message) -> Iterable[SendBytes]:
        data = msgspec.msgpack.encode(_with(message, fields), enc_hook=encode_array)
        yield SendBytes(to, bytes((WIRE_VERSION,)) + data)

    return attack


def masked_with(**fields: Make) -> Attack:
    """Signs and sends a masked update with some fields made anew."""
    return masking(lambda _, message: _with(message, fields))


def _with(message: Any, fields: dict[str, Make]) -> Any:
    return altered(message, **{name: make(getattr(message, name)) for name, make in fields.items()})


def _much_noise(uses: Any) -> Any:
    return tuple(altered(use, rows=bytes(MAX_COMMITMENT_BYTES)) for use in uses)


MASKED_SIZES: dict[str, Attack] = {
    "one value more": masked_with(values=lambda values_D: np.append(values_D, np.uint32(0))),
    "no values": masked_with(values=lambda values_D: values_D[:0]),
    "a million values": masked_with(values=lambda _: np.zeros(10**6, np.uint32)),
    "all commitments": masked_with(commitments=lambda _: bytes(MAX_COMMITMENT_BYTES)),
    "twice the blindings": masked_with(blindings=lambda data: 2 * data),
    "all noisers": masked_with(noise=lambda uses: uses[:1] * MAX_NOISERS),
    "much noise": masked_with(noise=_much_noise),
}
"""By what is wrong, masked updates of another size than the model's that a codec does encode."""

endless_share = beyond(Shares, share=lambda _: bytes(MAX_SHARE_BYTES + 1))
"""Deals shares of more bytes than any message may have."""


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

"""How a peer keeps messages that come for the next round until it begins that round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from troth.errors import PeerError
from troth.ids import NodeId
from troth.protocols.biscotti.messages import MESSAGES
from troth.roles.messages import RoundMessage
from troth.wire import Codec, Message

MAX_STASHED_BYTES = 2**20
"""Bytes that are kept of one sender's messages for the next round, beside 16 for each parameter of
the model."""

_CODEC = Codec(MESSAGES)


def most_bytes(dimension: int) -> int:
    """The most bytes that are kept of one sender's messages, for a model of D = `dimension`."""
    return MAX_STASHED_BYTES + 16 * dimension


@dataclass
class Stash:
    """The first message of each kind from each sender, unless they are too large together.

    They are kept encoded: so they take no more memory than their sender has sent.
    """

    dimension: int
    """D, how many parameters the model has."""
    held: dict[NodeId, dict[type[Message], bytes]] = field(default_factory=dict)
    """The messages that are kept, encoded, by sender and kind."""

    @classmethod
    def opened(cls, dimension: int, sealed: tuple[tuple[NodeId, bytes], ...]) -> Stash:
        """The stash that holds again what `sealed` gave."""
        stash = cls(dimension)
        for sender, data in sealed:
            stash.held.setdefault(sender, {})[type(_decoded(sender, data))] = data
        return stash

    def sealed(self) -> tuple[tuple[NodeId, bytes], ...]:
        """All messages with their senders, encoded, to be saved."""
        return tuple((sender, data) for sender, held in self.held.items() for data in held.values())

    def put(self, sender: NodeId, message: RoundMessage) -> None:
        """Keep a message, if it is the first of its kind from `sender`.

        Raises:
          PeerError: with it, `sender` has sent more than `most_bytes`; the culprit is `sender`.
        """
        held, data = self.held.setdefault(sender, {}), _CODEC.encode(message)
        most = most_bytes(self.dimension)
        if type(message) in held:
            return
        if sum(map(len, held.values())) + len(data) > most:
            error = f"sent more than {most} bytes for a round that has not begun"
            raise PeerError(error, culprits=(sender,))
        held[type(message)] = data

    def taken(self) -> Iterator[tuple[NodeId, RoundMessage]]:
        """Take all messages out, each with its sender; what is put from then on is kept anew."""
        sealed = self.sealed()
        self.held = {}
        for sender, data in sealed:
            yield sender, _decoded(sender, data)


def _decoded(sender: NodeId, data: bytes) -> RoundMessage:
    message = _CODEC.decode(data, sender=sender)
    assert isinstance(message, RoundMessage)
    return message

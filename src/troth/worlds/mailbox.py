"""What has arrived at a node and not been taken yet: bounded, in order of arrival."""

from __future__ import annotations

from collections import Counter

from troth.errors import PeerError
from troth.ids import NodeId
from troth.roles.effects import Collect, Receive, Received
from troth.roles.messages import RoundMessage
from troth.wire import Codec, Message

MAX_WAITING_PER_SENDER = 64
"""Messages of one sender that wait at one node; more are refused and blamed on the sender."""


class Envelope:
    """A message as it travels. A broadcast shares one envelope, so it is decoded once; messages are
    frozen and their arrays read-only, so sharing cannot be noticed."""

    __slots__ = ("_message", "data", "sender", "size")

    def __init__(self, sender: NodeId, data: bytes) -> None:
        self.sender = sender
        self.data = data
        self.size = len(data)
        self._message: Message | None = None

    def whole(self) -> bytes:
        """The message's bytes."""
        return self.data

    def open(self, codec: Codec) -> None:
        """Decode the message.

        Raises:
          PeerError: it is malformed; the culprit is the sender.
        """
        if self._message is None:
            self._message = codec.decode(self.data, sender=self.sender)

    @property
    def message(self) -> Message:
        assert self._message is not None, "an envelope is opened before it is read"
        return self._message


def fits_receive(effect: Receive[Message], envelope: Envelope) -> bool:
    """Whether a node waiting in `effect` takes this message."""
    return isinstance(envelope.message, effect.types) and effect.sender in (None, envelope.sender)


def fits_collect(effect: Collect[RoundMessage], envelope: Envelope) -> bool:
    """Whether a node waiting in `effect` takes this message (if it is its sender's first)."""
    message = envelope.message
    return (
        isinstance(message, effect.type)
        and message.round == effect.round
        and envelope.sender in effect.expected
    )


class Mailbox:
    """The messages waiting at one node."""

    def __init__(self) -> None:
        self.waiting: list[Envelope] = []
        self._by_sender: Counter[NodeId] = Counter()
        self._bytes_by_sender: Counter[NodeId] = Counter()

    def load_of(self, sender: NodeId) -> tuple[int, int]:
        """Messages of `sender` that wait here, and their bytes."""
        return self._by_sender[sender], self._bytes_by_sender[sender]

    def put(self, envelope: Envelope) -> None:
        """Keep a message for later.

        Raises:
          PeerError: its sender has `MAX_WAITING_PER_SENDER` messages here already.
        """
        if self._by_sender[envelope.sender] >= MAX_WAITING_PER_SENDER:
            raise PeerError(
                f"has {MAX_WAITING_PER_SENDER} messages waiting already",
                culprits=(envelope.sender,),
            )
        self._by_sender[envelope.sender] += 1
        self._bytes_by_sender[envelope.sender] += envelope.size
        self.waiting.append(envelope)

    def take(self, effect: Receive[Message]) -> Received[Message] | None:
        """The first message that `effect` waits for, if it is here."""
        if not self.waiting:
            return None
        for index, envelope in enumerate(self.waiting):
            if fits_receive(effect, envelope):
                del self.waiting[index]
                self._gone(envelope)
                return Received(envelope.sender, envelope.message)
        return None

    def gather(self, effect: Collect[RoundMessage]) -> dict[NodeId, Envelope]:
        """Every sender's first message that fits; other copies and earlier rounds are thrown
        away."""
        gathered: dict[NodeId, Envelope] = {}
        kept: list[Envelope] = []
        for envelope in self.waiting:
            message = envelope.message
            if fits_collect(effect, envelope):
                gathered.setdefault(envelope.sender, envelope)
            elif not (isinstance(message, effect.type) and message.round <= effect.round):
                kept.append(envelope)
                continue
            self._gone(envelope)
        self.waiting = kept
        return gathered

    def discard(self, envelope: Envelope) -> None:
        """Lose one message, if it is still here."""
        for index, waiting in enumerate(self.waiting):
            if waiting is envelope:
                del self.waiting[index]
                self._gone(envelope)
                return

    def _gone(self, envelope: Envelope) -> None:
        self._by_sender[envelope.sender] -= 1
        self._bytes_by_sender[envelope.sender] -= envelope.size
        if not self._by_sender[envelope.sender]:
            # Strangers come under ever new names.
            del self._by_sender[envelope.sender], self._bytes_by_sender[envelope.sender]

    def clear(self) -> None:
        """Lose everything, as a crash does."""
        self.waiting.clear()
        self._by_sender.clear()
        self._bytes_by_sender.clear()

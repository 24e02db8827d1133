"""Messages as they travel between the nodes of a simulated world."""

from __future__ import annotations

from xxhash import xxh3_128_digest

from troth.ids import NodeId
from troth.pieces import Pieces
from troth.roles.effects import Received
from troth.wire import Message
from troth.worlds.mailbox import Envelope


class SimulatedEnvelope(Envelope):
    """A message as the codec wrote it, or bytes that an attacker made.

    Attributes:
      mark: the sender and a fingerprint of the bytes, for traces.
    """

    __slots__ = ("_received", "mark")

    def __init__(self, sender: NodeId, data: bytes) -> None:
        super().__init__(sender, data)
        self.mark = sender.encode() + xxh3_128_digest(data)
        self._received: Received[Message] | None = None

    @property
    def received(self) -> Received[Message]:
        """What a role gets that waits for this message; all receivers share it."""
        if self._received is None:
            self._received = Received(self.sender, self.message)
        return self._received


class EnvelopeOfPieces(SimulatedEnvelope):
    """A message that was taken apart, and is handed on as the sender's own object."""

    __slots__ = ("pieces",)

    def __init__(self, sender: NodeId, message: Message, pieces: Pieces) -> None:
        self.sender = sender
        self.size = pieces.size
        self.pieces = pieces
        self.mark = sender.encode() + pieces.fingerprint()
        self._message = message
        self._received = None

    def whole(self) -> bytes:
        return self.pieces.join()

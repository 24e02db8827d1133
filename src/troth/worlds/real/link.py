"""What two nodes have sent each other: numbers, and messages that the other side does not hold yet.

**Numbers.** A node numbers the messages to one peer upwards, and never uses a number twice: each
time it starts, it goes on from `starts * 2**32`. A message comes with its own number and with that
of the message before it (`previous`), so nothing can be replayed, reordered or left out unnoticed.

**At least once over the network, at most once to the role.** A receiver tells two numbers with
everything it says: `received`, the highest it holds, and `durable`, the highest that would survive
its crash. A sender forgets a message once it is durable there, and sends it again where `received`
falls back behind it, which is what happens when the receiver was restarted.
"""

from __future__ import annotations

import asyncio
import time

from troth.ids import NodeId
from troth.worlds.real.limits import Limits

MAX_NUMBER = 2**63 - 1
"""Largest number of a message; SQLite keeps no larger one."""

NUMBERS_PER_START = 2**32


class Refusal(Exception):
    """A request of a peer is refused.

    Args:
      status: of the HTTP answer.
      reason: what the peer is told; holds nothing that it sent.
      close: whether the connection has to go: what the peer is still sending is not read.
    """

    def __init__(self, status: int, reason: str, *, close: bool = False) -> None:
        super().__init__(reason)
        self.status, self.reason, self.close = status, reason, close


class Link:
    """What this node and one peer have sent each other, and what is still to be told."""

    def __init__(self, peer: NodeId, *, starts: int, limits: Limits) -> None:
        self.peer = peer
        self.outbox: dict[int, bytes] = {}
        """What the peer does not hold durably, by number, ascending."""
        self.delivered = 0
        """The highest of our numbers that the peer holds."""
        self.durable_there = 0
        """The highest of our numbers of which the peer has said that it would survive its crash."""
        self.received = 0
        """The highest of the peer's numbers that we hold."""
        self.durable = 0
        """The same, if we crashed now."""
        self.heard_s = time.monotonic()
        """When the peer was last heard of; the start counts."""
        self.met = asyncio.Event()
        """Set once the peer was heard of."""
        self.changed = asyncio.Event()
        """Set when there may be something to send or to tell."""
        self._limits = limits
        self._next = starts * NUMBERS_PER_START + 1
        self._outbox_bytes = 0

    @property
    def last_given(self) -> int:
        """The highest number that this node has given to a message. A peer that holds a higher one
        has it from another process of this node, or from before its journal was lost."""
        return self._next - 1

    def restore(self, *, received: int, outbox: dict[int, bytes]) -> None:
        """Go on from what the journal kept of this link before the node was started again."""
        self.received = self.durable = received
        self.outbox = outbox
        self._outbox_bytes = sum(map(len, outbox.values()))

    def send(self, data: bytes) -> None:
        """Put a message into the outbox. Where that is full, the oldest message is given up:
        delivery was never promised, and later messages mostly supersede earlier ones."""
        self.outbox[self._next] = data
        self._next += 1
        self._outbox_bytes += len(data)
        while len(self.outbox) > 1 and (
            len(self.outbox) > self._limits.waiting_messages
            or self._outbox_bytes > self._limits.waiting_bytes
        ):
            self._forget(next(iter(self.outbox)))
        self.changed.set()

    def next_after(self, number: int) -> tuple[int, int, bytes] | None:
        """The first message after `number`, with its number and the one before it (0 if that has
        left the outbox, so is no concern any more)."""
        previous = 0
        for candidate, data in self.outbox.items():
            if candidate > number:
                return candidate, previous, data
            previous = candidate
        return None

    def peer_holds(self, *, received: int, durable: int) -> None:
        """The peer says what it has of ours."""
        self.heard_s = time.monotonic()
        self.met.set()
        self.durable_there = max(self.durable_there, durable)
        for number in [number for number in self.outbox if number <= durable]:
            self._forget(number)
        if received != self.delivered:
            self.delivered = received
            self.changed.set()

    def check(self, number: int, previous: int) -> None:
        """Whether this is the next message of the peer.

        Raises:
          Refusal: it was received before, or one before it was not.
        """
        if number <= self.received:
            raise Refusal(409, f"message {number} was received already")
        if previous > self.received:
            raise Refusal(409, f"message {number} is out of order, message {previous} is missing")

    def give_up(self, number: int) -> None:
        """The peer will not take this message."""
        if number in self.outbox:
            self._forget(number)

    def _forget(self, number: int) -> None:
        self._outbox_bytes -= len(self.outbox.pop(number))

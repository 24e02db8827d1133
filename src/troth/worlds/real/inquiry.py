"""What a node asks a broker: the one question that it waits for an answer to.

Unlike a link, an inquiry numbers nothing and keeps nothing: questions may be asked again as often
as need be, and a newer question takes the place of an older one.
"""

from __future__ import annotations

import asyncio
import time

from troth.ids import NodeId


class Inquiry:
    """A node's questions to `peer`, one at a time."""

    def __init__(self, peer: NodeId) -> None:
        self.peer = peer
        self.question: bytes | None = None
        """The encoded question that is to be asked, until it is answered; None: there is none."""
        self.changed = asyncio.Event()
        """Set when there is another question."""
        self.settled = asyncio.Event()
        """Set while nothing is to be asked."""
        self.settled.set()
        self.heard_s = time.monotonic()
        """When the peer last said anything, on the monotonic clock; the start counts."""

    def ask(self, question: bytes) -> None:
        """Ask this, and nothing that was asked before; the same question goes on being asked."""
        if question != self.question:
            self.question = question
            self.settled.clear()
            self.changed.set()

    def heard(self) -> None:
        """Note that the peer is there: it has just sent something, or taken some of a question."""
        self.heard_s = time.monotonic()

    def answered(self, question: bytes) -> None:
        """Note that the peer has answered `question`; there may be another one already."""
        if self.question is question:
            self.question = None
            self.settled.set()

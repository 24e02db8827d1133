"""A node's only word to a broker: the question that it waits for an answer to.

Unlike a link, a line numbers nothing and keeps nothing: questions may be asked again as often as
need be, and a newer question takes the place of an older one.
"""

from __future__ import annotations

import asyncio
import time

from troth.ids import NodeId


class Line:
    """Towards `peer`, which answers questions."""

    def __init__(self, peer: NodeId) -> None:
        self.peer = peer
        self.question: bytes | None = None
        """What is to be asked, until it is answered."""
        self.changed = asyncio.Event()
        """Set when there is another question."""
        self.settled = asyncio.Event()
        """Set while nothing is to be asked."""
        self.settled.set()
        self.heard_s = time.monotonic()
        """When the peer last said anything; the start counts."""

    def ask(self, question: bytes) -> None:
        """Ask this, and nothing that was asked before. What is being asked already goes on."""
        if question != self.question:
            self.question = question
            self.settled.clear()
            self.changed.set()

    def heard(self) -> None:
        """The peer is there."""
        self.heard_s = time.monotonic()

    def answered(self, question: bytes) -> None:
        """The peer has answered `question`; there may be another one already."""
        if self.question is question:
            self.question = None
            self.settled.set()

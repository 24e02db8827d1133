"""Strangers who wait at a node for the answer to a question: its guests.

Whoever asks something is a guest until it is answered. Neither question nor answer is numbered or
kept: a protocol between strangers lets every question be asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from troth.ids import NodeId
from troth.wire import Message
from troth.worlds.mailbox import Envelope, Mailbox
from troth.worlds.real.commits import Commits
from troth.worlds.real.limits import Limits
from troth.worlds.real.link import Refusal

GUEST = "guest-"
"""How the names of guests begin. No party is called so, see `troth.ids.party_id`."""

GUESTS = NodeId("guests")
"""Under this name the traffic of all guests is counted."""

OVER = Refusal(410, "the training is over")
"""What guests are told who come when the role has returned."""


class GuestEnvelope(Envelope):
    """What a guest asks; it was decoded before it came here, from whatever form it had."""

    __slots__ = ()

    def __init__(self, guest: NodeId, message: Message) -> None:
        super().__init__(guest, b"")
        self._message = message


class Guests:
    """Those who wait now.

    Args:
      mailbox: where the role finds their questions.
      starts: how often the node was started, this time included.
      limits: how many may wait, and what they may take up.
      commits: holds answers until what they depend on is on the disk; None: it is when the role
        answers.
    """

    def __init__(
        self, mailbox: Mailbox, *, starts: int, limits: Limits, commits: Commits | None
    ) -> None:
        self._mailbox = mailbox
        self._starts = starts
        self._limits = limits
        self._commits = commits
        self._waiting: dict[NodeId, asyncio.Future[Message | None]] = {}
        self._so_far = 0
        self._bytes = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @contextmanager
    def asking(
        self, message: Message, size_bytes: int, answer: asyncio.Future[Message | None]
    ) -> Iterator[None]:
        """Within this context a guest waits for `answer`, and its question for the role. Whoever
        leaves it takes the question back, if the role has not taken it yet.

        Args:
          size_bytes: memory that the question takes up while it waits.

        Raises:
          Refusal: there is no room.
        """
        limits = self._limits
        if len(self._waiting) >= limits.guests or self._bytes + size_bytes > limits.guests_bytes:
            raise Refusal(503, f"{len(self._waiting)} questions wait here already, try again later")
        # A guest of before a restart may still be written to: no name is given twice.
        self._so_far += 1
        guest = NodeId(f"{GUEST}{self._starts}-{self._so_far}")
        self._waiting[guest] = answer
        self._bytes += size_bytes
        question = GuestEnvelope(guest, message)
        self._mailbox.put(question)
        try:
            yield
        finally:
            del self._waiting[guest]
            self._bytes -= size_bytes
            self._mailbox.discard(question)

    def answer(self, guest: NodeId, message: Message) -> None:
        """Give a guest the role's answer. One who has gone asks again; for one who is there, the
        first answer counts."""
        answer = self._waiting.get(guest)
        if answer is None:
            return
        tell = partial(_tell, answer, message)
        if self._commits is None:
            tell()
        else:
            self._commits.when_safe(tell)

    def end(self) -> None:
        """Tell all who wait that the role has returned."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(OVER)


def _tell(answer: asyncio.Future[Message | None], message: Message) -> None:
    if not answer.done():
        answer.set_result(message)

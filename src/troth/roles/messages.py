"""Bases of messages, with the facts that stand on the classes of those that strangers exchange."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import ClassVar

from troth.errors import LocalError
from troth.ids import Round
from troth.specification import ModelId
from troth.wire import Channel, Message

MAX_CHARTER_BYTES = 2**20
"""The largest charter, as canonical JSON, that strangers send to each other."""


class RoundMessage(Message, frozen=True):
    """A message of one round, which `Collect` sorts by."""

    round: Round


class AnswerStatus(IntEnum):
    """What an answer comes to for whoever asked; the numbers are those of HTTP (RFC 9110)."""

    ANSWERED = 200
    """The question is answered."""
    FOR_GOOD = 403
    """The question is refused, and asking it again would not help."""
    REJECTED = 409
    """What came with the question is rejected, and whoever asked may go on with another."""
    OVER = 410
    """The training is over."""
    UNPROCESSABLE = 422
    """The question is refused, and another one might not be."""


class Answer(Message, frozen=True):
    """What a node that strangers ask says to them."""

    channel = Channel.ANONYMOUS

    @property
    def status(self) -> AnswerStatus:
        """What this answer comes to; a class that is no plain answer overrides it."""
        return AnswerStatus.ANSWERED

    @property
    def place(self) -> bytes | None:
        """The place that whoever gets this answer has paid for, where the question does not name
        it; None where there is none."""
        return None


class Question(Message, frozen=True):
    """What anybody may ask, without a name, of the node that serves strangers."""

    channel = Channel.ANONYMOUS

    answered_by: ClassVar[Mapping[AnswerStatus, type[Answer]]] = {}
    """The class of the answer by what it comes to. A question states `ANSWERED` at least."""
    is_paid: ClassVar[bool] = False
    """Whether asking has cost something, a solved puzzle for one. Questions that are free wait for
    each other when there are many of them."""
    action: ClassVar[str] = ""
    """The last part of the path that it is asked at; empty: the name of its class in small
    letters."""

    model_id: ModelId

    @property
    def pseudonym(self) -> bytes | None:
        """The name that whoever asks goes by from this question on; None: the same as before.

        One pseudonym is never seen over the connection, or the Tor circuit, of another.
        """
        return None

    @property
    def place(self) -> bytes | None:
        """The place at the broker that this question has paid for, if it is not refused, or claims
        to have; None where there is none.

        One place is worth one connection: the newest that has shown the payment, however often it
        is shown.
        """
        return None


def protocol_messages(*kinds: type[Message]) -> tuple[type[Message], ...]:
    """The messages of one protocol, once each of them states what it has to.

    Raises:
      LocalError: a class states no channel, or a question is answered by nothing or by a class that
        is not among the messages.
    """
    for kind in kinds:
        if getattr(kind, "channel", None) is None:
            raise LocalError(f"{kind.__name__} states no channel")
        if not issubclass(kind, Question):
            continue
        if AnswerStatus.ANSWERED not in kind.answered_by:
            raise LocalError(f"{kind.__name__} states no answer in answered_by")
        for answer in kind.answered_by.values():
            if answer not in kinds:
                raise LocalError(
                    f"{kind.__name__} is answered by {answer.__name__}, which is no message of its "
                    "protocol"
                )
    return kinds

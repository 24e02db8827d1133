"""Base of the messages that belong to a round, which `Collect` sorts by."""

from __future__ import annotations

from troth.ids import Round
from troth.wire import Message


class RoundMessage(Message, frozen=True):
    """A message of one round."""

    round: Round

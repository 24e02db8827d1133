"""What a protocol hands in so that the questions of its strangers are served over HTTP.

What is true of one message stands on its class (see `troth.roles.messages`). The face of a protocol
says the rest: which messages there are, which question may be asked without a body, how a charter
comes, and a few words for the document that describes it all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from troth.roles.messages import Answer, Question
from troth.wire import Message
from troth.worlds.real.api.paths import action


@dataclass(frozen=True)
class Deploying:
    """The question that brings a broker its charter.

    Args:
      question: its class. It is the only one that is taken before a model is known.
      most_bytes: the largest body of one.
      refuse: makes the answer for one that is not acceptable, of the question and the reason.
    """

    question: type[Question]
    most_bytes: int
    refuse: Callable[[Any, str], Answer]


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """One protocol, as a broker shows it to strangers.

    Args:
      title: of the document that describes the API.
      purpose: what a broker of this protocol does, in a sentence; the document begins with it.
      messages: all messages of the protocol; those that are questions are served.
      status: the question that is also asked by `GET`, without a body: how far the training is. It
        has no fields but the model's id.
      deploying: how a charter comes; None: the model is known before anybody asks.
      rejected: what the document says of an answer with the status `REJECTED`.

    Raises:
      ValueError: two questions would be asked at one path, or `status` or `deploying` name a
        question that is not served, or `status` has fields of its own.
    """

    title: str
    purpose: str
    messages: Sequence[type[Message]]
    status: type[Question]
    deploying: Deploying | None = None
    rejected: str = "Rejected; another one might not be."

    def __post_init__(self) -> None:
        if len(self.actions) < len(self.questions):
            raise ValueError(f"{self.title}: two questions have one path")
        named = [self.status, *([self.deploying.question] if self.deploying else [])]
        if not set(named) <= set(self.questions):
            raise ValueError(f"{self.title}: a question is named that is not among the messages")
        if self.status.__struct_fields__ != Question.__struct_fields__:
            raise ValueError(f"{self.title}: {self.status.__name__} cannot be asked without a body")

    @cached_property
    def questions(self) -> tuple[type[Question], ...]:
        """The classes of what may be asked, in the order of `messages`."""
        return tuple(kind for kind in self.messages if issubclass(kind, Question))

    @cached_property
    def actions(self) -> dict[str, type[Question]]:
        """The same by the last part of the path at which each is asked."""
        return {action(kind): kind for kind in self.questions}

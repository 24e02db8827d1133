"""What is said of a message on its class: its channel, and who answers a question."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from wire_messages import Everything, Ping, Update

from troth.errors import LocalError
from troth.protocols.protocol import Protocol
from troth.protocols.registry import PROTOCOLS
from troth.protocols.tormentor.messages import Finished, GradientUpdate, Join, Refused
from troth.roles.messages import Answer, AnswerStatus, Question, RoundMessage, protocol_messages
from troth.wire import Channel, Codec, Message
from troth.worlds.real.reach import reachable_by_tor


class Said(Answer, frozen=True):
    text: str


class Asked(Question, frozen=True):
    answered_by = {AnswerStatus.ANSWERED: Said}


class Unanswered(Question, frozen=True):
    pass


def by_name(protocol: Protocol[Any]) -> str:
    return protocol.name


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=by_name)
def test_every_message_of_every_protocol_states_its_channel(protocol: Protocol[Any]) -> None:
    silent = [
        kind.__name__
        for kind in protocol.message_types()
        if not isinstance(getattr(kind, "channel", None), Channel)
    ]
    assert not silent, f"state a channel on {silent} of {protocol.name}"
    assert bool(protocol.message_types()) == protocol.sends_messages


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=by_name)
def test_every_answer_to_every_question_is_a_message_of_the_protocol(
    protocol: Protocol[Any],
) -> None:
    messages = protocol.message_types()
    assert protocol_messages(*messages) == messages
    asked = [kind for kind in messages if issubclass(kind, Question)]
    answers = {answer for kind in asked for answer in kind.answered_by.values()}
    assert answers == {kind for kind in messages if issubclass(kind, Answer)}
    assert (protocol.topology == "brokered") == bool(asked)


def test_only_protocols_between_strangers_are_reachable_by_tor() -> None:
    able = {each.name for each in PROTOCOLS if reachable_by_tor(each.message_types())}
    assert able == {"tormentor"}
    assert not reachable_by_tor(())
    assert reachable_by_tor((Asked, Said))


def test_one_message_that_is_not_anonymous_keeps_a_protocol_from_tor() -> None:
    class Signed(RoundMessage, frozen=True):
        channel = Channel.AUTHENTICATED

    assert not reachable_by_tor((Asked, Said, Signed))


def test_a_message_without_a_channel_is_refused_when_its_protocol_is_imported() -> None:
    with pytest.raises(LocalError, match="Ping states no channel"):
        protocol_messages(Asked, Said, Ping)


def test_a_question_without_an_answer_is_refused() -> None:
    with pytest.raises(LocalError, match="Unanswered states no answer"):
        protocol_messages(Unanswered, Said)


def test_an_answer_of_another_protocol_is_refused() -> None:
    with pytest.raises(LocalError, match="Asked is answered by Said, which is no message"):
        protocol_messages(Asked)


def test_facts_are_inherited() -> None:
    class AskedOnceMore(Asked, frozen=True):
        is_paid = True

    assert AskedOnceMore.answered_by == {AnswerStatus.ANSWERED: Said}
    assert (AskedOnceMore.is_paid, Asked.is_paid) == (True, False)
    assert AskedOnceMore.channel is Channel.ANONYMOUS


def test_facts_are_never_sent() -> None:
    """What a message with facts looks like on the wire is what its fields make of it."""
    for kind in (
        *(Ping, Update, Everything),
        *(each for p in PROTOCOLS for each in p.message_types()),
    ):
        facts = {"channel", "answered_by", "is_paid", "action", "pseudonym", "status", "place"}
        assert not facts & set(kind.__struct_fields__), kind
        assert kind.__struct_config__.tag == kind.__name__
    asked = Codec((Asked, Said)).encode(Asked("m"))
    assert asked == b"\x01" + msgspec.msgpack.encode(["Asked", "m"])


def test_the_status_of_an_answer_is_one_that_its_questions_name() -> None:
    puzzle: Any = object()
    nothing = np.zeros(0, np.float32)
    made: list[tuple[Message, AnswerStatus]] = [
        (Refused(b"t", "no"), AnswerStatus.UNPROCESSABLE),
        (Refused(b"t", "no", final=True), AnswerStatus.FOR_GOOD),
        (Refused(b"t", "no", params_D=nothing, puzzle=puzzle), AnswerStatus.REJECTED),
        (Finished("m", 1, nothing), AnswerStatus.OVER),
        (Said("yes"), AnswerStatus.ANSWERED),
    ]
    for answer, status in made:
        assert isinstance(answer, Answer)
        assert answer.status is status
        if not isinstance(answer, Said):
            assert GradientUpdate.answered_by[status] is type(answer)


def test_only_who_joins_takes_a_new_name() -> None:
    assert Join("m", b"k" * 32).pseudonym == b"k" * 32
    assert Asked("m").pseudonym is None

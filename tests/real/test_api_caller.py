"""A node that asks a broker: what it tries again, what it gives up, whom it believes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from brokers import (
    CHARTER,
    CODEC,
    MODEL_ID,
    OTHER_ID,
    RunningBroker,
    provider_key,
    running_broker,
    with_broker,
)
from real_nodes import Watcher

from troth import streams
from troth.crypto.identity import Identity
from troth.engines.local import InlineEngine
from troth.errors import RoundFailedError, UnreachableError, UsageError, VerificationError
from troth.ids import NodeId
from troth.protocols.tormentor.messages import (
    MESSAGES,
    Admission,
    Delivery,
    Finished,
    Join,
    Progress,
    Status,
)
from troth.protocols.tormentor.operation.face import fetch_status
from troth.protocols.tormentor.protocol import BROKER
from troth.roles.messages import Answer, Question
from troth.roles.node import Node
from troth.wire import Codec, Message
from troth.worlds.real.api.address import Address, parse_address
from troth.worlds.real.api.caller import PIECE_BYTES, Caller, _pieces
from troth.worlds.real.api.fetch import fetch_charter
from troth.worlds.real.host import Host
from troth.worlds.real.inquiry import Inquiry
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits

JOIN = Join(MODEL_ID, provider_key().public)


class Asker:
    """A node whose role asks what it is given, one question after the other."""

    def __init__(self, folder: Path, *questions: Question, limits: Limits | None = None) -> None:
        self.questions = questions
        self.answers: list[Message] = []
        self.answered = asyncio.Event()
        self.next = asyncio.Event()
        self.next.set()
        self.watcher = Watcher()
        self.journal = Journal(folder / "asker.sqlite", node=NodeId("asker"), run="run")
        limits = limits or Limits()
        stream = streams.learning(1)
        self.host = Host(
            Node(NodeId("asker"), stream, stream.child("secret")),
            self._role,
            peers=(),
            inquiry=Inquiry(BROKER),
            codec=Codec(MESSAGES, max_bytes=limits.body_bytes),
            engine=InlineEngine(None),
            journal=self.journal,
            observer=self.watcher,
            limits=limits,
        )

    async def _role(self, node: Node) -> None:
        for question in self.questions:
            await node.send(BROKER, question)
            received = await node.receive(Answer, Finished, sender=BROKER)
            assert received is not None
            self.answers.append(received.message)
            self.answered.set()

    async def run(self, address: Address) -> list[Message]:
        """Until the role returns, or the caller gives up."""
        caller = asyncio.create_task(Caller(self.host, address).run())
        playing = asyncio.create_task(self.host.run())
        try:
            await asyncio.wait((caller, playing), return_when=asyncio.FIRST_COMPLETED)
            await (caller if caller.done() else playing)
        finally:
            for task in (caller, playing):
                task.cancel()
            await asyncio.gather(caller, playing, return_exceptions=True)
            self.journal.close()
        return self.answers


def test_questions_are_asked_and_answered(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        answers = await Asker(tmp_path, Status(MODEL_ID), JOIN).run(broker.address)
        assert [type(answer) for answer in answers] == [Progress, Admission]

    with_broker(tmp_path, test, curated=True)


def test_a_broker_that_is_started_again_goes_on_being_asked(tmp_path: Path) -> None:
    """On the same port, with nothing lost but the connection."""

    async def run() -> None:
        identity = Identity.create()
        asker = Asker(tmp_path, *[Status(MODEL_ID)] * 3, JOIN)
        async with running_broker(tmp_path, identity=identity, curated=True) as broker:
            address = broker.address
        running = asyncio.create_task(asker.run(address))
        for _ in range(2):
            asker.answered.clear()
            async with running_broker(tmp_path, identity=identity, port=address.port):
                await asker.answered.wait()
        async with running_broker(tmp_path, identity=identity, port=address.port):
            answers = await running
        assert [type(answer) for answer in answers] == [Progress, Progress, Progress, Admission]

    asyncio.run(run())


def test_a_held_question_is_asked_until_it_is_answered(tmp_path: Path) -> None:
    asked = []

    async def slow(node: Node) -> None:
        for _ in range(3):
            received = await node.receive(Question)
            assert received is not None
            asked.append(received.sender)
        await node.send(received.sender, Progress(1, 2, 3))
        await node.sleep(3600.0)

    async def test(broker: RunningBroker) -> None:
        assert await Asker(tmp_path, Status(MODEL_ID)).run(broker.address) == [Progress(1, 2, 3)]
        assert len(set(asked)) == 3

    with_broker(tmp_path, test, role=slow, limits=Limits(longest_hold_s=0.2))


def test_a_question_is_held_no_longer_than_who_asks_waits_for_its_broker(tmp_path: Path) -> None:
    """It took a broker for gone that held its question, as brokers do for half a minute."""

    async def slow(node: Node) -> None:
        await node.receive(Question)
        received = await node.receive(Question)
        assert received is not None
        await node.send(received.sender, Progress(1, 2, 3))
        await node.sleep(3600.0)

    async def test(broker: RunningBroker) -> None:
        asker = Asker(tmp_path, Status(MODEL_ID), limits=Limits(unreachable_s=4.0))
        assert await asker.run(broker.address) == [Progress(1, 2, 3)]

    with_broker(tmp_path, test, role=slow)


def test_who_is_asked_too_often_is_asked_again_later(tmp_path: Path) -> None:
    limits = Limits(requests_at_once=1, requests_per_s=5.0)

    async def test(broker: RunningBroker) -> None:
        answers = await Asker(tmp_path, Status(MODEL_ID), JOIN).run(broker.address)
        assert [type(answer) for answer in answers] == [Progress, Admission]

    with_broker(tmp_path, test, curated=True, limits=limits)


def test_whoever_is_not_the_broker_is_not_believed(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        elsewhere = replace(broker.address, public=Identity.create().public)
        with pytest.raises(VerificationError, match="cannot prove to be the broker"):
            await Asker(tmp_path, JOIN).run(elsewhere)
        with pytest.raises(VerificationError):
            await fetch_charter(elsewhere)

    with_broker(tmp_path, test, curated=True)


def test_a_question_that_is_never_taken_ends_the_run(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        with pytest.raises(RoundFailedError, match="take a Status: no such model here"):
            await Asker(tmp_path, Status(OTHER_ID)).run(broker.address)

    with_broker(tmp_path, test, curated=True)


def test_a_broker_that_is_not_there_is_missed(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_broker(tmp_path) as broker:
            address = broker.address
        with pytest.raises(UnreachableError, match="has not heard of broker for 1 s"):
            await Asker(tmp_path, JOIN, limits=Limits(unreachable_s=1.0)).run(address)
        with pytest.raises(UnreachableError, match="does not answer"):
            await fetch_status(address, limits=Limits(unreachable_s=1.0))

    asyncio.run(run())


def test_while_a_question_goes_out_somebody_is_there() -> None:
    """A large one may take longer, by Tor, than a broker may be silent."""
    question, heard = bytes(range(256)) * (PIECE_BYTES // 100), []

    async def run() -> bytes:
        pieces = _pieces(question, lambda: heard.append(len(heard)))
        return b"".join([bytes(piece) async for piece in pieces])

    assert asyncio.run(run()) == question
    assert len(heard) == -(-len(question) // PIECE_BYTES) > 1


def test_the_broker_learns_nothing_of_who_asks(tmp_path: Path) -> None:
    """Every header that a client sends, as it comes."""
    heads: list[bytes] = []

    async def run() -> None:
        async with running_broker(tmp_path, curated=True) as broker:
            protocol = broker.server._server._config.http_protocol_class
            original = protocol.data_received

            def data_received(self: object, data: bytes) -> None:
                heads.append(data)
                original(self, data)

            protocol.data_received = data_received
            await Asker(tmp_path, JOIN).run(broker.address)
            await fetch_charter(broker.address)
            names = sorted({line.split(b":")[0] for head in heads for line in _head_lines(head)})
            assert names == [
                b"accept",
                b"accept-encoding",
                b"connection",
                b"content-length",
                b"content-type",
                b"host",
            ]

    asyncio.run(run())


def test_another_pseudonym_comes_over_another_connection(tmp_path: Path) -> None:
    opened: list[object] = []

    async def test(broker: RunningBroker) -> None:
        protocol = broker.server._server._config.http_protocol_class
        original = protocol.connection_made

        def connection_made(self: object, transport: object) -> None:
            opened.append(transport)
            original(self, transport)

        protocol.connection_made = connection_made
        bob = Join(MODEL_ID, provider_key("bob").public)
        await Asker(tmp_path, Status(MODEL_ID), JOIN, JOIN, bob).run(broker.address)
        assert len(opened) == 2

    with_broker(tmp_path, test, curated=True)


def test_a_model_that_has_arrived_need_not_be_confirmed_for_ever(tmp_path: Path) -> None:
    """The broker has gone on: nobody waits for its answer, and nothing has failed."""

    async def done(node: Node) -> None:
        await node.sleep(0.0)

    async def test(broker: RunningBroker) -> None:
        assert broker.host is not None
        asker = Asker(tmp_path)
        await asker.host.run()
        asker.host.inquiry.ask(CODEC.encode(Delivery(MODEL_ID, bytes(64))))
        calling = asyncio.create_task(Caller(asker.host, broker.address).run())
        async with asyncio.timeout(20.0):
            while asker.host.inquiry.question is not None:
                await asyncio.sleep(0.01)
                assert not calling.done()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        asker.journal.close()

    with_broker(tmp_path, test, role=done)


def _head_lines(data: bytes) -> list[bytes]:
    if not data.startswith((b"GET", b"POST")):
        return []
    head, _, _ = data.partition(b"\r\n\r\n")
    return [line.lower() for line in head.split(b"\r\n")[1:]]


# ---------------------------------------------------------------- without a role


def test_the_charter_and_the_status_can_be_had(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        assert await fetch_charter(broker.address) == CHARTER
        assert await fetch_status(broker.address) == Progress(0, 0, 0)
        with pytest.raises(RoundFailedError, match="no such model here"):
            await fetch_charter(replace(broker.address, model_id=OTHER_ID))
        with pytest.raises(UsageError, match="names no model"):
            await fetch_charter(replace(broker.address, model_id=None))
        deployed = broker.server._deployed
        assert deployed is not None
        broker.server._deployed = replace(deployed, charter=b"{}")
        with pytest.raises(VerificationError, match="another charter"):
            await fetch_charter(broker.address)

    with_broker(tmp_path, test, curated=True)


KEY = "ab" * 32


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "broker.example", "a" * 56 + ".onion"])
@pytest.mark.parametrize("path", ["", f"/{MODEL_ID}"])
def test_an_address_reads_back(host: str, path: str) -> None:
    text = f"https://{KEY}@{host}:8443{path}"
    address = parse_address(text)
    assert str(address) == text
    assert (address.public, address.port) == (KEY, 8443)
    assert (address.host, address.model_id) == (host.strip("[]"), path[1:] or None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"http://{KEY}@host:1", "is not of the form"),
        (f"https://{KEY}:secret@host:1", "is not of the form"),
        (f"https://{KEY}@host:1?x=1", "is not of the form"),
        ("https://host:1", "lacks the broker's key"),
        (f"https://{KEY[1:]}@host:1", "lacks the broker's key"),
        (f"https://{KEY}@host", "lacks the broker's host or port"),
        (f"https://{KEY}@:1", "lacks the broker's host or port"),
        (f"https://{KEY}@host:99999", "is no URL"),
        (f"https://{KEY}@[host:1", "is no URL"),
        (f"https://{KEY}@host:1/{MODEL_ID}0", "names no model"),
        (f"https://{KEY}@host:1/v1/models", "names no model"),
        ("\x1b[2J" + "x" * 5000, "is not of the form"),
    ],
)
def test_what_is_no_address_is_a_mistake(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        parse_address(text)
    assert str(caught.value.message).isprintable()
    assert len(caught.value.message) < 400

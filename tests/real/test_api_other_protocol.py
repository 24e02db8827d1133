"""The HTTP interface knows no protocol: one made up here is served over TLS, by its face alone."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from openapi_spec_validator import validate
from real_nodes import Watcher

import troth.worlds.real.api
from troth import streams
from troth.crypto.identity import Identity
from troth.engines.local import InlineEngine
from troth.ids import NodeId, Round
from troth.roles.messages import Answer, AnswerStatus, Question, protocol_messages
from troth.roles.node import Node, Role
from troth.wire import Codec, Float32s
from troth.worlds.real.api.address import Address
from troth.worlds.real.api.caller import Caller
from troth.worlds.real.api.face import Deploying, Face
from troth.worlds.real.api.fetch import fetch_answer
from troth.worlds.real.api.openapi import openapi
from troth.worlds.real.api.page import page_html
from troth.worlds.real.api.paths import path_of
from troth.worlds.real.api.server import BrokerServer, Deployed
from troth.worlds.real.carrying import while_carried
from troth.worlds.real.host import Host
from troth.worlds.real.inquiry import Inquiry
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.tls import stranger_context

MODEL_ID = f"sha256:{'7' * 64}"
ORACLE, ASKER = NodeId("oracle"), NodeId("asker")


class Doubled(Answer, frozen=True):
    """Twice what was asked about."""

    number: int


class Unasked(Answer, frozen=True):
    """Nobody has asked for so much."""

    @property
    def status(self) -> AnswerStatus:
        return AnswerStatus.UNPROCESSABLE


class Double(Question, frozen=True):
    """Anybody: what is twice this?"""

    answered_by = {AnswerStatus.ANSWERED: Doubled, AnswerStatus.UNPROCESSABLE: Unasked}
    action = "twice"

    number: int


class Last(Question, frozen=True):
    """Anybody: what was the last answer?"""

    answered_by = {AnswerStatus.ANSWERED: Doubled}


MESSAGES = protocol_messages(Double, Last, Doubled, Unasked)
CODEC = Codec(MESSAGES)
FACE = Face(title="An oracle", purpose="Doubles numbers.", messages=MESSAGES, status=Last)


async def oracle(node: Node) -> Float32s | None:
    last = 0
    while True:
        received = await node.receive(Question)
        assert received is not None
        match received.message:
            case Double(number=number) if number > 100:
                await node.send(received.sender, Unasked())
                continue
            case Double(number=number):
                last = 2 * number
        await node.send(received.sender, Doubled(last))


async def asker(node: Node) -> Float32s | None:
    await node.send(ORACLE, Double(MODEL_ID, 21))
    received = await node.receive(Doubled, sender=ORACLE)
    assert received is not None
    answer = np.array([received.message.number], np.float32)
    await node.report(Round(1), answer)
    return answer


def make_host(folder: Path, id: NodeId, role: Role, inquiry: Inquiry | None = None) -> Host:
    stream = streams.learning(1)
    return Host(
        Node(id, stream, stream.child("secret")),
        role,
        peers=(),
        codec=CODEC,
        engine=InlineEngine(None),
        journal=Journal(folder / f"{id}.sqlite", node=id, run="run"),
        observer=Watcher(),
        limits=Limits(),
        inquiry=inquiry,
    )


@asynccontextmanager
async def running_oracle(folder: Path) -> AsyncIterator[Address]:
    host = make_host(folder, ORACLE, oracle)
    running = asyncio.create_task(host.run())
    identity = Identity.create()
    server = BrokerServer(FACE, identity, Limits(), deployed=Deployed(host, MODEL_ID, b"{}"))
    try:
        yield Address(identity.public, "127.0.0.1", await server.open("127.0.0.1", 0), MODEL_ID)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await server.close()
        host._journal.close()


def client_of(address: Address) -> httpx.AsyncClient:
    tls = stranger_context(address.public)
    return httpx.AsyncClient(base_url=address.url, verify=tls, trust_env=False, timeout=20.0)


def test_a_question_is_answered_by_the_role(tmp_path: Path) -> None:
    async def test() -> None:
        async with running_oracle(tmp_path) as address, client_of(address) as client:
            question = Double(MODEL_ID, 4)
            assert path_of(question) == f"/v1/models/{MODEL_ID}/twice"
            answer = await client.post(
                path_of(question),
                content=CODEC.encode(question),
                headers={"content-type": "application/msgpack"},
            )
            assert answer.status_code == 200
            assert CODEC.decode(answer.content, sender=ORACLE) == Doubled(8)
            answer = await client.post(
                path_of(question), json={"model_id": MODEL_ID, "number": 101}
            )
            assert (answer.status_code, answer.json()) == (422, {"type": "Unasked"})
            answer = await client.get(f"/v1/models/{MODEL_ID}")
            assert answer.json() == {"type": "Doubled", "number": 8}
            answer = await client.post(f"/v1/models/{MODEL_ID}/join", json={"model_id": MODEL_ID})
            assert answer.status_code == 404
            assert await fetch_answer(FACE, address) == Doubled(8)

    asyncio.run(test())


def test_a_role_asks_and_is_answered(tmp_path: Path) -> None:
    async def test() -> None:
        async with running_oracle(tmp_path) as address:
            host = make_host(tmp_path, ASKER, asker, Inquiry(ORACLE))
            found = await while_carried(Caller(host, address).run(), host.run())
            assert found is not None
            assert found.tolist() == [42.0]
            assert {name: count for name, (count, _) in host.tally.sent[ORACLE].items()} == {
                "Double": 1
            }
            host._journal.close()

    asyncio.run(test())


def test_its_document_names_its_own_messages_only() -> None:
    document = openapi(FACE)
    validate(document)
    assert document["info"]["title"] == "An oracle"
    assert document["info"]["description"].startswith("Doubles numbers. Whoever asks")
    schemas = {"Double", "Doubled", "Last", "Unasked", "Error", "HeldBack"}
    assert document["components"]["schemas"].keys() == schemas
    responses = document["paths"]["/v1/models/{model_id}/twice"]["post"]["responses"]
    assert {"200", "202", "410", "422"} <= responses.keys()
    assert not {"403", "409"} & responses.keys()
    assert "An oracle" in page_html(FACE).decode()


def test_a_face_that_cannot_be_served_is_refused() -> None:
    class Twice(Last, frozen=True):
        """Asked where `Double` is."""

    with pytest.raises(ValueError, match="two questions have one path"):
        Face(title="x", purpose="x", messages=(*MESSAGES, Twice), status=Last)
    with pytest.raises(ValueError, match="not among the messages"):
        Face(title="x", purpose="x", messages=(Double, Doubled), status=Last)
    deploying = Deploying(Twice, 1, lambda *_: Unasked())
    with pytest.raises(ValueError, match="not among the messages"):
        Face(title="x", purpose="x", messages=MESSAGES, status=Last, deploying=deploying)
    with pytest.raises(ValueError, match="cannot be asked without a body"):
        Face(title="x", purpose="x", messages=MESSAGES, status=Double)


def test_the_interface_imports_no_protocol() -> None:
    folder = Path(troth.worlds.real.api.__file__).parent
    imported = [
        (file.name, node.module)
        for file in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    ]
    assert ("server.py", "troth.roles.messages") in imported
    assert not [found for found in imported if found[1].startswith("troth.protocols")]

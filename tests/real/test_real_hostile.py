"""Whatever a peer, or anybody else, says to a hub: refused with a reason, and the hub stays up."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from real_nodes import (
    ANN,
    BOB,
    DURABLE,
    NOTHING_YET,
    NUMBER,
    RECEIVED,
    SERVER,
    RudeHub,
    Said,
    rude_hub,
    said,
    silent,
)

from troth.crypto.identity import Identity
from troth.roles.node import Node
from troth.worlds.real.limits import Limits
from troth.worlds.real.tls import client_context

SMALL = Limits(body_bytes=4096, waiting_messages=5, longest_poll_s=5.0)
HELLO = said(1, np.ones(3, np.float32))


def with_hub(
    folder: Path,
    test: Callable[[RudeHub], Awaitable[None]],
    limits: Limits = SMALL,
    **options: object,
) -> None:
    async def run() -> None:
        async with rude_hub(folder, limits, **options) as hub:
            await test(hub)

    asyncio.run(run())


async def check_serves(hub: RudeHub, who: str = BOB) -> None:
    """Somebody else still gets an answer from the role."""
    async with hub.client(who) as client:
        number = hub.host.links[who].received + 1
        answer = await client.put(f"/v1/inbox/{number}?previous={number - 1}", content=HELLO)
        assert answer.status_code == 204, answer.text
        answer = await client.get("/v1/outbox?wait_ms=5000")
        assert answer.status_code == 200
        assert answer.content == HELLO


def test_a_message_is_echoed(tmp_path: Path) -> None:
    with_hub(tmp_path, check_serves)


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/v1/inbox/1?previous=0", b"\x01nonsense", 400, "malformed"),
        ("/v1/inbox/1?previous=0", b"", 400, "sent nothing"),
        ("/v1/inbox/1?previous=0", b"\x07" + HELLO[1:], 400, "wire version"),
        ("/v1/inbox/1?previous=0", bytes(5000), 413, "5000 bytes are more than 4096"),
        ("/v1/inbox/2?previous=1", HELLO, 409, "message 1 is missing"),
        ("/v1/inbox/0?previous=0", HELLO, 409, "message 0 was received already"),
        ("/v1/inbox/1", HELLO, 400, "number"),
        ("/v1/inbox/-1?previous=0", HELLO, 400, "number"),
        ("/v1/inbox/9223372036854775808?previous=0", HELLO, 400, "above"),
        ("/v1/inbox/" + "9" * 5000 + "?previous=0", HELLO, 400, "number"),
        ("/v1/inbox/\u0661?previous=0", HELLO, 400, "number"),
        ("/v1/elsewhere", HELLO, 404, ""),
    ],
)
def test_a_bad_message_is_refused_with_a_reason(
    tmp_path: Path, path: str, body: bytes, status: int, reason: str
) -> None:
    async def test(hub: RudeHub) -> None:
        async with hub.client() as client:
            answer = await client.put(path, content=body)
            assert answer.status_code == status
            assert reason in answer.text
        assert hub.host.links[ANN].received == 0
        # Only what could have been a message is blamed on its sender.
        assert [error.culprits for error in hub.watcher.errors] == [(ANN,)] * (
            status == 400 and "number" not in reason and "above" not in reason
        )
        await check_serves(hub)

    with_hub(tmp_path, test)


@pytest.mark.parametrize(
    "headers",
    [{}, {RECEIVED: "x", DURABLE: "0"}, {RECEIVED: "1", DURABLE: "2"}, {RECEIVED: "1"}],
)
def test_bad_headers_are_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async def test(hub: RudeHub) -> None:
        async with hub.client() as client:
            client.headers = httpx.Headers(headers)
            assert (await client.get("/v1/outbox?wait_ms=1")).status_code == 400
        await check_serves(hub)

    with_hub(tmp_path, test)


async def flood(hub: RudeHub, head: str) -> int:
    """Send a request with this head and chunks for as long as they are taken, up to 64 MiB; the
    bytes that were."""
    _reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        hub.port,
        ssl=client_context(hub.identities[ANN], hub.identities[SERVER].public),
        server_hostname="a",
    )
    writer.write(f"{head}\r\n\r\n".encode())
    sent_bytes = 0
    with suppress(ConnectionError, TimeoutError):
        while sent_bytes < 64 * 2**20:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await asyncio.wait_for(writer.drain(), 2.0)
            sent_bytes += 0x10000
    writer.close()
    return sent_bytes


@pytest.mark.parametrize(
    ("request_line", "length"),
    [
        ("DELETE /v1/link", ""),
        ("POST /v1/link", ""),
        ("PUT /v1/nowhere", ""),
        # Beside a length, chunks are not read.
        ("PUT /v1/inbox/1?previous=0", "content-length: 4\r\n"),
        ("GET /v1/outbox?wait_ms=10000", "content-length: 4\r\n"),
    ],
)
def test_a_body_that_nobody_reads_is_not_taken(
    tmp_path: Path, request_line: str, length: str
) -> None:
    async def test(hub: RudeHub) -> None:
        head = f"{request_line} HTTP/1.1\r\nhost: a\r\n{RECEIVED}: 0\r\n{DURABLE}: 0\r\n{length}"
        assert await flood(hub, f"{head}transfer-encoding: chunked") < 8 * 2**20
        assert hub.host.links[ANN].received == 0
        await check_serves(hub)

    with_hub(tmp_path, test)


def test_a_replayed_message_reaches_the_role_once(tmp_path: Path) -> None:
    async def test(hub: RudeHub) -> None:
        async with hub.client() as client:
            assert (await client.put("/v1/inbox/7?previous=0", content=HELLO)).status_code == 204
            for _ in range(3):
                again = await client.put("/v1/inbox/7?previous=0", content=HELLO)
                assert again.status_code == 409
                assert again.text == "message 7 was received already"
            first = await client.get("/v1/outbox?wait_ms=5000")
            held = {RECEIVED: first.headers[NUMBER], DURABLE: "0"}
            second = await client.get("/v1/outbox?wait_ms=50", headers=held)
            assert (first.status_code, second.status_code) == (200, 204)

    with_hub(tmp_path, test)


class Heard(msgspec.Struct, frozen=True):
    round: int


async def forgetful(node: Node) -> None:
    """Keep what comes, from the second message on."""
    while True:
        received = await node.receive(Said)
        assert received is not None
        if received.message.round > 1:
            await node.save(Heard(received.message.round))
        await node.send(received.sender, received.message)


def test_nothing_is_called_durable_before_it_is_saved(tmp_path: Path) -> None:
    async def test(hub: RudeHub) -> None:
        held = dict(NOTHING_YET)
        async with hub.client() as client:
            for round, durable in ((1, "0"), (2, "2")):
                body = said(round, np.ones(3, np.float32))
                await client.put(f"/v1/inbox/{round}?previous={round - 1}", content=body)
                echoed = await client.get("/v1/outbox?wait_ms=5000", headers=held)
                held[RECEIVED] = echoed.headers[NUMBER]
                assert (echoed.headers[RECEIVED], echoed.headers[DURABLE]) == (str(round), durable)

    with_hub(tmp_path, test, role=forgetful)


def test_who_speaks_no_tls_or_an_old_one_gets_nothing(tmp_path: Path) -> None:
    async def test(hub: RudeHub) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(b"GET /v1/link HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = await reader.read()
        # A TLS alert at most, and nothing of HTTP.
        assert b"HTTP" not in answer
        writer.close()
        old = client_context(hub.identities[ANN], hub.identities[SERVER].public)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        # An alert, or the connection is reset before it is read.
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", hub.port, ssl=old, server_hostname="a")
        await check_serves(hub)

    with_hub(tmp_path, test)


def test_a_stranger_is_turned_away_in_the_handshake(tmp_path: Path) -> None:
    async def test(hub: RudeHub) -> None:
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
        stranger = client_context(Identity.create(), hub.identities[SERVER].public)
        for context in (nobody, stranger):
            async with httpx.AsyncClient(
                base_url=f"https://127.0.0.1:{hub.port}", verify=context, trust_env=False
            ) as client:
                with pytest.raises(httpx.TransportError):
                    await client.get("/v1/link")
        await check_serves(hub)

    with_hub(tmp_path, test)


def test_a_flooding_peer_is_slowed_and_others_are_not(tmp_path: Path) -> None:
    limits = Limits(body_bytes=4096, requests_per_s=0.001, requests_at_once=20)

    async def test(hub: RudeHub) -> None:
        async with hub.client() as client:
            statuses = [(await client.get("/v1/link")).status_code for _ in range(25)]
            assert statuses == [204] * 20 + [429] * 5
            assert "requests per second" in (await client.get("/v1/link")).text
        await check_serves(hub)

    with_hub(tmp_path, test, limits)


@pytest.mark.parametrize(("values", "held"), [(3, 5), (900, 2)], ids=["messages", "bytes"])
def test_what_waits_for_a_slow_role_is_bounded(tmp_path: Path, values: int, held: int) -> None:
    limits = Limits(body_bytes=4096, waiting_messages=5, waiting_bodies=2)
    body = said(1, np.ones(values, np.float32))

    async def test(hub: RudeHub) -> None:
        async with hub.client() as client:
            for number in range(1, held + 1):
                path = f"/v1/inbox/{number}?previous={number - 1}"
                assert (await client.put(path, content=body)).status_code == 204
            for _ in range(3):
                path = f"/v1/inbox/{held + 1}?previous={held}"
                refused = await client.put(path, content=body)
                assert refused.status_code == 429
                assert refused.text == f"{held} messages wait here already, try again later"
        async with hub.client(BOB) as client:
            assert (await client.put("/v1/inbox/1?previous=0", content=body)).status_code == 204

    with_hub(tmp_path, test, limits, role=silent)


def test_what_waits_for_a_slow_peer_is_bounded(tmp_path: Path) -> None:
    async def test(hub: RudeHub) -> None:
        link = hub.host.links[ANN]
        for _ in range(1000):
            link.send(HELLO)
        assert len(link.outbox) == SMALL.waiting_messages
        # What was given up is the oldest.
        async with hub.client() as client:
            number = int((await client.get("/v1/outbox?wait_ms=0")).headers[NUMBER])
        assert number == min(link.outbox) == max(link.outbox) - SMALL.waiting_messages + 1

    with_hub(tmp_path, test)


def test_slow_senders_are_cut_off(tmp_path: Path) -> None:
    """One who never sends a request, and one whose body does not come."""
    limits = Limits(body_bytes=4096, handshake_s=0.2, body_s=0.2)

    async def test(hub: RudeHub) -> None:
        context = client_context(hub.identities[ANN], hub.identities[SERVER].public)
        for first in (
            b"",
            b"PUT /v1/inbox/1?previous=0 HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n"
            b"troth-received: 0\r\ntroth-durable: 0\r\n\r\nabc",
        ):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", hub.port, ssl=context, server_hostname="a"
            )
            writer.write(first)
            async with asyncio.timeout(10.0):
                try:
                    answer = await reader.read()
                except ConnectionResetError:
                    answer = b""
            assert answer.startswith(b"HTTP/1.1 408" if first else b"")
            assert bool(answer) == bool(first)
            writer.close()
        await check_serves(hub)

    with_hub(tmp_path, test, limits)


def test_one_peer_has_only_so_many_connections(tmp_path: Path) -> None:
    async def test(hub: RudeHub) -> None:
        context = client_context(hub.identities[ANN], hub.identities[SERVER].public)
        streams = []
        for place in range(SMALL.connections_per_peer + 2):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", hub.port, ssl=context, server_hostname="a"
            )
            streams.append(writer)
            writer.write(
                b"GET /v1/link HTTP/1.1\r\nhost: a\r\ntroth-received: 0\r\ntroth-durable: 0\r\n\r\n"
            )
            try:
                answer = await reader.read(12)
            except ConnectionResetError:
                answer = b""
            assert answer == (b"HTTP/1.1 204" if place < SMALL.connections_per_peer else b"")
        await check_serves(hub)
        for writer in streams:
            writer.close()

    with_hub(tmp_path, test)


def test_answers_tell_nothing_of_the_machine(tmp_path: Path) -> None:
    async def test(hub: RudeHub) -> None:
        async with hub.client() as client:
            answer = await client.get("/v1/link")
        assert sorted(answer.headers) == [DURABLE, RECEIVED]

    with_hub(tmp_path, test)

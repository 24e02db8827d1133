"""Whatever strangers say to a broker: refused with a reason, and memory stays bounded."""

from __future__ import annotations

import asyncio
import ssl
import tracemalloc
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest
from brokers import (
    CODEC,
    JSON,
    MODEL_ID,
    MSGPACK,
    RunningBroker,
    ask,
    join,
    make_plan,
    message_in,
    post,
    provider_key,
    solve,
    update,
    with_broker,
)

from troth.errors import PeerError
from troth.protocols.tormentor.messages import (
    Admission,
    Curate,
    Delivered,
    GradientUpdate,
    Join,
    Leave,
    Next,
    Progress,
    Status,
)
from troth.roles.messages import Question
from troth.roles.node import Node
from troth.wire import MAX_ELEMENTS
from troth.worlds.real.api.forms import decode
from troth.worlds.real.api.paths import path_of
from troth.worlds.real.limits import Limits
from troth.worlds.real.tls import stranger_context

MODEL = f"/v1/models/{MODEL_ID}"


def head(path: str, length: int, method: str = "POST") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {MSGPACK}\r\n"
        f"content-length: {length}\r\n\r\n"
    ).encode()


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(broker: RunningBroker) -> Streams:
    return await asyncio.open_connection(
        "127.0.0.1",
        broker.port,
        ssl=stranger_context(broker.identity.public),
        server_hostname="a",
    )


async def said(reader: asyncio.StreamReader, size: int = -1) -> bytes:
    """What comes until the end, or so many bytes; nothing where the connection is cut."""
    async with asyncio.timeout(20.0):
        try:
            return await (reader.read() if size < 0 else reader.readexactly(size))
        except (ConnectionResetError, asyncio.IncompleteReadError):
            return b""


async def check_serves(broker: RunningBroker) -> None:
    async with broker.client() as client:
        assert isinstance(await ask(client, Status(MODEL_ID)), Progress)


# ---------------------------------------------------------------- connections


def test_only_tls_of_today_is_spoken(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
        writer.write(head(path_of(Status(MODEL_ID)), 0))
        assert b"HTTP" not in await said(reader)
        writer.close()
        old = stranger_context(broker.identity.public)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await asyncio.open_connection("127.0.0.1", broker.port, ssl=old, server_hostname="a")
        await check_serves(broker)

    with_broker(tmp_path, test, curated=True)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"POST /v1/",
        # After a request that was answered, too.
        head(MODEL, 0, "GET") + b"POST /v1/",
    ],
    ids=["nothing", "half a head", "half a second head"],
)
def test_who_does_not_finish_a_head_is_cut_off(tmp_path: Path, first: bytes) -> None:
    async def test(broker: RunningBroker) -> None:
        reader, writer = await connect(broker)
        writer.write(first)
        dripping = asyncio.create_task(drip(writer))
        answers = await said(reader)
        dripping.cancel()
        assert answers.count(b"HTTP/1.1 200") <= 1
        writer.close()
        await check_serves(broker)

    with_broker(tmp_path, test, curated=True, limits=Limits(handshake_s=0.4))


async def drip(writer: asyncio.StreamWriter) -> None:
    """A byte now and then, for ever."""
    while True:
        await asyncio.sleep(0.05)
        writer.write(b"a")


@pytest.mark.parametrize("slow", ["stalls", "drips"])
def test_who_sends_a_body_too_slowly_is_cut_off(tmp_path: Path, slow: str) -> None:
    async def test(broker: RunningBroker) -> None:
        reader, writer = await connect(broker)
        writer.write(head(f"{MODEL}/update", 60_000) + b"abc")
        dripping = asyncio.create_task(drip(writer)) if slow == "drips" else None
        assert (await said(reader)).startswith(b"HTTP/1.1 408")
        if dripping is not None:
            dripping.cancel()
        writer.close()
        await check_serves(broker)

    with_broker(tmp_path, test, curated=True, limits=Limits(stall_s=0.3))


def test_who_takes_an_answer_too_slowly_is_cut_off(tmp_path: Path) -> None:
    limits = Limits(body_bytes=2**25, stall_s=0.3, slowest_bytes_per_s=1e9)

    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            puzzle = (await ask(client, Join(MODEL_ID, provider_key().public))).puzzle
        question = solve(puzzle, provider_key())
        reader, writer = await connect(broker)
        # It reads nothing, and its own buffer fills.
        writer.transport.pause_reading()
        data = CODEC.encode(question)
        writer.write(head(path_of(question), len(data)) + data)
        async with asyncio.timeout(20.0):
            while broker.server._answers._value == limits.answers_at_once:
                await asyncio.sleep(0.01)
            while broker.server._answers._value < limits.answers_at_once:
                await asyncio.sleep(0.01)
        writer.transport.resume_reading()
        assert len(await said(reader, 2**24)) == 0
        writer.close()
        await check_serves(broker)

    plan = make_plan(dimension=5_000_000, admission_difficulty=0)
    with_broker(tmp_path, test, curated=True, limits=limits, plan=plan)


def test_when_full_the_connection_goes_that_was_idle_longest(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            joined = await join(client)
            assert isinstance(await ask(client, question := update(joined)), Next)
            idle = [await connect(broker) for _ in range(8)]
            cut = 0
            for reader, writer in idle[:5]:
                cut += await said(reader) == b""
                writer.close()
            # Who has paid stays, and goes on over the same connection.
            assert isinstance(await ask(client, question), Next)
            for _, writer in idle[5:]:
                writer.write(head(MODEL, 0, "GET"))
            for reader, writer in idle[5:]:
                assert (await said(reader, 12)) == b"HTTP/1.1 200"
                writer.close()
        assert cut == 5

    with_broker(tmp_path, test, curated=True, limits=Limits(connections=4))


def test_a_refusal_does_not_name_the_software(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        for first in (b"\x16\x03\x01 nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno header\r\n\r\n"):
            reader, writer = await connect(broker)
            writer.write(first)
            answer = await said(reader)
            assert answer.startswith(b"HTTP/1.1 400")
            assert b"malformed request" in answer
            assert b"Invalid HTTP request received" not in answer
            assert b"server:" not in answer.lower()
            writer.close()

    with_broker(tmp_path, test, curated=True)


@pytest.mark.parametrize("what", ["solve", "update", "over"])
@pytest.mark.parametrize("restarted", [False, True])
def test_one_payment_shown_over_many_connections_keeps_nobody_out(
    tmp_path: Path, what: str, restarted: bool
) -> None:
    plan = make_plan(rounds=1 if what == "over" else 1000)
    limits = Limits(connections=4)
    shown: list[Question] = []

    async def pay(broker: RunningBroker) -> None:
        async with broker.client() as client:
            key = provider_key()
            admission = await ask(client, Join(MODEL_ID, key.public))
            shown.append(solve(admission.puzzle, key))
            joined = await ask(client, shown[0])
            if what != "solve":
                shown[0] = update(joined)
                await post(client, shown[0])

    async def test(broker: RunningBroker) -> None:
        if not shown:
            await pay(broker)
        async with AsyncExitStack() as stack:
            for _ in range(4):
                client = await stack.enter_async_context(broker.client())
                answer = await post(client, shown[0])
                assert answer.status_code == (410 if what == "over" else 200)
            assert broker.host is not None
            newcomer = await stack.enter_async_context(broker.client())
            asked = Join(MODEL_ID, provider_key("bob").public)
            assert (await post(newcomer, asked)).status_code in (200, 410)
            assert len([guest for guest in broker.server._lobby.guests if guest.has_paid]) <= 1

    if restarted:
        with_broker(tmp_path, pay, curated=True, limits=limits, plan=plan)
    with_broker(tmp_path, test, curated=not restarted, limits=limits, plan=plan)


def test_one_payment_that_waits_over_many_connections_keeps_nobody_out(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        key = provider_key()
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(broker.client())
            admission = await ask(first, Join(MODEL_ID, key.public))
            asked = solve(admission.puzzle, key)
            clients = [await stack.enter_async_context(broker.client()) for _ in range(4)]
            waiting = [asyncio.create_task(post(client, asked)) for client in clients]
            async with asyncio.timeout(20.0):
                while sum(guest.busy for guest in broker.server._lobby.guests) < 4:
                    await asyncio.sleep(0.01)
            newcomer = await stack.enter_async_context(broker.client())
            asked_too = Join(MODEL_ID, provider_key("bob").public)
            assert (await post(newcomer, asked_too)).status_code == 200
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    plan = make_plan(min_providers=2)
    with_broker(tmp_path, test, curated=True, limits=Limits(connections=4), plan=plan)


# ---------------------------------------------------------------- too much


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"content-length: 999999999999", b"413"),
        (b"content-length: 9999999999999999999999", b"400"),
        (b"transfer-encoding: chunked", b"411"),
        (b"content-length: 1\r\ncontent-length: 2", b"400"),
        (b"content-length: -1", b"400"),
        (b"x: " + b"y" * 2**20, b"400"),
    ],
)
def test_what_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, lines: bytes, status: bytes
) -> None:
    async def test(broker: RunningBroker) -> None:
        reader, writer = await connect(broker)
        writer.write(
            b"POST " + path_of(Status(MODEL_ID)).encode() + b" HTTP/1.1\r\nhost: a\r\n"
            b"content-type: application/msgpack\r\n" + lines + b"\r\n\r\n"
        )
        assert (await said(reader)).startswith(b"HTTP/1.1 " + status)
        writer.close()
        await check_serves(broker)

    with_broker(tmp_path, test, curated=True)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_chunks_beside_a_length_are_not_read(tmp_path: Path, method: str) -> None:
    path = f"{MODEL}/solve" if method == "POST" else MODEL

    async def test(broker: RunningBroker) -> None:
        reader, writer = await connect(broker)
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {MSGPACK}\r\n"
            "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )
        carried = asyncio.create_task(chunks(writer))
        assert (await said(reader)).startswith(b"HTTP/1.1 400")
        # What one buffer holds on the way, and nothing like what was sent.
        assert await carried < 8 * 2**20
        writer.close()
        await check_serves(broker)

    with_broker(tmp_path, test, curated=True)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("OPTIONS", MODEL, 405),
        ("DELETE", MODEL, 405),
        ("PATCH", f"{MODEL}/solve", 405),
        ("POST", "/nowhere", 404),
        ("POST", f"{MODEL}/join", 429),
    ],
)
@pytest.mark.parametrize("framing", ["content-length: 900000000", "transfer-encoding: chunked"])
def test_a_body_that_nobody_reads_is_not_taken(
    tmp_path: Path, method: str, path: str, status: int, framing: str
) -> None:
    if status == 429 and framing.startswith("transfer"):
        status = 411

    async def test(broker: RunningBroker) -> None:
        reader, writer = await connect(broker)
        writer.write(
            f"{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-type: {MSGPACK}\r\n"
            f"{framing}\r\n\r\n".encode()
        )
        assert await said(reader, 12) == f"HTTP/1.1 {status}".encode()
        # What one buffer holds on the way, and nothing like what was sent.
        assert await chunks(writer) < 8 * 2**20
        writer.close()

    limits = Limits(free_per_s=1e-6, free_at_once=1)
    with_broker(tmp_path, test, curated=True, limits=limits)


def test_a_chunk_that_is_none_leaves_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(broker: RunningBroker) -> None:
        for path in (MODEL, f"{MODEL}/solve", "/nowhere"):
            reader, writer = await connect(broker)
            writer.write(
                f"POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
                "-5\r\nhello\r\n".encode()
            )
            assert (await said(reader, 10)) == b"HTTP/1.1 4"
            writer.close()
        await check_serves(broker)

    with_broker(tmp_path, test, curated=True)
    assert [record for record in caplog.records if record.exc_info] == []


async def chunks(writer: asyncio.StreamWriter, most_bytes: int = 64 * 2**20) -> int:
    """Send a body in chunks until nobody takes it any more; how many bytes were taken."""
    sent_bytes = 0
    with suppress(ConnectionError, TimeoutError):
        while sent_bytes < most_bytes:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await asyncio.wait_for(writer.drain(), 2.0)
            sent_bytes += 0x10000
    return sent_bytes


def test_half_sent_bodies_take_up_bounded_memory(tmp_path: Path) -> None:
    limits = Limits(body_bytes=2**20, guests_bodies=2, stall_s=2.0)
    sent = 600_000

    async def test(broker: RunningBroker) -> None:
        memory = broker.server._memory
        async with broker.client() as client:
            joined = await join(client)
            reached = 0
            floods = []
            for _ in range(12):
                reader, writer = await connect(broker)
                writer.write(head(f"{MODEL}/update", 2**20) + bytes(sent))
                floods.append((asyncio.create_task(said(reader)), writer))
                reached = max(reached, memory.taken_bytes)
            # A small question fits in always.
            assert isinstance(await ask(client, question := update(joined)), Next)
            assert isinstance(await ask(client, question), Next)
            answers = [await answer for answer, _ in floods]
            reached = max(reached, memory.taken_bytes)
            assert reached <= limits.guests_bytes
            assert {answer[:12] for answer in answers} >= {b"HTTP/1.1 503", b"HTTP/1.1 408"}
            for _, writer in floods:
                writer.close()
        assert memory.taken_bytes == 0

    with_broker(tmp_path, test, curated=True, limits=limits)


def test_who_has_paid_sends_before_who_has_not(tmp_path: Path) -> None:
    limits = Limits(body_bytes=2**20, guests_bodies=2)
    dimension = 200_000

    async def test(broker: RunningBroker) -> None:
        memory = broker.server._memory
        async with broker.client() as client:
            joined = await join(client)
            floods = [await connect(broker) for _ in range(3)]
            for _, writer in floods:
                writer.write(head(f"{MODEL}/update", 2**20) + bytes(750_000))
            async with asyncio.timeout(20.0):
                while memory.taken_bytes < 2 * 600_000:
                    await asyncio.sleep(0.01)
            assert isinstance(await ask(client, update(joined, dimension=dimension)), Next)
            for _, writer in floods:
                writer.close()

    with_broker(tmp_path, test, curated=True, limits=limits, plan=make_plan(dimension=dimension))


def test_a_connection_that_asks_too_often_waits(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            answers = [await post(client, Status(MODEL_ID)) for _ in range(25)]
        assert [answer.status_code for answer in answers] == [200] * 20 + [429] * 5
        # Some of the thousand seconds have passed by then.
        assert 500 < int(answers[-1].headers["retry-after"]) <= 1000
        assert "more than 0.001 requests a second" in answers[-1].json()["error"]
        await check_serves(broker)

    limits = Limits(requests_per_s=0.001, requests_at_once=20)
    with_broker(tmp_path, test, curated=True, limits=limits)


def test_a_flood_of_joins_lets_updates_through(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as provider:
            joined = await join(provider)
            statuses: list[int] = []

            async def flood(name: str) -> None:
                async with broker.client() as client:
                    for _ in range(100):
                        answer = await post(client, Join(MODEL_ID, provider_key(name).public))
                        statuses.append(answer.status_code)

            flooding = asyncio.gather(*(flood(f"eve-{index}") for index in range(10)))
            accepted = 0
            while not flooding.done():
                answer = await ask(provider, update(joined))
                assert isinstance(answer, Next)
                joined = msgspec.structs.replace(
                    joined, puzzle=answer.puzzle, version=answer.version
                )
                accepted += 1
            await flooding
            assert len(statuses) == 1000
            assert statuses.count(200) < 300
            assert statuses.count(200) + statuses.count(429) == 1000
            assert accepted > 20
            # What the flood has left behind: nothing.
            assert broker.host is not None
            assert not broker.host._guests

    limits = Limits(free_per_s=1.0, free_at_once=250, requests_at_once=10_000, requests_per_s=1e4)
    with_broker(tmp_path, test, curated=True, limits=limits)


def test_who_asks_nonsense_again_and_again_is_cut_off(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        reader, writer = await connect(broker)
        question = CODEC.encode(Leave(MODEL_ID, bytes(32)))
        path = path_of(Leave(MODEL_ID, bytes(32)))
        for _ in range(3):
            writer.write(head(path, len(question) - 1) + question[:-1])
        answers = await said(reader)
        assert answers.count(b"HTTP/1.1 400") == 3
        assert answers.count(b"connection: close") == 1
        writer.close()

    with_broker(tmp_path, test, curated=True, limits=Limits(strikes=3))


# ---------------------------------------------------------------- forged


def test_forged_and_swapped_questions_are_refused(tmp_path: Path) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            ann, bob = await join(client, "ann"), await join(client, "bob")
            good = update(ann)
            puzzle = (await ask(client, Join(MODEL_ID, provider_key("eve").public))).puzzle
            for question, reason in (
                (msgspec.structs.replace(good, token=bytes(32)), "does not exist"),
                (msgspec.structs.replace(good, token=bob.token), "not the one it was given"),
                (msgspec.structs.replace(good, nonce=bytes(32)), "not the one it was given"),
                (solve(puzzle, provider_key("ann")), "wrong signature"),
                (
                    solve(msgspec.structs.replace(puzzle, difficulty=0), provider_key("eve")),
                    "not issued here",
                ),
            ):
                refused = await post(client, question)
                assert refused.status_code in (403, 422)
                assert reason in message_in(refused).reason
            assert await ask(client, Status(MODEL_ID)) == Progress(0, 0, 2)
            # And none of that has cost ann anything.
            assert isinstance(await ask(client, good), Next)

    with_broker(tmp_path, test, curated=True)


def test_a_captured_request_changes_nothing(tmp_path: Path) -> None:
    """Byte for byte, over another connection: the same verdict, applied once."""

    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            question = update(await join(client))
            await ask(client, question)
            before = await ask(client, Status(MODEL_ID))
            data = CODEC.encode(question)
            reader, writer = await connect(broker)
            writer.write(head(path_of(question), len(data)) + data)
            first = await said(reader, 12)
            writer.write(head(path_of(question), len(data)) + data)
            writer.close()
            assert first == b"HTTP/1.1 200"
            assert await ask(client, Status(MODEL_ID)) == before

    with_broker(tmp_path, test, curated=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_an_update_that_is_not_finite_costs_its_puzzle(tmp_path: Path, value: float) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            first = await join(client)
            answer = await ask(client, update(first, value=3e38))
            joined = msgspec.structs.replace(first, puzzle=answer.puzzle, version=answer.version)
            refused = await ask(client, update(joined, value), status=409)
            assert "finite" in refused.reason

    with_broker(tmp_path, test, curated=True, plan=make_plan())


@pytest.mark.parametrize(
    "body",
    [
        b'{"model_id": "%s", "curator": %s}' % (MODEL_ID.encode(), b"[" * 60_000),
        b'{"model_id": "%s", "shape": [%s1]}' % (MODEL_ID.encode(), b"1," * MAX_ELEMENTS),
        b'{"model_id": "%s", "shape": [%s]}' % (MODEL_ID.encode(), b"9" * 60_000),
        b'{"model_id": "%s", %s}' % (MODEL_ID.encode(), b'"a":1,' * 10_000),
        b"{" * 60_000,
        b'"' * 60_000,
    ],
    ids=["deep", "long", "digits", "wide", "open", "quotes"],
)
def test_json_bombs_do_not_go_off(tmp_path: Path, body: bytes) -> None:
    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            answer = await client.post(
                f"{MODEL}/curate", content=body, headers={"content-type": JSON}
            )
            assert answer.status_code == 400
            assert len(answer.content) < 1000
        await check_serves(broker)

    with_broker(tmp_path, test, curated=True)


def test_an_integer_that_the_wire_cannot_say_is_refused(tmp_path: Path) -> None:
    """JSON has integers of any size; the role must not meet them."""

    async def test(broker: RunningBroker) -> None:
        async with broker.client() as client:
            admission = await ask(client, Join(MODEL_ID, provider_key().public))
            assert isinstance(admission, Admission)
            named = await client.post(
                path_of(Join(MODEL_ID, provider_key().public)),
                content=CODEC.encode(Join(MODEL_ID, provider_key().public)),
                headers={"content-type": MSGPACK, "accept": JSON},
            )
            puzzle = named.json()["puzzle"] | {"round": 2**70}
            body = {
                "model_id": MODEL_ID,
                "puzzle": puzzle,
                "solution": "",
                "signature": "A" * 86 + "==",
            }
            answer = await client.post(f"{MODEL}/solve", json=body)
            assert answer.status_code == 400, answer.text
        await check_serves(broker)

    with_broker(tmp_path, test, curated=True)


async def counts(node: Node) -> None:
    """Answer an update with little, and whatever else is asked with a model."""
    params_D = np.ones(BIG, np.float32)
    while True:
        received = await node.receive(Question)
        assert received is not None
        small = isinstance(received.message, GradientUpdate)
        answer = Progress(1, 1, 1) if small else Delivered(MODEL_ID, 1, params_D)
        await node.send(received.sender, answer)
        del received


BIG = 1_000_000


@pytest.mark.parametrize("kind", ["update", "model"])
def test_a_model_is_in_memory_twice_at_most_on_its_way(tmp_path: Path, kind: str) -> None:
    question = Status(MODEL_ID)
    if kind == "update":
        update_D = np.ones(BIG, np.float32)
        question = GradientUpdate(MODEL_ID, bytes(32), bytes(32), b"", 0, update_D)
    data = CODEC.encode(question)

    async def test(broker: RunningBroker) -> None:
        reader, writer = await connect(broker)

        async def exchange() -> None:
            """By pieces, so that nothing of it is held on this side."""
            writer.write(head(path_of(question), len(data)))
            for place in range(0, len(data), 2**16):
                writer.write(data[place : place + 2**16])
                await writer.drain()
            lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            assert lines[0] == b"HTTP/1.1 200 OK"
            (left,) = [int(line.split(b":")[1]) for line in lines if b"content-length" in line]
            assert left >= (4 * BIG if kind == "model" else 4)
            while left:
                left -= len(await reader.read(2**16))

        await exchange()
        tracemalloc.start()
        try:
            await exchange()
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        writer.close()
        assert peak_bytes < 2 * 4 * BIG

    with_broker(tmp_path, test, role=counts, limits=Limits(body_bytes=2**24))


def test_json_has_no_more_values_than_the_wire() -> None:
    body = bytearray(b'{"shape": [%s1]}' % (b"1," * MAX_ELEMENTS))
    with pytest.raises(PeerError, match=f"more than {MAX_ELEMENTS} values"):
        decode(Curate, body, JSON, CODEC)

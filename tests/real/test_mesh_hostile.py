"""Whatever a peer of a mesh does to another is bounded and blamed on it, and the others go on.

What one can do who connects is in `test_real_hostile`; here are those who are connected to.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from mesh_nodes import CODEC, Greeting, MeshCluster
from real_nodes import DURABLE, NOTHING_YET, NUMBER, RECEIVED, Watcher, silent

from troth import streams
from troth.charter.digest import charter_digest
from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity
from troth.engines.local import InlineEngine
from troth.errors import RoundFailedError
from troth.ids import NodeId, Round
from troth.roles.node import Node, Role
from troth.worlds.real.host import Host
from troth.worlds.real.interface import CHARTER_HEADER
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.node import Outcome
from troth.worlds.real.spoke import Spoke
from troth.worlds.real.tls import client_context, server_context

RUDE, ANN, BOB, LAST = (NodeId(f"party-{number}") for number in range(4))
HONEST = (ANN, BOB)
IMPATIENT = Limits(unreachable_s=6.0)

Answer = Callable[[int, str], Awaitable[bytes]]
"""What the rude peer answers to its n-th request, from 0, of a method."""


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """HTTP/1.1; it has heard of nothing, unless `headers` says otherwise."""
    said = NOTHING_YET | {name.replace("_", "-"): value for name, value in headers.items()}
    said["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return f"HTTP/1.1 {status} OK\r\n{head}\r\n".encode() + body


def greeting(number: int, sender: NodeId = RUDE) -> bytes:
    return CODEC.encode(Greeting(Round(number), sender, number))


@dataclass
class RudePeer:
    """Listens as party-0, and answers as it likes."""

    answer: Answer
    pause_s: float = 0.0
    """What it waits before each byte that it sends."""
    heads: list[bytes] = field(default_factory=list)
    polls: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                fields = dict(
                    line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line
                )
                await reader.readexactly(int(fields.get(b"content-length", b"0")))
                polled = head.startswith(b"GET /v1/outbox")
                said = await self.answer(self.polls, "poll" if polled else head.split()[0].decode())
                self.polls += polled
                for piece in [said] if not self.pause_s else map(bytes, zip(said, strict=True)):
                    await asyncio.sleep(self.pause_s)
                    writer.write(piece)
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(rude: RudePeer, context: ssl.SSLContext) -> AsyncIterator[str]:
    """Where it listens."""
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(rude.serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def rude_mesh(
    cluster: MeshCluster, rude: RudePeer
) -> AsyncIterator[dict[NodeId, asyncio.Task[Outcome]]]:
    """Two honest peers, and a rude one that both connect to."""
    context = server_context(cluster.identities[RUDE], [cluster.public[name] for name in HONEST])
    async with serving(rude, context) as url:
        cluster.addresses[RUDE] = url
        tasks = {name: await cluster.start(name) for name in HONEST}
        try:
            yield tasks
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)


def mesh_of(small: LoadedScenario, folder: Path, limits: Limits = IMPATIENT) -> MeshCluster:
    return MeshCluster(small, folder, (RUDE, *HONEST, LAST), faithful=HONEST, limits=limits)


def check_honest_went_on(cluster: MeshCluster, outcomes: list[Outcome]) -> None:
    assert [outcome.parameters for outcome in outcomes] == [[5.0]] * 2
    for name in HONEST:
        assert sorted(cluster.accepted(name)) == [1, 2, 3, 4, 5]


async def never(_: int, __: str) -> bytes:
    await asyncio.Event().wait()
    raise AssertionError


async def nonsense(_: int, __: str) -> bytes:
    return b"220 smtp.example ESMTP\r\n\r\n"


async def no_numbers(_: int, __: str) -> bytes:
    return b"HTTP/1.1 204 No Content\r\n\r\n"


async def far_too_large(polls: int, _: str) -> bytes:
    return answer(200, bytes(2**21), **{NUMBER: str(polls + 1)})


async def endless_head(_: int, __: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 2**22


async def hangs_up(_: int, __: str) -> bytes:
    raise ConnectionError


@pytest.mark.parametrize(
    "rudeness", [never, nonsense, no_numbers, far_too_large, endless_head, hangs_up]
)
def test_one_who_answers_badly_holds_up_nobody(
    small: LoadedScenario, tmp_path: Path, rudeness: Answer
) -> None:
    cluster = mesh_of(small, tmp_path)

    async def run() -> None:
        rude = RudePeer(rudeness)
        async with rude_mesh(cluster, rude) as tasks:
            check_honest_went_on(cluster, await asyncio.gather(*tasks.values()))
        assert rude.heads

    asyncio.run(run())


def test_one_who_answers_byte_by_byte_holds_up_nobody(
    small: LoadedScenario, tmp_path: Path
) -> None:
    cluster = mesh_of(small, tmp_path)

    async def whole(polls: int, _: str) -> bytes:
        return answer(200, greeting(1), **{NUMBER: str(polls + 1)})

    async def run() -> None:
        rude = RudePeer(whole, pause_s=0.02)
        async with rude_mesh(cluster, rude) as tasks:
            check_honest_went_on(cluster, await asyncio.gather(*tasks.values()))
        assert rude.heads

    asyncio.run(run())


def test_a_listener_takes_no_body_that_is_too_large_or_does_not_come(
    small: LoadedScenario, tmp_path: Path
) -> None:
    """It is told so at once, or after a while, and the connection is closed."""
    cluster = mesh_of(small, tmp_path, replace(IMPATIENT, body_s=0.2))
    charter = charter_digest(small.scenario.charter)
    told = f"{CHARTER_HEADER}: {charter}\r\n{RECEIVED}: 0\r\n{DURABLE}: 0\r\n"
    bodies = {
        b"HTTP/1.1 413": f"content-length: {2**30}\r\n{told}\r\n",
        b"HTTP/1.1 411": f"transfer-encoding: chunked\r\n{told}\r\nffff\r\n",
        b"HTTP/1.1 408": f"content-length: 100\r\n{told}\r\nabc",
    }

    async def run() -> None:
        async with rude_mesh(cluster, RudePeer(no_numbers)) as tasks:
            url = httpx.URL(cluster.addresses[ANN])
            context = client_context(cluster.identities[LAST], cluster.public[ANN])
            for status, rest in bodies.items():
                reader, writer = await asyncio.open_connection(
                    url.host, url.port, ssl=context, server_hostname="a"
                )
                writer.write(f"PUT /v1/inbox/1?previous=0 HTTP/1.1\r\nhost: a\r\n{rest}".encode())
                async with asyncio.timeout(10.0):
                    assert (await reader.read()).startswith(status)
                writer.close()
            check_honest_went_on(cluster, await asyncio.gather(*tasks.values()))

    asyncio.run(run())


def test_malformed_messages_are_blamed_on_who_sent_them(
    small: LoadedScenario, tmp_path: Path
) -> None:
    """Nothing is asked for twice, and what is well-formed after it is taken."""
    cluster = mesh_of(small, tmp_path)

    async def malformed(polls: int, method: str) -> bytes:
        if method != "poll" or polls >= 6:
            return await never(polls, method) if method == "poll" else answer(204)
        return answer(200, b"\x01nonsense", **{NUMBER: str(polls + 1)})

    async def run() -> None:
        async with rude_mesh(cluster, RudePeer(malformed)) as tasks:
            check_honest_went_on(cluster, await asyncio.gather(*tasks.values()))

    asyncio.run(run())
    blamed = [error for name in HONEST for error in cluster.watchers[name].errors]
    assert len(blamed) == 6
    assert {error.culprits for error in blamed} == {(RUDE,)}


def test_one_cannot_speak_as_another(small: LoadedScenario, tmp_path: Path) -> None:
    """What comes over a link is its peer's, whatever it says; the role notices."""
    cluster = mesh_of(small, tmp_path)
    cluster.faithful = (RUDE, *HONEST)

    async def as_bob(polls: int, method: str) -> bytes:
        if method != "poll":
            return answer(204)
        return answer(200, greeting(1, BOB), **{NUMBER: str(polls + 1)})

    async def run() -> None:
        async with rude_mesh(cluster, RudePeer(as_bob)) as tasks:
            with pytest.raises(RoundFailedError, match="party-0 came as a greeting of party-2"):
                await tasks[ANN]

    asyncio.run(run())


@asynccontextmanager
async def spoke_to(
    rude: RudePeer, folder: Path, limits: Limits, role: Role = silent
) -> AsyncIterator[Host]:
    """A host that has a link to the rude peer only, and plays this role."""
    own, other = Identity.create(), Identity.create()
    async with serving(rude, server_context(other, [own.public])) as url:
        stream = streams.learning(1)
        journal = Journal(folder / "ann.sqlite", node=ANN, run="rude")
        host = Host(
            Node(ANN, stream, stream.child("secret")),
            role,
            peers=(RUDE,),
            codec=CODEC,
            engine=InlineEngine(None),
            journal=journal,
            observer=Watcher(),
            limits=limits,
            lossy=True,
        )
        spoke = Spoke(host, own, server=RUDE, public=other.public, url=url)
        tasks = [asyncio.create_task(work) for work in (host.run(), spoke.run())]
        try:
            yield host
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            journal.close()


async def drop_all(node: Node) -> None:
    """Take everything, for ever."""
    while True:
        await node.receive(Greeting)


@pytest.mark.parametrize("what", ["poll", "PUT"])
def test_one_who_keeps_a_node_busy_is_asked_so_often_only(tmp_path: Path, what: str) -> None:
    """It always has another message, or never has what it is sent."""
    limits = Limits(requests_per_s=20.0, requests_at_once=30)
    asked, enough = 0, asyncio.Event()

    async def busy(polls: int, method: str) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 50:
            enough.set()
        if method != "poll":
            return answer(204)
        if what == "PUT":
            return await never(polls, method)
        return answer(200, greeting(polls + 1), **{NUMBER: str(polls + 1)})

    async def run() -> None:
        began_s = time.monotonic()
        async with spoke_to(RudePeer(busy), tmp_path, limits, drop_all) as host:
            if what == "PUT":
                host.links[RUDE].send(greeting(1, ANN))
            await enough.wait()
        # No machine is too slow for that.
        assert time.monotonic() - began_s >= (50 - 30) / 20

    asyncio.run(run())


def test_what_comes_again_is_taken_once_and_needs_no_save(tmp_path: Path) -> None:
    taken: list[int] = []
    second = asyncio.Event()

    async def listing(node: Node) -> None:
        while True:
            received = await node.receive(Greeting)
            assert received is not None
            taken.append(received.message.number)
            if len(taken) == 2:
                second.set()

    async def repeats(polls: int, method: str) -> bytes:
        if method != "poll":
            return answer(204)
        number = 1 if polls < 3 else 2
        return answer(200, greeting(number), **{NUMBER: str(number)})

    async def run() -> None:
        rude = RudePeer(repeats)
        async with spoke_to(rude, tmp_path, Limits(), listing):
            await second.wait()
        assert taken == [1, 2]
        told = [head.lower() for head in rude.heads if head.startswith(b"GET /v1/outbox")]
        assert f"{RECEIVED}: 1\r\n{DURABLE}: 1\r\n".encode() in told[1]

    asyncio.run(run())


def test_what_one_sends_to_a_slow_role_is_bounded(tmp_path: Path) -> None:
    """What there is no room for is asked for again later, and held by its sender until then."""
    limits = Limits(waiting_messages=5)
    refused = asyncio.Event()

    async def floods(polls: int, method: str) -> bytes:
        if method != "poll":
            return answer(204)
        if polls == limits.waiting_messages + 3:
            refused.set()
        number = min(polls, limits.waiting_messages) + 1
        return answer(200, greeting(number), **{NUMBER: str(number)})

    async def run() -> None:
        rude = RudePeer(floods)
        async with spoke_to(rude, tmp_path, limits) as host:
            await refused.wait()
            assert host.links[RUDE].received == limits.waiting_messages
        told = [head for head in rude.heads if head.startswith(b"GET /v1/outbox")]
        assert f"{RECEIVED}: {limits.waiting_messages}".encode() in told[-1].lower()

    asyncio.run(run())


def test_a_listener_turns_away_whom_it_connects_to(small: LoadedScenario, tmp_path: Path) -> None:
    """Of two peers one connects; the other way there would be two links, and each number twice."""
    cluster = mesh_of(small, tmp_path)
    charter = charter_digest(small.scenario.charter)
    told = {CHARTER_HEADER: charter, RECEIVED: "0", DURABLE: "0"}

    async def run() -> None:
        async with rude_mesh(cluster, RudePeer(no_numbers)) as tasks:
            for name, status in ((RUDE, None), (BOB, 204)):
                context = client_context(cluster.identities[name], cluster.public[ANN])
                async with httpx.AsyncClient(
                    base_url=cluster.addresses[ANN], verify=context, trust_env=False
                ) as client:
                    asked = client.get("/v1/link", headers=told)
                    if status is None:
                        with pytest.raises(httpx.TransportError):
                            await asked
                    else:
                        assert (await asked).status_code == status
            check_honest_went_on(cluster, await asyncio.gather(*tasks.values()))

    asyncio.run(run())

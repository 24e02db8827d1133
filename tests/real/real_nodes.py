"""What the tests of the real world share: nodes in this process, and a hub to be rude to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from troth import streams
from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity
from troth.engines.local import InlineEngine
from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.roles.effects import Report
from troth.roles.messages import RoundMessage
from troth.roles.node import Node, Role
from troth.wire import Codec, Float32s
from troth.worlds.real.host import Host, Tally
from troth.worlds.real.hub import Hub
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.node import Connect, Listen, Outcome, run_node
from troth.worlds.real.stage import NodeStage, node_names, prepare_node
from troth.worlds.real.tls import client_context

SERVER = NodeId("server")
ANN, BOB = NodeId("ann"), NodeId("bob")

RECEIVED, DURABLE, NUMBER = "troth-received", "troth-durable", "troth-number"
NOTHING_YET = {RECEIVED: "0", DURABLE: "0"}


@dataclass
class Watcher:
    """Keeps what an observer is told."""

    reports: list[Report] = field(default_factory=list)
    errors: list[PeerError] = field(default_factory=list)
    at_round: dict[int, asyncio.Event] = field(default_factory=dict)

    def report(self, report: Report, tally: Tally) -> None:
        self.reports.append(report)
        event = self.at_round.get(report.round)
        if event is not None:
            # Observers are called from another thread than the loop's.
            self.loop.call_soon_threadsafe(event.set)

    def refused(self, error: PeerError) -> None:
        self.errors.append(error)

    def when(self, round: int) -> asyncio.Event:
        """Set when the node reports that round."""
        self.loop = asyncio.get_running_loop()
        return self.at_round.setdefault(round, asyncio.Event())


class Cluster:
    """All nodes of a scenario, to be run in this process, over TLS."""

    def __init__(self, loaded: LoadedScenario, folder: Path) -> None:
        self.names = node_names(loaded.scenario)
        self.stages: dict[NodeId, NodeStage] = {
            name: prepare_node(loaded.scenario, name, base=loaded.base, root=None)
            for name in self.names
        }
        self.identities = {name: Identity.create() for name in self.names}
        self.public = {name: who.public for name, who in self.identities.items()}
        self.watchers = {name: Watcher() for name in self.names}
        self.port = 0
        self.limits = Limits(unreachable_s=20.0)
        self._folder = folder

    def start(self, name: NodeId) -> asyncio.Task[Outcome]:
        where: Listen | Connect
        if name == self.names[0]:
            self.listening = asyncio.Event()
            where = Listen("127.0.0.1", self.port, self._opened)
        else:
            where = Connect(f"https://127.0.0.1:{self.port}")
        return asyncio.create_task(self._run(name, where, self._folder))

    def _opened(self, port: int) -> None:
        self.port = port
        self.listening.set()

    async def _run(self, name: NodeId, where: Listen | Connect, folder: Path) -> Outcome:
        journal = Journal(folder / f"{name}.sqlite", node=name, run="run")
        try:
            return await run_node(
                self.stages[name],
                self.identities[name],
                self.public,
                where,
                journal=journal,
                observer=self.watchers[name],
                limits=self.limits,
            )
        finally:
            journal.close()

    async def start_all(self) -> dict[NodeId, asyncio.Task[Outcome]]:
        tasks = {self.names[0]: self.start(self.names[0])}
        await self.listening.wait()
        return tasks | {name: self.start(name) for name in self.names[1:]}


async def kill(task: asyncio.Task[Outcome]) -> None:
    """Stop a node where it stands; what it had in memory is lost."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


class Said(RoundMessage, frozen=True):
    """What the rude hub's protocol consists of."""

    values_D: Float32s


CODEC = Codec((Said,))


async def echo(node: Node) -> None:
    """Send everything back, for ever."""
    while True:
        received = await node.receive(Said)
        assert received is not None
        await node.send(received.sender, received.message)


async def silent(node: Node) -> None:
    """Take nothing."""
    await node.sleep(3600.0)


@dataclass
class RudeHub:
    """A hub with a role that goes on for ever, and a way to say anything to it."""

    host: Host
    port: int
    watcher: Watcher
    identities: Mapping[NodeId, Identity]

    def client(self, who: NodeId = ANN, *, identity: Identity | None = None) -> httpx.AsyncClient:
        own = identity or self.identities[who]
        return httpx.AsyncClient(
            base_url=f"https://127.0.0.1:{self.port}",
            verify=client_context(own, self.identities[SERVER].public),
            trust_env=False,
            headers=NOTHING_YET,
            timeout=10.0,
        )


@asynccontextmanager
async def rude_hub(
    folder: Path, limits: Limits, *, role: Role = echo, names: tuple[NodeId, ...] = (ANN, BOB)
) -> AsyncIterator[RudeHub]:
    identities = {name: Identity.create() for name in (SERVER, *names)}
    journal = Journal(folder / "hub.sqlite", node=SERVER, run="rude")
    watcher = Watcher()
    stream = streams.learning(1)
    host = Host(
        Node(SERVER, stream, stream.child("secret")),
        role,
        peers=names,
        codec=Codec((Said,), max_bytes=limits.body_bytes),
        engine=InlineEngine(None),
        journal=journal,
        observer=watcher,
        limits=limits,
    )
    hub = Hub(host, identities[SERVER], {name: identities[name].public for name in names})
    port = await hub.open("127.0.0.1", 0)
    running = asyncio.create_task(host.run())
    try:
        yield RudeHub(host, port, watcher, identities)
        assert not running.done(), "the node has to stay up"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await hub.close()
        journal.close()


def said(round: int, values_D: Float32s) -> bytes:
    return CODEC.encode(Said(Round(round), values_D))

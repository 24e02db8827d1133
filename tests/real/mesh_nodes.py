"""A protocol without a hub for tests, whose roles notice what a mesh must never do, and its nodes.

Every peer greets every other in each round and waits a moment for their greetings; it bears that
some are lost. Greetings carry who sent them and a number that goes up. So a greeting that comes
twice within one life of a node, or is taken for another peer's, is seen and ends the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from real_nodes import Watcher

from troth.charter.loading import LoadedScenario
from troth.crypto.identity import Identity
from troth.errors import PeerError
from troth.ids import NodeId, Round
from troth.roles.effects import Collected
from troth.roles.messages import RoundMessage
from troth.roles.node import Cast, Node
from troth.wire import Codec, Float32s
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits
from troth.worlds.real.node import Listen, Outcome, run_node
from troth.worlds.real.stage import Mesh, NodeStage, prepare_node


class Greeting(RoundMessage, frozen=True):
    """From `sender`, its `number`-th."""

    sender: NodeId
    number: int


CODEC = Codec((Greeting,))


class Greeted(msgspec.Struct, frozen=True):
    """What a peer keeps: rounds that are over, and the number of its last greeting."""

    rounds: int = 0
    number: int = 0


@dataclass(frozen=True)
class Plan:
    """Args:
    faithful: peers without whose greeting no round ends.
    deadline_s: how long a round waits for the others.
    """

    peers: tuple[NodeId, ...]
    rounds: int
    faithful: frozenset[NodeId] = frozenset()
    deadline_s: float = 4.0


async def greeter(node: Node, plan: Plan) -> Float32s:
    """Ends with the number of its greetings that it has sent, shape (1,)."""
    others = [peer for peer in plan.peers if peer != node.id]
    greeted = await node.load(Greeted) or Greeted()
    seen = dict.fromkeys(others, 0)
    while greeted.rounds < plan.rounds:
        round = Round(greeted.rounds + 1)
        greeted = Greeted(greeted.rounds, greeted.number + 1)
        # Numbers go up over restarts too.
        await node.save(greeted)
        await node.broadcast(others, Greeting(round, node.id, greeted.number))
        deadline_s = None if plan.faithful else plan.deadline_s
        wanted = sorted(plan.faithful - {node.id}) or others
        heard: Collected[Greeting] = await node.collect(
            Greeting, round, expected=wanted, enough=len(wanted), deadline_s=deadline_s
        )
        for sender, greeting in heard.messages.items():
            if greeting.sender != sender:
                raise PeerError(f"came as a greeting of {greeting.sender}", culprits=(sender,))
            if greeting.number <= seen[sender]:
                raise PeerError(f"greeted twice as {greeting.number}", culprits=(sender,))
            seen[sender] = greeting.number
        greeted = Greeted(round, greeted.number)
        await node.report(round, np.array([greeted.number], np.float32), accepted=heard.messages)
        await node.save(greeted)
    return np.array([greeted.number], np.float32)


def mesh_stage(
    loaded: LoadedScenario, name: NodeId, *, rounds: int, faithful: Sequence[NodeId] = ()
) -> NodeStage:
    """A node of the scenario's parties that greets instead of training."""
    stage = prepare_node(loaded.scenario, name, base=loaded.base, root=None)
    plan = Plan(tuple(stage.parties), rounds, frozenset(faithful))
    cast = Cast({name: partial(greeter, plan=plan)}, (name,), (Greeting,))
    return replace(stage, topology=Mesh(), cast=cast)


@dataclass
class MeshCluster:
    """Peers in this process, over TLS."""

    loaded: LoadedScenario
    folder: Path
    names: tuple[NodeId, ...]
    rounds: int = 5
    faithful: tuple[NodeId, ...] = ()
    """See `Plan`."""
    limits: Limits = field(default_factory=Limits)
    addresses: dict[NodeId, str] = field(default_factory=dict)
    """Filled in as peers start to listen."""

    def __post_init__(self) -> None:
        self.identities = {name: Identity.create() for name in self.names}
        self.public = {name: who.public for name, who in self.identities.items()}
        self.watchers = {name: Watcher() for name in self.names}

    async def start(self, name: NodeId) -> asyncio.Task[Outcome]:
        """A peer that listens; those with smaller names have to be there already."""
        listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        port = int(self.addresses.get(name, ":0").rpartition(":")[2])
        task = asyncio.create_task(self._run(name, Listen("127.0.0.1", port, listening.set_result)))
        await asyncio.wait((listening, task), return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            self.addresses[name] = f"https://127.0.0.1:{listening.result()}"
        return task

    async def _run(self, name: NodeId, where: Listen) -> Outcome:
        stage = mesh_stage(self.loaded, name, rounds=self.rounds, faithful=self.faithful)
        journal = Journal(self.folder / f"{name}.sqlite", node=name, run="mesh")
        try:
            return await run_node(
                stage,
                self.identities[name],
                self.public,
                where,
                journal=journal,
                observer=self.watchers[name],
                addresses=dict(self.addresses),
                limits=self.limits,
            )
        finally:
            journal.close()

    async def start_all(self) -> dict[NodeId, asyncio.Task[Outcome]]:
        return {name: await self.start(name) for name in self.names}

    def accepted(self, name: NodeId) -> Mapping[int, tuple[NodeId, ...]]:
        """Whose greetings a peer has had, by round; of a round that it reported twice the last."""
        return {report.round: report.accepted for report in self.watchers[name].reports}

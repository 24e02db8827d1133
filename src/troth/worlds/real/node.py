"""Runs one node from its start to its end: host, journal, and the hub or spoke that carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from troth import streams
from troth.crypto.identity import Identity, PublicId
from troth.errors import UsageError
from troth.ids import NodeId
from troth.learning.device import repeatable
from troth.roles.node import Node
from troth.wire import Codec, Float32s
from troth.worlds.real.host import Host, Observer, Tally
from troth.worlds.real.hub import Hub
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import Limits, body_bytes
from troth.worlds.real.spoke import Spoke
from troth.worlds.real.stage import NodeStage


@dataclass(frozen=True)
class Listen:
    """Where the hub listens; port 0 has one chosen."""

    address: str
    port: int
    opened: Callable[[int], None] = field(default=lambda _: None)
    """Told the port once others can connect."""


@dataclass(frozen=True)
class Connect:
    """Where the hub is: `https://HOST:PORT`."""

    url: str


@dataclass(frozen=True)
class Outcome:
    """What came of a node. `parameters` is what its role returned, shape (D,)."""

    parameters: Float32s | None
    tally: Tally
    absent: tuple[NodeId, ...]
    """Peers that did not fetch the last messages in time."""


async def run_node(
    stage: NodeStage,
    identity: Identity,
    peers: Mapping[NodeId, PublicId],
    where: Listen | Connect,
    *,
    journal: Journal,
    observer: Observer,
    limits: Limits | None = None,
) -> Outcome:
    """Play a node's role over TLS until it returns and its peers have what it sent.

    Args:
      peers: at least the public ids of all nodes that it has a link to.
      where: `Listen` for the hub, `Connect` for all others.

    Raises:
      UsageError: `peers` lacks one, or contradicts `identity`; `where` does not fit the node.
      VerificationError: the other end of a connection is not who it has to be.
      UnreachableError: peers that the role waits for are not heard of.
      RoundFailedError: the role gave up.
    """
    pinned = check_peers(stage, identity, peers)
    if isinstance(where, Listen) != (stage.id == stage.hub):
        raise UsageError(
            f"{stage.id} {'listens' if stage.id == stage.hub else 'connects'}, "
            f"it does not {'connect' if stage.id == stage.hub else 'listen'}",
            hint=f"{stage.hub} takes --listen HOST:PORT, every other node --connect URL",
        )
    limits = limits or Limits()
    limits = replace(limits, body_bytes=body_bytes(stage.bench.model.dimension))
    learning, secret = streams.learning(stage.scenario.seed), streams.secret(journal.secret_seed)
    host = Host(
        Node(stage.id, learning.child("node", stage.id), secret.child("node", stage.id)),
        stage.cast.roles[stage.id],
        peers=stage.peers,
        codec=Codec(stage.cast.messages, max_bytes=limits.body_bytes),
        engine=stage.engine,
        journal=journal,
        observer=observer,
        limits=limits,
    )
    with repeatable(stage.bench.device):
        if isinstance(where, Listen):
            return await _as_hub(host, identity, pinned, where)
        return await _as_spoke(host, identity, pinned, stage.hub, where)


def check_peers(
    stage: NodeStage, identity: Identity, peers: Mapping[NodeId, PublicId]
) -> dict[NodeId, PublicId]:
    """The public ids of the nodes that this one has links to.

    Raises:
      UsageError: one is missing, or this node is somebody else there.
    """
    if peers.get(stage.id, identity.public) != identity.public:
        raise UsageError(
            f"the peers file gives {stage.id} another public id than this identity's, "
            f"{identity.public}",
            hint="give the identity file that was made for this node",
        )
    missing = [peer for peer in stage.peers if peer not in peers]
    if missing:
        raise UsageError(
            f"the peers file lacks {', '.join(missing[:5])}"
            + (f" and {len(missing) - 5} more" if len(missing) > 5 else ""),
            hint="every node that this one speaks to needs a line with its public id",
        )
    return {peer: peers[peer] for peer in stage.peers}


async def _as_hub(
    host: Host, identity: Identity, pinned: Mapping[NodeId, PublicId], where: Listen
) -> Outcome:
    hub = Hub(host, identity, pinned)
    where.opened(await hub.open(where.address, where.port))
    try:
        parameters = await host.run()
        absent = await host.drain()
    finally:
        await hub.close()
    return Outcome(parameters, host.tally, tuple(absent))


async def _as_spoke(
    host: Host,
    identity: Identity,
    pinned: Mapping[NodeId, PublicId],
    server: NodeId,
    where: Connect,
) -> Outcome:
    spoke = Spoke(host, identity, server=server, public=pinned[server], url=where.url)

    async def play() -> Outcome:
        parameters = await host.run()
        absent = await host.drain()
        await spoke.farewell()
        return Outcome(parameters, host.tally, tuple(absent))

    return await while_carried(spoke.run(), play())


async def while_carried(
    carry: Coroutine[Any, Any, None], play: Coroutine[Any, Any, Outcome]
) -> Outcome:
    """What `play` comes to, while `carry` carries its messages.

    Raises: what either of them raises.
    """
    carrying, playing = asyncio.create_task(carry), asyncio.create_task(play)
    try:
        await asyncio.wait((carrying, playing), return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            # It carries messages for ever, so it has failed.
            await carrying
        return await playing
    finally:
        for task in (playing, carrying):
            task.cancel()
        await asyncio.gather(playing, carrying, return_exceptions=True)

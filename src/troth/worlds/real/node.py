"""Runs one node from its start to its end: host, journal, and the hub and spokes that carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from troth import streams
from troth.charter.digest import charter_digest
from troth.crypto.identity import Identity, PublicId
from troth.errors import UsageError
from troth.ids import NodeId
from troth.learning.device import repeatable
from troth.protocols.lookup import protocol_of
from troth.roles.node import Node
from troth.wire import Codec, Float32s
from troth.worlds.real.carrying import while_carried
from troth.worlds.real.host import Host, Observer, Tally
from troth.worlds.real.hub import Hub
from troth.worlds.real.inquiry import Inquiry
from troth.worlds.real.journal import Journal
from troth.worlds.real.limits import MESH_BODIES, Limits, body_bytes
from troth.worlds.real.mesh import LEAVE_S, MeshSpokes
from troth.worlds.real.spoke import Spoke
from troth.worlds.real.stage import Mesh, NodeStage, Star


@dataclass(frozen=True)
class Listen:
    """Where a node listens; port 0 has one chosen."""

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
    """Peers that did not fetch the last messages in time. Not looked at in a mesh, whose messages
    may be lost."""
    notes: tuple[str, ...] = ()
    """What whoever runs the node should know."""


async def run_node(
    stage: NodeStage,
    identity: Identity,
    peers: Mapping[NodeId, PublicId],
    where: Listen | Connect,
    *,
    journal: Journal,
    observer: Observer,
    addresses: Mapping[NodeId, str] | None = None,
    limits: Limits | None = None,
    store: Any = None,
) -> Outcome:
    """Play a node's role over TLS until it returns and its peers have what it sent.

    Args:
      peers: at least the public ids of all nodes that it has a link to.
      where: `Listen` for a hub and in a mesh, `Connect` for whoever connects to a hub.
      addresses: in a mesh, where those peers listen that the node connects to.
      store: what the role's `Access` requests are carried out on; None if it has none.

    Raises:
      UsageError: `peers` lacks one, or contradicts `identity`; `where` or `addresses` does not fit
        the node.
      VerificationError: the other end of a connection is not who it has to be.
      UnreachableError: peers that the role waits for are not heard of.
      RoundFailedError: the role gave up.
    """
    pinned = check_peers(stage, identity, peers)
    urls = check_place(stage, where, addresses or {})
    mesh = isinstance(stage.topology, Mesh)
    limits = limits or Limits()
    protocol = protocol_of(stage.scenario.charter.protocol)
    largest = body_bytes(stage.bench.model.dimension) + protocol.largest_extra_bytes()
    if mesh:
        limits = replace(
            limits,
            linger_s=min(limits.linger_s, LEAVE_S),
            waiting_bodies=min(limits.waiting_bodies, MESH_BODIES),
        )
    limits = replace(limits, body_bytes=largest)
    host = make_host(stage, journal, observer, limits, peers=stage.peers, store=store, lossy=mesh)
    spokes = {
        peer: partial(Spoke, host, identity, server=peer, public=pinned[peer], url=url)
        for peer, url in urls.items()
    }
    with repeatable(stage.bench.device):
        if isinstance(where, Connect):
            (spoke,) = spokes.values()
            return await _as_spoke(host, spoke())
        hub = Hub(host, identity, {peer: pinned[peer] for peer in stage.listens_to})
        where.opened(await hub.open(where.address, where.port))
        try:
            return await (_as_peer(host, spokes) if mesh else _as_hub(host))
        finally:
            await hub.close()


def make_host(
    stage: NodeStage,
    journal: Journal,
    observer: Observer,
    limits: Limits,
    *,
    peers: Sequence[NodeId] = (),
    largest_bytes: int = 0,
    inquiry: Inquiry | None = None,
    store: Any = None,
    lossy: bool = False,
) -> Host:
    """The host of the stage's node, whose random streams follow from the scenario's seed and whose
    secrets from the journal's.

    Args:
      limits: with `body_bytes` as large as this protocol's messages are.
      largest_bytes: of a message that may be larger than `limits.body_bytes`.
      peers, inquiry, store, lossy: as `Host`.
    """
    learning, secret = streams.learning(stage.scenario.seed), streams.secret(journal.secret_seed)
    return Host(
        Node(stage.id, learning.child("node", stage.id), secret.child("node", stage.id)),
        stage.cast.roles[stage.id],
        peers=peers,
        codec=Codec(stage.cast.messages, max_bytes=max(limits.body_bytes, largest_bytes)),
        engine=stage.engine,
        journal=journal,
        observer=observer,
        limits=limits,
        inquiry=inquiry,
        store=store,
        lossy=lossy,
        charter=charter_digest(stage.scenario.charter),
    )


def check_place(
    stage: NodeStage, where: Listen | Connect, addresses: Mapping[NodeId, str]
) -> dict[NodeId, str]:
    """The addresses of the nodes that this one connects to.

    Raises:
      UsageError: it should listen and does not, or the other way round; or an address is missing.
    """
    match stage.topology:
        case Star(hub=hub):
            listens = stage.id == hub
            hint = f"{hub} takes --listen HOST:PORT, every other node --connect URL"
        case Mesh():
            listens = True
            hint = "every node takes --listen HOST:PORT, and finds others by its peers file"
    if isinstance(where, Listen) != listens:
        raise UsageError(
            f"{stage.id} {'listens' if listens else 'connects'}, "
            f"it does not {'connect' if listens else 'listen'}",
            hint=hint,
        )
    if isinstance(where, Connect):
        return dict.fromkeys(stage.connects_to, where.url)
    missing = [peer for peer in stage.connects_to if peer not in addresses]
    if missing:
        raise UsageError(
            f"the peers file lacks the address of {_some(missing)}",
            hint='write below [addresses]: party-0 = "https://HOST:PORT", for every node whose '
            "name is smaller than this one's",
        )
    return {peer: addresses[peer] for peer in stage.connects_to}


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
            f"the peers file lacks {_some(missing)}",
            hint="every node that this one speaks to needs a line with its public id",
        )
    return {peer: peers[peer] for peer in stage.peers}


def _some(names: Sequence[NodeId]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


async def _as_hub(host: Host) -> Outcome:
    async def play() -> Outcome:
        parameters = await host.run()
        absent = await host.drain()
        return Outcome(parameters, host.tally, tuple(absent))

    return await while_carried(host.watch_journal(), play())


async def _as_spoke(host: Host, spoke: Spoke) -> Outcome:
    async def play() -> Outcome:
        parameters = await host.run()
        absent = await host.drain()
        await spoke.farewell()
        return Outcome(parameters, host.tally, tuple(absent))

    return await while_carried(spoke.run(), play())


async def _as_peer(host: Host, spokes: Mapping[NodeId, Callable[[], Spoke]]) -> Outcome:
    peers = MeshSpokes(host, spokes)

    async def play() -> Outcome:
        await peers.meet()
        parameters = await host.run()
        await host.drain()
        await peers.farewell()
        return Outcome(parameters, host.tally, (), peers.notes())

    return await while_carried(peers.run(), play())

"""Everything one node of a real run needs before it starts: its own rows, the model, its role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from troth import streams
from troth.charter.scenario import Scenario
from troth.engines.engine import Engine
from troth.engines.local import BatchedEngine
from troth.errors import CharterError, UsageError
from troth.ids import NodeId, PartyId, party_id
from troth.learning.device import choose_device, describe_device
from troth.learning.workbench import Workbench
from troth.privacy.own import OwnPrivacy
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Brought, Casting, Protocol
from troth.roles.node import Cast
from troth.streams import Stream
from troth.wire import Float32s
from troth.worlds.dealing import agreed_by, deal_rows, make_bench, tensors
from troth.worlds.real.honest import check_honest
from troth.worlds.real.rows import Rows, dealt_rows, test_rows


@dataclass(frozen=True)
class Star:
    """All nodes connect to `hub`, and speak to nobody else."""

    hub: NodeId


@dataclass(frozen=True)
class Mesh:
    """Every party speaks to every other, and there is nobody else. Of two, the one with the smaller
    name listens."""


Topology = Star | Mesh


@dataclass(frozen=True, eq=False)
class NodeStage:
    """One node before it starts."""

    scenario: Scenario
    id: NodeId
    topology: Topology
    parties: Mapping[PartyId, int]
    """Every admitted party, ascending, and how many rows it was dealt."""
    cast: Cast
    bench: Workbench
    """Of the training rows it holds this node's only."""
    engine: Engine
    device: str
    notes: tuple[str, ...]
    initial_D: Float32s
    """The model before round 1, shape (D,)."""
    privacy: OwnPrivacy | None = None
    """Of this node, if it is a party that has one of its own."""

    @property
    def listens_to(self) -> tuple[NodeId, ...]:
        """The peers that connect to this node, ascending."""
        match self.topology:
            case Star(hub=hub):
                return tuple(self.parties) if self.id == hub else ()
            case Mesh():
                return tuple(party for party in self.parties if party > self.id)

    @property
    def connects_to(self) -> tuple[NodeId, ...]:
        """The peers that this node connects to, ascending."""
        match self.topology:
            case Star(hub=hub):
                return () if self.id == hub else (hub,)
            case Mesh():
                return tuple(party for party in self.parties if party < self.id)

    @property
    def peers(self) -> tuple[NodeId, ...]:
        """Whom this node has a link to."""
        return (*self.connects_to, *self.listens_to)


def topology_of(scenario: Scenario) -> Topology:
    """Which nodes speak to which; this needs neither data nor model.

    Raises:
      CharterError: the protocol is not for nodes that know each other, or the scenario holds what
        only a simulation can do.
    """
    check_honest(scenario)
    protocol = protocol_of(scenario.charter.protocol)
    if protocol.real_nodes and protocol.topology == "star":
        return Star(protocol.coordinators[0])
    if protocol.real_nodes and protocol.topology == "mesh":
        return Mesh()
    brokered = protocol.topology == "brokered"
    raise CharterError(
        "is for parties that do not know each other"
        if brokered
        else "has no server that parties could connect to",
        key="protocol.name",
        value=protocol.name,
        hint="run it with: troth launch, or troth broker, curate and join"
        if brokered
        else "run it with: troth simulate",
    )


def node_names(scenario: Scenario) -> tuple[NodeId, ...]:
    """Every node of a real run, a hub first; admission may turn parties away that it names.

    Raises:
      CharterError: as `topology_of`.
    """
    topology, count = topology_of(scenario), scenario.parties.count
    hubs = (topology.hub,) if isinstance(topology, Star) else ()
    return (*hubs, *(party_id(i, count) for i in range(count)))


def prepare_node(
    scenario: Scenario,
    id: NodeId,
    *,
    base: Path,
    root: Path | None,
    bring: Callable[[Float32s], Brought] | None = None,
) -> NodeStage:
    """Take this node's rows, build the model, cast the roles.

    The scenario says how the data set is dealt, so every party takes its own rows of it and leaves
    the others; the server takes none, and measures on the test set.

    Args:
      base: the scenario file's folder, for relative paths and `module:callable`.
      root: the folder that `TROTH_DATA` names.
      bring: gives what this node brings besides its rows, once the model before round 1 is there,
        shape (D,); None where the protocol asks for nothing.

    Raises:
      CharterError, DataError, VerificationError: the scenario cannot be staged.
      UsageError: the scenario has no such node, `bring` is missing or not needed, or brings a
        node that is not admitted.
    """
    protocol = protocol_of(scenario.charter.protocol)
    topology = topology_of(scenario)
    dealt = deal_rows(scenario, base=base, root=root)

    def cast(initial_D: Float32s) -> tuple[Mapping[PartyId, int], Cast]:
        brought = None if bring is None else bring(initial_D)
        admitted = dealt.parties if brought is None else brought.admitted(dealt.parties)
        hubs = (topology.hub,) if isinstance(topology, Star) else ()
        if id not in (*hubs, *admitted):
            refused = id in dealt.rows_of
            raise UsageError(
                f"{id} is not admitted" if refused else f"the scenario has no node {id}",
                hint=f"its nodes are {', '.join((*hubs, *admitted[:4]))}"
                + (", ..." if len(admitted) > 4 else ""),
            )
        check_brought(protocol, id, brings=brought is not None)
        agreed = agreed_by(scenario.charter, admitted, initial_D, base)
        roles = protocol.make_cast(Casting(agreed=agreed, brought=brought))
        return {party: len(dealt.rows_of[party]) for party in admitted}, roles

    rows = dealt_rows(dealt, id)
    return stage_node(
        scenario,
        id,
        topology,
        rows or test_rows(dealt),
        cast,
        owner=None if rows is None else id,
        initial=streams.learning(scenario.seed).child("initial"),
        base=base,
        notes=(*dealt.notes, "network, churn, faults and cost are those of this machine"),
    )


def check_brought(protocol: Protocol[Any], id: NodeId, *, brings: bool) -> None:
    """Check that a node brings what its protocol asks for, and nothing else.

    Raises:
      UsageError: it does not.
    """
    if brings == (protocol.brings is not None):
        return
    if protocol.brings is not None:
        raise UsageError(f"{id} needs {protocol.brings.what}", hint=protocol.brings.hint)
    raise UsageError(
        f"{id} needs no genesis", hint=f"a node of {protocol.name} brings nothing but its rows"
    )


def stage_node(
    scenario: Scenario,
    id: NodeId,
    topology: Topology,
    rows: Rows,
    cast: Callable[[Float32s], tuple[Mapping[PartyId, int], Cast]],
    *,
    owner: NodeId | None,
    initial: Stream,
    base: Path,
    notes: tuple[str, ...],
    privacy: OwnPrivacy | None = None,
) -> NodeStage:
    """Model, bench, engine and roles of one node.

    Args:
      rows: what it trains or measures on.
      cast: gives `NodeStage.parties` and the roles, once the model before round 1 is there, shape
        (D,).
      owner: whose training rows they are; None: nobody's, a bench wants some.
      initial: what the model before round 1 is drawn from.
      base: folder for relative paths and `module:callable`.
      privacy: of the node, if it is a party that has one of its own.

    Raises:
      CharterError: model and rows do not go together.
    """
    device = choose_device(scenario.engine.device)
    bench = make_bench(
        scenario.charter.task,
        features=rows.features,
        outputs=rows.outputs,
        base=base,
        train=tensors(rows.own),
        test=tensors(rows.test),
        # The draws of batches are of places among the rows, so renumbering them changes none.
        rows_of={} if owner is None else {owner: np.arange(len(rows.own))},
        stream=streams.learning(scenario.seed),
        device=device,
        target_floor=rows.target_floor,
    )
    initial_D = bench.model.init(initial)
    parties, roles = cast(initial_D)
    return NodeStage(
        scenario=scenario,
        id=id,
        topology=topology,
        parties=parties,
        cast=roles,
        bench=bench,
        # One request at a time comes from one node, so one engine serves; it batches inside them.
        engine=BatchedEngine(bench),
        device=describe_device(scenario.engine.device, device),
        notes=(*notes, *bench.model.notes),
        initial_D=initial_D,
        privacy=privacy,
    )

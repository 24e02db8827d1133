"""Everything one node of a real run needs before it starts: its own rows, the model, its role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from troth import streams
from troth.charter.digest import charter_digest
from troth.charter.scenario import Scenario
from troth.engines.engine import Engine
from troth.engines.local import BatchedEngine
from troth.errors import CharterError, UsageError
from troth.ids import NodeId, PartyId, party_id
from troth.learning.device import choose_device, describe_device
from troth.learning.workbench import Workbench
from troth.privacy.own import OwnPrivacy
from troth.protocols.biscotti.parameters import Biscotti
from troth.protocols.biscotti.roles import Members
from troth.protocols.dssgd.parameters import DSSGD
from troth.protocols.federated.parameters import Federated
from troth.protocols.registry import make_cast
from troth.protocols.tormentor.parameters import Tormentor
from troth.roles.node import Cast
from troth.wire import Int64s
from troth.worlds.dealing import Dealt, deal_rows, make_bench


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
    protocol = scenario.charter.protocol
    if isinstance(protocol, Federated | DSSGD):
        return Star(NodeId("server"))
    if isinstance(protocol, Biscotti):
        return Mesh()
    brokered = isinstance(protocol, Tormentor)
    raise CharterError(
        "is for parties that do not know each other"
        if brokered
        else "has no server that parties could connect to",
        key="protocol.name",
        value=str(protocol.__struct_config__.tag),
        hint="run it with: troth launch, or troth broker, curate and join"
        if brokered
        else "run it with: troth simulate",
    )


def check_honest(scenario: Scenario) -> None:
    """The scenario holds nothing that only a simulation can do.

    Raises:
      CharterError: it does.
    """
    if scenario.attacks:
        raise CharterError(
            "belongs to a simulation, real nodes do not attack",
            key="attacks",
            hint="remove the attacks, or run the scenario with: troth simulate",
        )
    if scenario.cryptography.group != "g1":
        raise CharterError(
            "belongs to a simulation, it binds nobody who computes",
            key="cryptography.group",
            value=scenario.cryptography.group,
            hint='set group = "g1", or run the scenario with: troth simulate',
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
    scenario: Scenario, id: NodeId, *, base: Path, root: Path | None, members: Members | None = None
) -> NodeStage:
    """Take this node's rows, build the model, cast the roles.

    The scenario says how the data set is dealt, so every party takes its own rows of it and leaves
    the others; the server takes none, and measures on the test set.

    Args:
      base: the scenario file's folder, for relative paths and `module:callable`.
      root: the folder that `TROTH_DATA` names.
      members: of a ledger, this node with its genesis; None where there is no ledger.

    Raises:
      CharterError, DataError, VerificationError: the scenario cannot be staged.
      UsageError: the scenario has no such node, `members` is missing or not needed, or its genesis
        has a peer that is not admitted.
    """
    charter = scenario.charter
    topology = topology_of(scenario)
    dealt = deal_rows(scenario, base=base, root=root)
    device = choose_device(scenario.engine.device)
    bench = _bench_of(id, scenario, dealt, base, device)
    admitted = dealt.parties if members is None else _in_genesis(members, dealt)
    parties = {party: len(dealt.rows_of[party]) for party in admitted}
    hubs = (topology.hub,) if isinstance(topology, Star) else ()
    if id not in (*hubs, *parties):
        refused = id in dealt.rows_of
        raise UsageError(
            f"{id} is not admitted" if refused else f"the scenario has no node {id}",
            hint=f"its nodes are {', '.join((*hubs, *admitted[:4]))}"
            + (", ..." if len(parties) > 4 else ""),
        )
    if (members is None) == isinstance(charter.protocol, Biscotti):
        raise UsageError(
            f"{id} needs {'its secret and the' if members is None else 'no'} genesis",
            hint="a peer of a ledger takes --secret FILE --genesis FILE, and no other node does",
        )
    cast = make_cast(
        charter.protocol,
        parties=admitted,
        initial_D=bench.model.init(streams.learning(scenario.seed).child("initial")),
        training=charter.training,
        base=base,
        model_id=charter_digest(charter),
        members=members,
    )
    notes = [*dealt.notes, "network, churn, faults and cost are those of this machine"]
    return NodeStage(
        scenario=scenario,
        id=id,
        topology=topology,
        parties=parties,
        cast=cast,
        bench=bench,
        # One request at a time comes from one node, so one engine serves; it batches inside them.
        engine=BatchedEngine(bench),
        device=describe_device(scenario.engine.device, device),
        notes=tuple(notes),
    )


def _in_genesis(members: Members, dealt: Dealt) -> tuple[PartyId, ...]:
    names = members.rules.genesis.content.names()
    for name in names:
        if name not in dealt.parties:
            raise UsageError(
                f"{name} is in the genesis, and not admitted",
                hint="build the genesis again without it",
            )
    return tuple(map(PartyId, names))


def _bench_of(
    id: NodeId, scenario: Scenario, dealt: Dealt, base: Path, device: torch.device
) -> Workbench:
    task, data = scenario.charter.task, dealt.data
    # Whose rows this node may use, and which they are.
    rows = dealt.rows_of[PartyId(id)] if id in dealt.parties else None
    examples = data.test if rows is None else data.train.take(rows)
    # The draws of batches are of places among the rows, so renumbering them changes none.
    rows_of: dict[NodeId, Int64s] = {} if rows is None else {id: np.arange(len(rows))}
    # A bench wants rows to train on; a node without any gets the test set, and none is its.
    return make_bench(
        task.model,
        features=data.features,
        outputs=max(1, len(data.classes)),
        task=data.task,
        loss=task.loss,
        base=base,
        x_NF=torch.from_numpy(np.require(examples.x_NF, requirements=["C", "W"])),
        y_N=torch.from_numpy(np.require(examples.y_N, requirements=["C", "W"])),
        rows_of=rows_of,
        test_x_TF=torch.from_numpy(np.require(data.test.x_NF, requirements=["C", "W"])),
        test_y_T=torch.from_numpy(np.require(data.test.y_N, requirements=["C", "W"])),
        stream=streams.learning(scenario.seed),
        device=device,
        target_floor=data.target_floor,
    )

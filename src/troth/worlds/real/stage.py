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
from troth.protocols.dssgd.parameters import DSSGD
from troth.protocols.federated.parameters import Federated
from troth.protocols.registry import make_cast
from troth.protocols.tormentor.parameters import Tormentor
from troth.roles.node import Cast
from troth.wire import Int64s
from troth.worlds.dealing import Dealt, deal_rows, make_bench


@dataclass(frozen=True, eq=False)
class NodeStage:
    """One node before it starts."""

    scenario: Scenario
    id: NodeId
    hub: NodeId
    """The node that all others connect to."""
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
    def peers(self) -> tuple[NodeId, ...]:
        """Whom this node has a link to."""
        if self.id != self.hub:
            return (self.hub,)
        return tuple(sorted(self.cast.roles.keys() - {self.hub}))


def hub_of(scenario: Scenario) -> NodeId:
    """The node that all others connect to; this needs neither data nor model.

    Raises:
      CharterError: the protocol has none, or the scenario holds what only a simulation can do.
    """
    check_honest(scenario)
    protocol = scenario.charter.protocol
    if isinstance(protocol, Federated | DSSGD):
        return NodeId("server")
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


def node_names(scenario: Scenario) -> tuple[NodeId, ...]:
    """Every node of a real run, the hub first; admission may turn parties away that it names.

    Raises:
      CharterError: as `hub_of`.
    """
    count = scenario.parties.count
    return (hub_of(scenario), *(party_id(i, count) for i in range(count)))


def prepare_node(scenario: Scenario, id: NodeId, *, base: Path, root: Path | None) -> NodeStage:
    """Take this node's rows, build the model, cast the roles.

    The scenario says how the data set is dealt, so every party takes its own rows of it and leaves
    the others; the server takes none, and measures on the test set.

    Args:
      base: the scenario file's folder, for relative paths and `module:callable`.
      root: the folder that `TROTH_DATA` names.

    Raises:
      CharterError, DataError, VerificationError: the scenario cannot be staged.
      UsageError: the scenario has no such node.
    """
    charter = scenario.charter
    hub = hub_of(scenario)
    dealt = deal_rows(scenario, base=base, root=root)
    device = choose_device(scenario.engine.device)
    bench = _bench_of(id, scenario, dealt, base, device)
    parties = {party: len(dealt.rows_of[party]) for party in dealt.parties}
    cast = make_cast(
        charter.protocol,
        parties=dealt.parties,
        initial_D=bench.model.init(streams.learning(scenario.seed).child("initial")),
        training=charter.training,
        base=base,
        model_id=charter_digest(charter),
    )
    assert hub in cast.roles
    if id not in cast.roles:
        refused = id in dealt.rows_of
        raise UsageError(
            f"{id} is not admitted" if refused else f"the scenario has no node {id}",
            hint=f"its nodes are {hub}, {', '.join(dealt.parties[:4])}"
            + (", ..." if len(parties) > 4 else ""),
        )
    notes = [*dealt.notes, "network, churn, faults and cost are those of this machine"]
    return NodeStage(
        scenario=scenario,
        id=id,
        hub=hub,
        parties=parties,
        cast=cast,
        bench=bench,
        # One request at a time comes from one node, so one engine serves; it batches inside them.
        engine=BatchedEngine(bench),
        device=describe_device(scenario.engine.device, device),
        notes=tuple(notes),
    )


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

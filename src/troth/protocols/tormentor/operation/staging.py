"""What a broker, a curator or a provider of a real run needs before its role starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from troth import streams
from troth.charter.charter import Charter
from troth.charter.digest import charter_digest
from troth.errors import CharterError
from troth.ids import NodeId, PartyId
from troth.learning.build import build_model
from troth.privacy.own import OwnPrivacy
from troth.protocols.tormentor.messages import MESSAGES
from troth.protocols.tormentor.operation.terms import as_scenario
from troth.protocols.tormentor.parameters import Tormentor
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.state import Plan
from troth.roles.node import Cast, Role
from troth.wire import Float32s
from troth.worlds.real.rows import Rows
from troth.worlds.real.stage import NodeStage, Star, stage_node

MAX_PARAMETERS = 2**25
"""Largest model that a broker trains for somebody else; a charter of a few bytes may name one that
fills any memory."""


def check_size(charter: Charter, rows: Rows, *, base: Path) -> None:
    """Check that the charter's model is small enough to be held.

    Raises:
      CharterError: it has more than `MAX_PARAMETERS`, or does not fit the rows.
    """
    task = charter.task
    # On this device tensors have shapes and no memory.
    with torch.device("meta"):
        model = build_model(
            task.model,
            features=rows.features,
            outputs=rows.outputs,
            task=rows.task,
            loss=task.loss,
            base=base,
        )
    if model.dimension > MAX_PARAMETERS:
        raise CharterError(
            f"has {model.dimension} parameters, more than {MAX_PARAMETERS}", key="task.model"
        )


def brokered_stage(
    charter: Charter,
    id: NodeId,
    rows: Rows,
    role: Callable[[Plan], Role],
    *,
    seed: int,
    base: Path,
    address: str = BROKER,
    broker: str = BROKER,
    linger_s: float = 0.0,
    privacy: OwnPrivacy | None = None,
) -> NodeStage:
    """The stage of one node: its rows, its model and its role.

    Args:
      id: which node it is: `BROKER`, `CURATOR`, or a provider's name for itself.
      rows: the node's own rows; the curator's validation set for the broker, too.
      role: makes the node's role from the plan.
      seed: the seed that the node's batches are drawn from.
      address: where the broker can be reached, if this is the broker.
      broker: the broker's public id, where the node is the curator or the broker.
      linger_s: seconds that the broker stays for providers that have not heard that all is done.
      privacy: the provider's own, if it has one.
      base: folder in which code that the charter names is looked up.

    Raises:
      CharterError: the rows are not for the charter's task or model.
    """
    if rows.task != charter.task.kind:
        raise CharterError(f"does not fit rows for {rows.task}", key="task.kind")
    assert isinstance(charter.protocol, Tormentor)
    model_id, protocol = charter_digest(charter), charter.protocol

    def cast(initial_D: Float32s) -> tuple[dict[PartyId, int], Cast]:
        plan = Plan(
            (),
            initial_D,
            charter.training,
            protocol,
            model_id,
            base,
            address=address,
            broker=broker,
            linger_s=linger_s,
        )
        parties = {} if id in (BROKER, CURATOR) else {PartyId(id): len(rows.own)}
        return parties, Cast({id: role(plan)}, (id,), MESSAGES)

    return stage_node(
        as_scenario(charter, seed),
        id,
        Star(BROKER),
        rows,
        cast,
        # The rows belong to nobody's node at a broker: it measures on those of its curator.
        owner=CURATOR if id == BROKER else id,
        # All have to start from one model, and agree on it without having spoken.
        initial=streams.learning(int(model_id.removeprefix("sha256:")[:12], 16)).child("initial"),
        base=base,
        notes=rows.notes,
        privacy=privacy,
    )

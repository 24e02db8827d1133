"""What one of a broker's parties, or the broker, needs before it starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from troth import streams
from troth.charter.charter import Charter
from troth.charter.digest import charter_digest
from troth.engines.local import BatchedEngine
from troth.errors import CharterError
from troth.ids import NodeId, PartyId
from troth.learning.build import build_model
from troth.learning.device import choose_device, describe_device
from troth.privacy.own import OwnPrivacy
from troth.protocols.tormentor.messages import MESSAGES
from troth.protocols.tormentor.operation.rows import Rows
from troth.protocols.tormentor.operation.terms import as_scenario
from troth.protocols.tormentor.parameters import Tormentor
from troth.protocols.tormentor.state import BROKER, CURATOR, Plan
from troth.roles.node import Cast, Role
from troth.worlds.dealing import make_bench
from troth.worlds.real.stage import NodeStage, Star

MAX_PARAMETERS = 2**25
"""Largest model that a broker trains for somebody else; a charter of a few bytes may name one that
fills any memory."""


def check_size(charter: Charter, rows: Rows, *, base: Path) -> None:
    """The charter's model is one that can be held.

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
    linger_s: float = 0.0,
    privacy: OwnPrivacy | None = None,
) -> NodeStage:
    """Rows, model and role of one node.

    Args:
      role: what it does by a plan.
      seed: of its batches.
      address: where the broker can be reached, if this is the broker.
      linger_s: how long it stays for providers who have not heard yet that all is done.
      privacy: of a provider that has one of its own.
      base: folder in which code that the charter names is looked up.

    Raises:
      CharterError: the rows are not for the charter's task or model.
    """
    if rows.task != charter.task.kind:
        raise CharterError(f"does not fit rows for {rows.task}", key="task.kind")
    assert isinstance(charter.protocol, Tormentor)
    model_id = charter_digest(charter)
    scenario = as_scenario(charter, seed)
    device = choose_device(scenario.engine.device)
    # The rows belong to nobody's node at a broker: it measures on those of its curator.
    owner = CURATOR if id == BROKER else id
    bench = make_bench(
        charter.task.model,
        features=rows.features,
        outputs=rows.outputs,
        task=rows.task,
        loss=charter.task.loss,
        base=base,
        x_NF=_tensor(rows.own.x_NF),
        y_N=_tensor(rows.own.y_N),
        rows_of={owner: np.arange(len(rows.own))},
        test_x_TF=_tensor(rows.test.x_NF),
        test_y_T=_tensor(rows.test.y_N),
        stream=streams.learning(seed),
        device=device,
        target_floor=rows.target_floor,
    )
    # All have to start from one model, and agree on it without having spoken.
    initial = streams.learning(int(model_id.removeprefix("sha256:")[:12], 16)).child("initial")
    plan = Plan(
        (),
        bench.model.init(initial),
        charter.training,
        charter.protocol,
        model_id,
        base,
        address=address,
        linger_s=linger_s,
    )
    return NodeStage(
        scenario=scenario,
        id=id,
        topology=Star(BROKER),
        parties={} if id in (BROKER, CURATOR) else {PartyId(id): len(rows.own)},
        cast=Cast({id: role(plan)}, (id,), MESSAGES),
        bench=bench,
        engine=BatchedEngine(bench),
        device=describe_device(scenario.engine.device, device),
        notes=rows.notes,
        privacy=privacy,
    )


def _tensor(array: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))

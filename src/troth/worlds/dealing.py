"""From a scenario to who holds which rows: what every node of a run has to agree on.

All of it follows from the scenario and its seed, so nodes on different machines that read the same
file and the same data set come to the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from troth import streams
from troth.charter.charter import Charter, Task
from troth.charter.digest import charter_digest
from troth.charter.scenario import Scenario
from troth.data.examples import DataSet, Examples
from troth.data.loading import load
from troth.data.partitions import deal
from troth.data.split import split_groups, split_rows
from troth.errors import CharterError
from troth.ids import NodeId, PartyId, party_id
from troth.learning.build import build_model
from troth.learning.workbench import Workbench, build_workbench
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Agreed
from troth.references import resolve
from troth.specification import Table
from troth.streams import Stream
from troth.wire import Float32s, Int64s


@dataclass(frozen=True, eq=False)
class Dealt:
    """The data set, and which rows of its training set each party holds."""

    data: DataSet
    rows_of: Mapping[PartyId, Int64s]
    """Of everyone, in ascending order, admitted or not."""
    parties: tuple[PartyId, ...]
    """Admitted, in ascending order."""
    notes: tuple[str, ...]
    kept: Mapping[NodeId, Int64s] = field(default_factory=dict)
    """The training rows that a coordinator keeps for validation; no party holds any of them."""


def deal_rows(scenario: Scenario, *, base: Path, root: Path | None) -> Dealt:
    """Load the data and deal it.

    Args:
      base: the scenario file's folder, for relative paths and `module:callable`.
      root: the folder that `TROTH_DATA` names.

    Raises:
      CharterError, DataError, VerificationError: there is no such data, or it cannot be dealt so.
    """
    charter = scenario.charter
    world = streams.world(scenario.seed)
    data = load(charter.task.data, root=root, base=base, stream=world.child("data"))
    if data.task != charter.task.kind:
        raise CharterError(
            f"does not fit {data.name}, which is for {data.task}",
            key="task.kind",
            value=charter.task.kind,
            hint=f'set kind = "{data.task}", or take another data set',
        )
    everyone = [party_id(i, scenario.parties.count) for i in range(scenario.parties.count)]
    dealt = deal(
        data.train,
        scenario.partition,
        len(everyone),
        world.child("deal"),
        given=data.given,
        resolve=partial(resolve, base=base),
    )
    rows_of = dict(zip(everyone, dealt, strict=True))
    kept: dict[NodeId, Int64s] = {}
    notes = list(data.notes)
    keeps = protocol_of(charter.protocol).keeps
    if keeps is not None:
        validation = _hold_out(data, charter.protocol, keeps.key, world)
        kept[keeps.node] = validation
        rows_of = {party: rows[~np.isin(rows, validation)] for party, rows in rows_of.items()}
        notes.append(f"the {keeps.node} keeps {len(validation)} training rows for validation")
    parties, refusals = _admit(scenario, rows_of)
    return Dealt(data, rows_of, parties, (*notes, *refusals), kept)


def _hold_out(data: DataSet, protocol: Table, key: str, world: Stream) -> Int64s:
    """Rows drawn after dealing, so that they are taken from every partition alike; groups whole.

    Args:
      key: of the protocol's table, which says what share of the training rows they are.
    """
    fraction: float = getattr(protocol, key)
    stream, group_N = world.child("validation"), data.train.group_N
    if group_N is not None:
        return split_groups(group_N, fraction, stream)[1]
    held_out = split_rows(len(data.train), fraction, stream)[1]
    if not len(held_out):
        raise CharterError(
            f"of {len(data.train)} training rows is none at all",
            key=f"protocol.{key}",
            value=fraction,
        )
    return held_out


def _admit(
    scenario: Scenario, rows_of: Mapping[PartyId, Int64s]
) -> tuple[tuple[PartyId, ...], list[str]]:
    admission = scenario.charter.admission
    admitted, unlisted, small = [], [], []
    for party, rows in rows_of.items():
        if admission.policy == "allow_list" and party not in admission.allow:
            unlisted.append(party)
        elif len(rows) < admission.minimum_examples:
            small.append(party)
        else:
            admitted.append(party)
    if not admitted:
        raise CharterError(
            "admits none of the parties",
            key="admission",
            hint=f"lower minimum_examples = {admission.minimum_examples}, or extend allow",
        )
    notes = []
    if unlisted:
        notes.append(f"not admitted, not on the allow list: {', '.join(unlisted)}")
    if small:
        notes.append(
            f"not admitted, fewer than {admission.minimum_examples} examples: {', '.join(small)}"
        )
    return tuple(admitted), notes


def agreed_by(
    charter: Charter, parties: tuple[PartyId, ...], initial_D: Float32s, base: Path
) -> Agreed[Any]:
    """What all nodes of a run know of it before round 1.

    Args:
      parties: admitted, ascending.
      initial_D: the model before round 1, shape (D,).
    """
    return Agreed(
        parameters=charter.protocol,
        privacy=charter.privacy,
        training=charter.training,
        parties=parties,
        initial_D=initial_D,
        charter=charter_digest(charter),
        base=base,
    )


def tensors(examples: Examples, *, shared: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Examples and what is predicted of them, as `make_bench` takes them.

    Args:
      shared: they lie in memory that worker processes share.
    """
    x_NF, y_N = (
        torch.from_numpy(np.require(array, requirements=["C", "W"]))
        for array in (examples.x_NF, examples.y_N)
    )
    if shared:
        for tensor in (x_NF, y_N):
            # torch declares no types for this method.
            untyped: Any = tensor
            untyped.share_memory_()
    return x_NF, y_N


def make_bench(
    task: Task,
    *,
    features: tuple[int, ...],
    outputs: int,
    base: Path,
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    rows_of: Mapping[NodeId, Int64s],
    stream: Stream,
    device: torch.device,
    target_floor: float,
) -> Workbench:
    """A bench; also called in worker processes, so every argument can be pickled.

    Args:
      train, test: examples, and what is predicted of them.
    """
    model = build_model(
        task.model, features=features, outputs=outputs, task=task.kind, loss=task.loss, base=base
    )
    x_NF, y_N, test_x_TF, test_y_T = (tensor.numpy() for tensor in (*train, *test))
    return build_workbench(
        model,
        x_NF=x_NF,
        y_N=y_N,
        rows_of=rows_of,
        test_x_TF=test_x_TF,
        test_y_T=test_y_T,
        stream=stream,
        device=device,
        target_floor=target_floor,
    )

"""Everything a simulated run needs before its first event: data dealt, model built, roles cast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from troth import streams
from troth.attacks.choice import check_attack, choose_attackers, target_of
from troth.attacks.data import poison
from troth.attacks.roles import corrupt
from troth.attacks.spec import AttackSpec, DataAttack, LabelFlip
from troth.charter.scenario import Scenario
from troth.data.examples import DataSet, Examples
from troth.data.loading import load
from troth.data.partitions import deal
from troth.engines.engine import Engine
from troth.engines.make import make_engine
from troth.errors import CharterError
from troth.ids import NodeId, PartyId, party_id
from troth.learning.build import build_model
from troth.learning.device import choose_device, describe_device
from troth.learning.losses import LossName, Task
from troth.learning.models import Model
from troth.learning.spec import ModelSpec
from troth.learning.workbench import Targets, Workbench, build_workbench
from troth.protocols.centralised.roles import TRAINER
from troth.protocols.registry import make_cast
from troth.references import resolve
from troth.roles.node import Cast
from troth.streams import Stream
from troth.wire import Float32s, Int64s


@dataclass(frozen=True, eq=False)
class Stage:
    """A run before its first event.

    `target` is the (source, target) pair of classes by which an attack rate is measured, if any.
    """

    scenario: Scenario
    parties: tuple[PartyId, ...]
    """Admitted, in ascending order."""
    attackers: Mapping[PartyId, AttackSpec]
    target: tuple[int, int] | None
    cast: Cast
    bench: Workbench
    engine: Engine
    initial_D: Float32s
    device: str
    notes: tuple[str, ...]


def prepare(scenario: Scenario, *, base: Path, root: Path | None) -> Stage:
    """Load and deal the data, build the model, cast the roles.

    Args:
      base: the scenario file's folder, for relative paths and `module:callable`.
      root: the folder that `TROTH_DATA` names.

    Raises:
      CharterError, DataError, VerificationError: the scenario cannot be staged.
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
    parties, refusals = _admit(scenario, rows_of)
    attackers = _attackers(scenario, everyone, data, world)
    train, rows_of = _poison(data, rows_of, attackers, world)
    device = choose_device(scenario.engine.device)
    rows: dict[NodeId, Int64s] = {party: rows_of[party] for party in parties}
    rows[TRAINER] = np.unique(np.concatenate(list(rows.values())))
    make_bench = partial(
        _make_bench,
        charter.task.model,
        features=data.features,
        outputs=max(1, len(data.classes)),
        task=data.task,
        loss=charter.task.loss,
        base=base,
        x_NF=_shared(train.x_NF, scenario),
        y_N=_shared(train.y_N, scenario),
        rows_of=rows,
        test_x_TF=_shared(data.test.x_NF, scenario),
        test_y_T=_shared(data.test.y_N, scenario),
        stream=streams.learning(scenario.seed),
        device=device,
        target_floor=data.target_floor,
    )
    bench = make_bench()
    initial_D = bench.model.init(streams.learning(scenario.seed).child("initial"))
    cast = make_cast(
        charter.protocol,
        parties=parties,
        initial_D=initial_D,
        training=charter.training,
        base=base,
    )
    return Stage(
        scenario=scenario,
        parties=parties,
        attackers=attackers,
        target=target_of(scenario.attacks),
        cast=_corrupted(cast, parties, attackers, base),
        bench=bench,
        engine=make_engine(scenario.engine, bench, make_bench),
        initial_D=initial_D,
        device=describe_device(scenario.engine.device, device),
        notes=(*data.notes, *refusals),
    )


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


def _attackers(
    scenario: Scenario, everyone: list[PartyId], data: DataSet, world: Stream
) -> dict[PartyId, AttackSpec]:
    for spec in scenario.attacks:
        check_attack(spec, classes=len(data.classes) or None, parties=everyone)
    return choose_attackers(scenario.attacks, everyone, world.child("attackers"))


def _poison(
    data: DataSet,
    rows_of: dict[PartyId, Int64s],
    attackers: Mapping[PartyId, AttackSpec],
    world: Stream,
) -> tuple[Examples, dict[PartyId, Int64s]]:
    """The training rows with attackers' poisoned ones.

    Rows that nobody else holds are changed in place; rows held by several parties are copied
    first, so that an attacker never changes what an honest party sees.
    """
    poisoners = {party: spec for party, spec in attackers.items() if isinstance(spec, DataAttack)}
    if not poisoners:
        return data.train, rows_of
    x_NF, y_N = data.train.x_NF.copy(), data.train.y_N.copy()
    holders_N = np.zeros(len(y_N), np.int64)
    for rows in rows_of.values():
        np.add.at(holders_N, rows, 1)
    rows_of = dict(rows_of)
    more_x: list[Float32s] = []
    more_y: list[Targets] = []
    end = len(y_N)
    for party, spec in poisoners.items():
        rows = rows_of[party]
        if isinstance(spec, LabelFlip) and spec.flipped_only:
            rows = rows[y_N[rows] == spec.source] if spec.source is not None else rows
            if not len(rows):
                raise CharterError(
                    f"leaves {party} without a row, as it holds none of class {spec.source}",
                    key="attacks.flipped_only",
                    value=True,
                    hint="leave it out, or choose another partition",
                )
            rows_of[party] = rows
        x, y = poison(
            spec,
            x_NF[rows],
            y_N[rows],
            len(data.classes) or None,
            world.child("poison", party).generator(),
        )
        if (holders_N[rows] == 1).all():
            x_NF[rows], y_N[rows] = x, y
        else:
            more_x.append(x)
            more_y.append(y)
            rows_of[party] = np.arange(end, end + len(rows))
            end += len(rows)
    if more_x:
        x_NF, y_N = np.concatenate([x_NF, *more_x]), np.concatenate([y_N, *more_y])
    return Examples(x_NF=x_NF, y_N=y_N), rows_of


def _corrupted(
    cast: Cast,
    parties: tuple[PartyId, ...],
    attackers: Mapping[PartyId, AttackSpec],
    base: Path,
) -> Cast:
    roles = dict(cast.roles)
    for party, spec in attackers.items():
        if party not in roles or isinstance(spec, DataAttack):
            continue
        members = tuple(other for other in parties if attackers.get(other) == spec)
        roles[party] = corrupt(
            roles[party],
            spec,
            members=members,
            parties=len(parties),
            attackers=sum(other in attackers for other in parties),
            base=base,
        )
    return Cast(roles, cast.leading, cast.messages, cast.own_models)


def _shared(array: Float32s | Targets, scenario: Scenario) -> torch.Tensor:
    """The array as a tensor; in shared memory where worker processes need it."""
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    if scenario.engine.name == "processes":
        # torch declares no types for this method.
        untyped: Any = tensor
        untyped.share_memory_()
    return tensor


def _make_bench(
    table: ModelSpec,
    *,
    features: tuple[int, ...],
    outputs: int,
    task: Task,
    loss: LossName | None,
    base: Path,
    x_NF: torch.Tensor,
    y_N: torch.Tensor,
    rows_of: Mapping[NodeId, Int64s],
    test_x_TF: torch.Tensor,
    test_y_T: torch.Tensor,
    stream: Stream,
    device: torch.device,
    target_floor: float,
) -> Workbench:
    """A bench; also called in worker processes, so every argument can be pickled."""
    model: Model = build_model(
        table, features=features, outputs=outputs, task=task, loss=loss, base=base
    )
    return build_workbench(
        model,
        x_NF=x_NF.numpy(),
        y_N=y_N.numpy(),
        rows_of=rows_of,
        test_x_TF=test_x_TF.numpy(),
        test_y_T=test_y_T.numpy(),
        stream=stream,
        device=device,
        target_floor=target_floor,
    )

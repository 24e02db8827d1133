"""Everything a simulated run needs before its first event: data dealt, model built, roles cast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from troth import streams
from troth.attacks.choice import check_attack, choose_attackers, target_of
from troth.attacks.data import poison
from troth.attacks.registry import recast, tampered
from troth.attacks.roles import corrupt
from troth.attacks.spec import Attack, DataAttack, LabelFlip, UpdateAttack
from troth.charter.scenario import Scenario
from troth.charter.world import ZeroCost
from troth.data.examples import DataSet, Examples
from troth.engines.engine import Engine
from troth.engines.make import make_engine
from troth.errors import CharterError
from troth.ids import NodeId, PartyId
from troth.learning.device import choose_device, describe_device
from troth.learning.workbench import Targets, Workbench
from troth.privacy.own import OwnPrivacy, own_privacy
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Brought, Casting, Simulated
from troth.roles.node import Cast
from troth.streams import Stream
from troth.wire import Float32s, Int64s
from troth.worlds.dealing import agreed_by, deal_rows, make_bench, tensors
from troth.worlds.simulated.world import Observer, SimulatedWorld


@dataclass(frozen=True, eq=False)
class Stage:
    """A run before its first event.

    `target` is the (source, target) pair of classes by which an attack rate is measured, if any.
    """

    scenario: Scenario
    parties: tuple[PartyId, ...]
    """Admitted, in ascending order."""
    attackers: Mapping[PartyId, Attack]
    target: tuple[int, int] | None
    cast: Cast
    bench: Workbench
    engine: Engine
    initial_D: Float32s
    privacy: Mapping[PartyId, OwnPrivacy]
    """Of parties that have one of their own."""
    brought: Brought | None
    """What nodes bring besides their rows, where the protocol asks for something."""
    device: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Ground:
    """What a simulated run stands on before there are roles."""

    parties: tuple[PartyId, ...]
    """Admitted, in ascending order."""
    attackers: Mapping[PartyId, Attack]
    bench: Workbench
    bench_maker: Callable[[], Workbench]
    """Makes the same bench in a worker process."""
    initial_D: Float32s
    privacy: Mapping[PartyId, OwnPrivacy]
    """Of parties that have one of their own."""
    device: torch.device
    notes: tuple[str, ...]


def lay_out(scenario: Scenario, *, base: Path, root: Path | None) -> Ground:
    """Load and deal the data, plant the malicious ones, and build the model.

    Raises:
      CharterError, DataError, VerificationError: as `prepare`.
    """
    charter, protocol = scenario.charter, protocol_of(scenario.charter.protocol)
    world = streams.world(scenario.seed)
    dealt = deal_rows(scenario, base=base, root=root)
    data, parties = dealt.data, dealt.parties
    everyone = list(dealt.rows_of)
    attackers = _attackers(scenario, everyone, data, world)
    train, rows_of = _poison(data, dict(dealt.rows_of), attackers, world)
    device = choose_device(scenario.engine.device)
    rows: dict[NodeId, Int64s] = {party: rows_of[party] for party in parties}
    if protocol.pools_rows is not None:
        rows[protocol.pools_rows] = np.unique(np.concatenate(list(rows.values())))
    rows |= dealt.kept
    in_workers = scenario.engine.name == "processes"
    bench_maker = partial(
        make_bench,
        charter.task,
        features=data.features,
        outputs=max(1, len(data.classes)),
        base=base,
        train=tensors(train, shared=in_workers),
        test=tensors(data.test, shared=in_workers),
        rows_of=rows,
        stream=streams.learning(scenario.seed),
        device=device,
        target_floor=data.target_floor,
    )
    bench = bench_maker()
    return Ground(
        parties=parties,
        attackers=attackers,
        bench=bench,
        bench_maker=bench_maker,
        initial_D=bench.model.init(streams.learning(scenario.seed).child("initial")),
        privacy=_own_privacy(scenario, parties, attackers, rows_of),
        device=device,
        notes=dealt.notes,
    )


def simulated_by(scenario: Scenario, engine: Engine) -> Simulated:
    """What a protocol may know of the scenario's world, which computes by `engine`."""
    return Simulated(
        secret=streams.secret(scenario.seed),
        compute=engine.run,
        ground_up_to=scenario.puzzles.ground_up_to,
        modelled=scenario.cryptography.group == "modelled",
        shares_checks=scenario.engine.share_checks,
        computing_is_free=isinstance(scenario.cost, ZeroCost),
    )


def prepare(scenario: Scenario, *, base: Path, root: Path | None) -> Stage:
    """Load and deal the data, build the model, cast the roles.

    Args:
      base: the scenario file's folder, for relative paths and `module:callable`.
      root: the folder that `TROTH_DATA` names.

    Raises:
      CharterError, DataError, VerificationError: the scenario cannot be staged.
    """
    ground = lay_out(scenario, base=base, root=root)
    charter, protocol = scenario.charter, protocol_of(scenario.charter.protocol)
    parties, attackers, bench = ground.parties, ground.attackers, ground.bench
    engine = make_engine(scenario.engine, bench, ground.bench_maker)
    agreed = agreed_by(charter, parties, ground.initial_D, base)
    simulated = simulated_by(scenario, engine)
    brought = tampered(protocol.bring_to_simulation(agreed, simulated), attackers, ground.initial_D)
    cast = protocol.make_cast(
        Casting(agreed=agreed, brought=brought, privacy=ground.privacy, simulated=simulated)
    )
    return Stage(
        scenario=scenario,
        parties=parties,
        attackers=attackers,
        target=target_of(scenario.attacks),
        cast=_corrupted(cast, parties, attackers, base),
        bench=bench,
        engine=engine,
        initial_D=ground.initial_D,
        privacy=ground.privacy,
        brought=brought,
        device=describe_device(scenario.engine.device, ground.device),
        notes=(
            *ground.notes,
            *bench.model.notes,
            *protocol.notes_of_simulation(agreed, brought, simulated),
        ),
    )


def make_world(
    stage: Stage, observer: Observer, checkpoint: Callable[[], None] | None = None
) -> SimulatedWorld:
    """The world in which the run's nodes live; its `start` begins with the first event.

    Args:
      observer, checkpoint: as in `SimulatedWorld`.
    """
    scenario = stage.scenario
    return SimulatedWorld(
        stage.cast,
        engine=stage.engine,
        parties=stage.parties,
        stream=streams.world(scenario.seed),
        learning=streams.learning(scenario.seed),
        secret=streams.secret(scenario.seed),
        observer=observer,
        network=scenario.network,
        churn=scenario.churn,
        faults=scenario.faults,
        cost=scenario.cost,
        checkpoint=checkpoint,
    )


def _own_privacy(
    scenario: Scenario,
    parties: tuple[PartyId, ...],
    attackers: Mapping[PartyId, Attack],
    rows_of: Mapping[PartyId, Int64s],
) -> dict[PartyId, OwnPrivacy]:
    """Of every party but those that replace their updates by malicious ones: what they send is not
    of their data, and clipped or with noise it would look tamer than an attacker is."""
    honest = [p for p in parties if not isinstance(attackers.get(p), UpdateAttack)]
    found = {
        party: own_privacy(
            scenario.parties.privacy,
            party,
            training=scenario.charter.training,
            examples=len(rows_of[party]),
            simulated=True,
        )
        for party in honest
    }
    return {party: privacy for party, privacy in found.items() if privacy is not None}


def _attackers(
    scenario: Scenario, everyone: list[PartyId], data: DataSet, world: Stream
) -> dict[PartyId, Attack]:
    for spec in scenario.attacks:
        check_attack(spec, classes=len(data.classes) or None, parties=everyone)
    return choose_attackers(scenario.attacks, everyone, world.child("attackers"))


def _poison(
    data: DataSet,
    rows_of: dict[PartyId, Int64s],
    attackers: Mapping[PartyId, Attack],
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
    attackers: Mapping[PartyId, Attack],
    base: Path,
) -> Cast:
    cast = recast(cast, attackers)
    roles = dict(cast.roles)
    for party, spec in attackers.items():
        if party not in roles or not isinstance(spec, UpdateAttack):
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
    return replace(cast, roles=roles)

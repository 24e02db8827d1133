"""The beginning of a simulated run, for `troth check`: what would end the run before its first
training step, or in it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from troth.attacks.choice import target_of
from troth.attacks.spec import UpdateAttack
from troth.charter.loading import LoadedScenario
from troth.charter.scenario import Scenario
from troth.data.published.files import FILES
from troth.data.spec import NamedData
from troth.engines.local import BatchedEngine
from troth.ids import NodeId, Round
from troth.learning.device import repeatable
from troth.learning.requests import Evaluate, LocalUpdate
from troth.protocols.lookup import protocol_of
from troth.protocols.protocol import Casting
from troth.records import RoundRecord
from troth.runs.recorder import Recorder
from troth.worlds.dealing import agreed_by
from troth.worlds.simulated.stage import Ground, lay_out, make_world, prepare, simulated_by


def rehearse(loaded: LoadedScenario, *, root: Path | None) -> str | None:
    """Deal the data, build the model, and compute the first update of one party and the first
    evaluation. Where the scenario names a rule, a verifier or an attack of the user's own, round 1
    is simulated, because these are only called in it.

    Nothing is downloaded. What protocols make before a run, keys and commitments, is not made
    unless round 1 needs it.

    Returns:
      None; where a published data set is not on this machine, what was not checked therefore.

    Args:
      root: the folder that `TROTH_DATA` names.

    Raises:
      LocalError: what `troth.simulate` would raise.
    """
    scenario = loaded.scenario
    absent = _absent(scenario, root)
    if absent is not None:
        return (
            f"the data set {absent} is not on this machine, so nothing was checked that depends "
            f"on its rows; troth data fetch {absent} gets it"
        )
    ground = lay_out(scenario, base=loaded.base, root=root)
    engine = BatchedEngine(ground.bench)
    charter, protocol = scenario.charter, protocol_of(scenario.charter.protocol)
    try:
        if protocol.brings is None:
            agreed = agreed_by(charter, ground.parties, ground.initial_D, loaded.base)
            simulated = simulated_by(scenario, engine)
            protocol.make_cast(Casting(agreed=agreed, privacy=ground.privacy, simulated=simulated))
        with repeatable(ground.device):
            node = protocol.pools_rows or _honest(ground)
            if node is not None:
                engine.run([LocalUpdate(node, Round(1), ground.initial_D, charter.training, None)])
            source, target = target_of(scenario.attacks) or (None, None)
            engine.run([Evaluate(ground.initial_D, None, source, target)])
    finally:
        engine.close()
    if _names_own_code(charter.protocol) or any(map(_names_own_code, scenario.attacks)):
        _simulate_round_1(scenario, loaded.base, root)
    return None


class _Round1IsOver(Exception):
    """Ends a simulation whose first round has been recorded."""


def _simulate_round_1(scenario: Scenario, base: Path, root: Path | None) -> None:
    if protocol_of(scenario.charter.protocol).brings is not None:
        # What nodes bring is made for each round of the training, and takes longer than a round.
        training = replace(scenario.charter.training, rounds=1)
        scenario = replace(scenario, charter=replace(scenario.charter, training=training))
    stage = prepare(scenario, base=base, root=root)

    def end(_: RoundRecord) -> None:
        raise _Round1IsOver

    recorder = Recorder(
        scenario,
        stage.engine,
        traffic=lambda: (0, 0),
        on_round=end,
        target=stage.target,
        reporting=len(stage.cast.leading) if stage.cast.own_models else 1,
    )
    world = make_world(stage, recorder)
    try:
        with repeatable(stage.bench.device), suppress(_Round1IsOver):
            world.start()
            world.run()
    finally:
        stage.engine.close()


def _names_own_code(table: object) -> bool:
    """Whether a table, or one in it, names a `module:callable`."""
    if isinstance(table, list | tuple):
        return any(map(_names_own_code, table))
    if not isinstance(table, msgspec.Struct):
        return False
    return table.__struct_config__.tag == "callable" or any(
        _names_own_code(getattr(table, name)) for name in table.__struct_fields__
    )


def _absent(scenario: Scenario, root: Path | None) -> str | None:
    """The name of the published data set that the scenario needs and that is not here."""
    data = scenario.charter.task.data
    files = FILES.get(data.name, ()) if isinstance(data, NamedData) else ()
    missing = any(root is None or not (root / file.path).is_file() for file in files)
    return data.name if isinstance(data, NamedData) and missing else None


def _honest(ground: Ground) -> NodeId | None:
    """The first party that computes plain updates of its own rows."""
    for party in ground.parties:
        attacks = isinstance(ground.attackers.get(party), UpdateAttack)
        if not attacks and party not in ground.privacy:
            return party
    return None

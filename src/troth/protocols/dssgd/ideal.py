"""What `dssgd` comes to when nothing goes wrong, as functions without messages: fault-free runs
must give the same models."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from troth.ids import NodeId, Round
from troth.learning.requests import LocalUpdate
from troth.protocols.dssgd import steps
from troth.protocols.dssgd.roles import Plan
from troth.protocols.dssgd.steps import PartyState
from troth.protocols.protocol import Run
from troth.streams import Stream
from troth.wire import Float32s


def round_robin(plan: Plan, compute: Run, learning: Stream) -> list[Float32s]:
    """The model after every round, shape (D,), when parties take their turns one after another.

    Args:
      learning: the run's `learning` stream.
    """
    return _ideal(
        plan, compute, learning, [[[party] for party in plan.parties]] * plan.training.rounds
    )


def lockstep(
    plan: Plan, compute: Run, learning: Stream, orders: Sequence[Sequence[NodeId]]
) -> list[Float32s]:
    """The model after every round of `asynchronous`, shape (D,), when all parties are equally fast.

    Then all download at one instant and upload at one instant.

    Args:
      orders: the order of the uploads of each round (a sum of floats depends on it).
    """
    return _ideal(plan, compute, learning, [[order] for order in orders])


def _ideal(
    plan: Plan,
    compute: Run,
    learning: Stream,
    rounds: Sequence[Sequence[Sequence[NodeId]]],
) -> list[Float32s]:
    """Each round is a sequence of groups; a group downloads, trains and uploads together."""
    server = steps.begin(plan.initial_D)
    parties: dict[NodeId, PartyState] = {
        id: PartyState(Round(0), plan.initial_D, None, None) for id in plan.parties
    }
    models = []
    for groups in rounds:
        for group in groups:
            offers = {id: steps.offer(server, id, plan.parameters.download) for id in group}
            start = {id: steps.take_over(parties[id].params_D, offers[id]) for id in group}
            ordered = sorted(group)
            results = compute(
                [
                    LocalUpdate(
                        id, offers[id].round, start[id], plan.training, parties[id].velocity_D
                    )
                    for id in ordered
                ]
            )
            for id, result in zip(ordered, results, strict=True):
                upload = steps.select(
                    result.update_D,
                    offers[id].round,
                    plan.parameters,
                    learning.child("node", id),
                )
                parties[id] = PartyState(
                    offers[id].round, start[id] + result.update_D, upload, result.velocity_D
                )
            for id in group:
                pending = parties[id].pending
                assert pending is not None
                # Written out, so that a fault in the server's own step makes another model.
                params_D, stat_D = server.params_D.copy(), server.stat_D.copy()
                params_D[pending.indices] += pending.values
                stat_D[pending.indices] += 1
                turns = server.turns | {id: pending.round}
                server = replace(server, params_D=params_D, stat_D=stat_D, turns=turns)
        models.append(server.params_D)
    return models

"""What `federated` comes to when nothing goes wrong, as one function without messages: fault-free
runs must give the same models."""

from __future__ import annotations

import numpy as np

from troth.ids import NodeId, Round
from troth.learning.requests import LocalUpdate
from troth.protocols.federated import steps
from troth.protocols.federated.roles import SERVER, Plan
from troth.protocols.protocol import Run
from troth.robustness.requests import AggregateUpdates
from troth.streams import Stream
from troth.wire import Float32s


def ideal(plan: Plan, compute: Run, learning: Stream) -> list[Float32s]:
    """The model after every round, shape (D,), if every party that is asked answers.

    Args:
      compute: the `run` of an engine, which carries out computations.
      learning: the run's `learning` stream.
    """
    stream = learning.child("node", SERVER)
    params_D, velocity_D = plan.initial_D, np.zeros_like(plan.initial_D)
    velocities: dict[NodeId, Float32s | None] = {}
    models = []
    for number in range(1, plan.training.rounds + 1):
        round = Round(number)
        asked = steps.choose_parties(plan.parties, plan.parameters.participation, round, stream)
        results = compute(
            [
                LocalUpdate(party, round, params_D, plan.training, velocities.get(party))
                for party in asked
            ]
        )
        velocities |= {
            party: result.velocity_D for party, result in zip(asked, results, strict=True)
        }
        (aggregate,) = compute(
            [
                AggregateUpdates(
                    spec=plan.parameters.aggregation,
                    updates=tuple(result.update_D for result in results),
                    examples=tuple(result.examples for result in results),
                    stream=stream.child("aggregation", round),
                    base=plan.base,
                )
            ]
        )
        # Written out, so that a fault in the server's own step makes another model than this one.
        update_D = np.float32(plan.parameters.server_learning_rate) * aggregate.update_D
        if plan.training.update == "gradient":
            velocity_D = np.float32(plan.training.momentum) * velocity_D + update_D
            update_D = -np.float32(plan.training.rate(round)) * velocity_D
        params_D = params_D + update_D
        models.append(params_D)
    return models

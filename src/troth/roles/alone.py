"""The role of a node that trains by itself, for protocols in which nobody sends anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from troth.compute import Compute
from troth.ids import NodeId, Round
from troth.learning.apply import apply_update
from troth.learning.requests import LocalResult, LocalUpdate
from troth.learning.training import Training
from troth.roles.messages import RoundMessage
from troth.roles.node import Node
from troth.wire import Channel, Float32s


class Silence(RoundMessage, frozen=True):
    """These protocols send nothing; a codec wants at least one type."""

    channel = Channel.AUTHENTICATED


class TrainerState(msgspec.Struct, frozen=True):
    """The model after `round`, with the velocities of both update kinds."""

    round: Round
    params_D: Float32s
    velocity_D: Float32s
    local_velocity_D: Float32s | None


def begin(initial_D: Float32s) -> TrainerState:
    """Before round 1."""
    return TrainerState(Round(0), initial_D, np.zeros_like(initial_D), None)


def request(state: TrainerState, node: NodeId, training: Training) -> LocalUpdate:
    """The computation of the next round."""
    return LocalUpdate(
        node, Round(state.round + 1), state.params_D, training, state.local_velocity_D
    )


def advance(state: TrainerState, result: LocalResult, training: Training) -> TrainerState:
    """The state after the next round."""
    round = Round(state.round + 1)
    params_D, velocity_D = apply_update(
        state.params_D, result.update_D, state.velocity_D, training=training, round=round
    )
    return TrainerState(round, params_D, velocity_D, result.velocity_D)


async def train_alone(node: Node, initial_D: Float32s, training: Training) -> Float32s:
    """Train on this node's rows for all rounds; the final model."""
    state = await node.load(TrainerState) or begin(initial_D)
    while state.round < training.rounds:
        result = await node.compute(request(state, node.id, training))
        state = advance(state, result, training)
        await node.report(state.round, state.params_D, accepted=(node.id,))
        await node.save(state)
    return state.params_D


def ideal_alone(
    nodes: Sequence[NodeId],
    initial_D: Float32s,
    training: Training,
    compute: Callable[[Sequence[Compute[Any, Any]]], list[Any]],
) -> list[dict[NodeId, Float32s]]:
    """Every node's model after every round, without messages; `compute` is an engine's `run`."""
    states = {node: begin(initial_D) for node in nodes}
    models = []
    for _ in range(training.rounds):
        results = compute([request(states[node], node, training) for node in nodes])
        for node, result in zip(nodes, results, strict=True):
            states[node] = advance(states[node], result, training)
        models.append({node: state.params_D for node, state in states.items()})
    return models

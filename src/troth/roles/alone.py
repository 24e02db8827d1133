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
    """The message of protocols in which nobody sends any: a codec wants at least one type."""

    channel = Channel.AUTHENTICATED


class TrainerState(msgspec.Struct, frozen=True):
    """What a node that trains alone saves after each round."""

    round: Round
    """The last round that is over; 0 before the first."""
    params_D: Float32s
    """The model after it, shape (D,)."""
    velocity_D: Float32s
    """The velocity with which gradients are applied to the model, shape (D,)."""
    local_velocity_D: Float32s | None
    """The velocity that the next local update goes on with, shape (D,); None where there is
    none."""


def begin(initial_D: Float32s) -> TrainerState:
    """The state before round 1, with the model `initial_D`, shape (D,)."""
    return TrainerState(Round(0), initial_D, np.zeros_like(initial_D), None)


def request(state: TrainerState, node: NodeId, training: Training) -> LocalUpdate:
    """The computation that a node has to make for its next round."""
    return LocalUpdate(
        node, Round(state.round + 1), state.params_D, training, state.local_velocity_D
    )


def advance(state: TrainerState, result: LocalResult, training: Training) -> TrainerState:
    """The state after the round whose computation gave `result`."""
    round = Round(state.round + 1)
    params_D, velocity_D = apply_update(
        state.params_D, result.update_D, state.velocity_D, training=training, round=round
    )
    return TrainerState(round, params_D, velocity_D, result.velocity_D)


async def train_alone(node: Node, initial_D: Float32s, training: Training) -> Float32s:
    """Train on this node's rows for all rounds, and report and save each.

    Returns:
      The model after the last round, shape (D,).
    """
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
    """Every node's model after every round, shape (D,), without messages.

    Args:
      compute: the `run` of an engine, which carries out computations.
    """
    states = {node: begin(initial_D) for node in nodes}
    models = []
    for _ in range(training.rounds):
        results = compute([request(states[node], node, training) for node in nodes])
        for node, result in zip(nodes, results, strict=True):
            states[node] = advance(states[node], result, training)
        models.append({node: state.params_D for node, state in states.items()})
    return models

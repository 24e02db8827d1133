"""What the server and the parties of `medians` do."""

from __future__ import annotations

from functools import partial

import msgspec
import numpy as np

from troth.ids import Round
from troth.learning.requests import LocalUpdate
from troth.records import Rejection
from troth.roles.messages import RoundMessage
from troth.roles.node import Cast
from troth.wire import Channel, Codec, Float32s
from troth_medians.protocol import SERVER


class Ask(RoundMessage, frozen=True):
    """The server's model, of which it wants an update."""

    channel = Channel.AUTHENTICATED

    params_D: Float32s


class Answer(RoundMessage, frozen=True):
    """A party's update of the model that it was asked with."""

    channel = Channel.CONFIDENTIAL

    update_D: Float32s


class Done(RoundMessage, frozen=True):
    """The model after the last round."""

    channel = Channel.BROADCAST

    params_D: Float32s


MESSAGES = (Ask, Answer, Done)


class State(msgspec.Struct, frozen=True):
    """What the server saves: how many rounds are over, and the model after them."""

    round: int
    params_D: Float32s


def step(state, updates, agreed):
    """The state after a round with these updates, each of shape (D,); there may be none."""
    rule = agreed.parameters.step
    median_D = np.median(updates, axis=0) if updates else np.zeros_like(state.params_D)
    moved_D = state.params_D + rule.size * rule.decay**state.round * median_D
    return State(state.round + 1, moved_D.astype(np.float32))


def problem(update_D, agreed):
    """Why an update cannot be counted; None: it can."""
    if update_D.shape != agreed.initial_D.shape:
        return f"sent {update_D.size} values"
    return None if np.isfinite(update_D).all() else "sent an update that is not finite"


async def server(node, agreed):
    """Ask everybody, take the median of what can be counted, and tell the model in the end."""
    parties = agreed.parties
    state = await node.load(State) or State(0, agreed.initial_D)
    while state.round < agreed.training.rounds:
        round = Round(state.round + 1)
        await node.broadcast(parties, Ask(round, state.params_D))
        heard = await node.collect(
            Answer,
            round,
            expected=parties,
            enough=len(parties),
            deadline_s=agreed.parameters.deadline_s,
        )
        updates = {party: answer.update_D for party, answer in heard.messages.items()}
        problems = {party: problem(update_D, agreed) for party, update_D in updates.items()}
        used = [party for party in updates if problems[party] is None]
        state = step(state, [updates[party] for party in used], agreed)
        await node.report(
            round,
            state.params_D,
            accepted=used,
            rejected=[Rejection(node=who, reason=why) for who, why in problems.items() if why],
            missing=[party for party in parties if party not in updates],
        )
        await node.save(state)
    await node.broadcast(parties, Done(Round(state.round), state.params_D))
    return state.params_D


async def party(node, agreed):
    """Answer whatever the server asks until it is done."""
    while True:
        message = (await node.receive(Ask, Done, sender=SERVER)).message
        if isinstance(message, Done):
            return message.params_D
        request = LocalUpdate(node.id, message.round, message.params_D, agreed.training, None)
        result = await node.compute(request)
        await node.send(SERVER, Answer(message.round, result.update_D))


def make_cast(casting):
    """The server and all parties."""
    agreed = casting.agreed
    roles = dict.fromkeys(agreed.parties, partial(party, agreed=agreed))
    return Cast(roles | {SERVER: partial(server, agreed=agreed)}, (SERVER,), MESSAGES)


def traffic(charter_tables, parties, dimension):
    """Messages and bytes of a round by type: each party is asked, and answers."""
    said = [kind(Round(1), np.zeros(dimension, np.float32)) for kind in (Ask, Answer)]
    sizes = {type(each).__name__: len(Codec(MESSAGES).encode(each)) for each in said}
    return {name: (parties, parties * size) for name, size in sizes.items()}


def ideal(agreed, compute):
    """The model after every round if everybody answers; `compute` is an engine's `run`."""
    state, models = State(0, agreed.initial_D), []
    for number in range(1, agreed.training.rounds + 1):
        requests = [
            LocalUpdate(party, Round(number), state.params_D, agreed.training, None)
            for party in agreed.parties
        ]
        state = step(state, [result.update_D for result in compute(requests)], agreed)
        models.append(state.params_D)
    return models

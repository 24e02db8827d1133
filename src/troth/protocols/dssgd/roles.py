"""Server and party of `dssgd`: when each acts. What they decide stands in `steps`.

Source: Shokri & Shmatikov, "Privacy-preserving deep learning", CCS 2015, figures 3 and 4.
"""

from __future__ import annotations

from functools import partial

import msgspec

from troth.errors import PeerError, RoundFailedError
from troth.ids import NodeId, Round
from troth.learning.requests import LocalUpdate
from troth.protocols.dssgd import steps
from troth.protocols.dssgd.messages import (
    MESSAGES,
    Acknowledged,
    Download,
    Finished,
    Parameters,
    Upload,
)
from troth.protocols.dssgd.parameters import DSSGD
from troth.protocols.dssgd.steps import PartyState, ServerState
from troth.protocols.protocol import Agreed, Casting
from troth.roles.node import Cast, Node, Role
from troth.wire import Float32s

SERVER = NodeId("server")

MAX_ATTEMPTS = 1_000
"""Deadlines and refused uploads in a row, without a usable upload, after which the server gives
up."""


MAX_MESSAGES_PER_TURN = 64
"""In a round robin, messages of one party after which its turn goes by: asking for ever would hold
up everybody else."""

Plan = Agreed[DSSGD]
"""What the server and all parties know before the first turn; every party begins with its
`initial_D`, too."""


def make_cast(casting: Casting[DSSGD]) -> Cast:
    """Who plays what: the server, and every party. The run ends when the server has the last
    model."""
    agreed = casting.agreed
    roles: dict[NodeId, Role] = {each: partial(party, plan=agreed) for each in agreed.parties}
    roles[SERVER] = partial(server, plan=agreed)
    return Cast(roles, (SERVER,), MESSAGES)


async def server(node: Node, plan: Plan) -> Float32s:
    """Hand out parameters and add up what comes back.

    `round_robin` serves one party's whole turn before the next party's; `asynchronous` serves
    whoever comes. A round is over after as many turns as there are parties. What an upload did is
    saved before it is acknowledged, and acknowledged again after a restart.

    Returns:
      The model after the last round, shape (D,).

    Raises:
      RoundFailedError: nobody has uploaded anything that can be used `MAX_ATTEMPTS` times in a row.
    """
    # Shokri & Shmatikov, figure 4: the server's side of downloads and uploads.
    # Differs from the paper: a party has one turn at a time, and an upload is acknowledged, because
    # an upload that arrives twice would otherwise count twice.
    parameters, rounds = plan.parameters, plan.training.rounds
    state = await node.load(ServerState) or steps.begin(plan.initial_D)
    turns = rounds * len(plan.parties)
    in_order = parameters.order == "round_robin"
    answered = 0
    while True:
        if state.answer is not None:
            to, turn = state.answer
            await node.send(to, Acknowledged(turn))
            state = msgspec.structs.replace(state, answer=None)
        before = state.position if in_order else state.uploads
        if before >= turns:
            break
        expected = plan.parties[state.position % len(plan.parties)] if in_order else None
        received = await node.receive(
            Download, Upload, sender=expected, deadline_s=parameters.deadline_s
        )
        answered += 1
        if received is None or (in_order and answered > MAX_MESSAGES_PER_TURN):
            state = steps.pass_over(state, expected)
        elif isinstance(received.message, Download):
            if in_order and parameters.deadline_s is not None:
                # It asked again whenever its deadline passed before its turn; answer once.
                while await node.receive(Download, sender=expected, deadline_s=0.0):
                    pass
            offered = steps.offer(state, received.sender, parameters.download)
            await node.send(received.sender, offered)
            continue
        else:
            upload, party = received.message, received.sender
            # A turn applied before is acknowledged again: its acknowledgement was lost.
            if upload.round <= state.turns.get(party, Round(0)):
                await node.send(party, Acknowledged(upload.round))
                continue
            try:
                steps.verify_upload(state, upload, parameters, sender=party)
                state = steps.apply_upload(state, upload, party)
            except PeerError as error:
                state = steps.refuse_upload(state, upload, error)
            state = msgspec.structs.replace(state, answer=(party, upload.round))
        if state.idle > MAX_ATTEMPTS:
            raise _nobody_uploads(state, parameters)
        done = state.position if in_order else state.uploads
        # A refused upload may leave `done` at the edge of a round that is over already.
        if done != before and done % len(plan.parties) == 0:
            await node.report(
                Round(done // len(plan.parties)),
                state.params_D,
                accepted=state.uploaders,
                rejected=state.rejected,
                missing=state.missing,
            )
            state = steps.close_round(state)
        await node.save(state)
        answered = 0
    await node.broadcast(plan.parties, Finished(Round(rounds), state.params_D))
    return state.params_D


def _nobody_uploads(state: ServerState, parameters: DSSGD) -> RoundFailedError:
    """The error with which the server gives up: what was wrong with the last upload, or that none
    has come."""
    if state.rejected:
        last = state.rejected[-1]
        return RoundFailedError(
            f"no upload could be used {MAX_ATTEMPTS} times in a row; last: {last.node} "
            f"{last.reason}",
            hint="lower [training] learning_rate, or set [protocol] bound",
        )
    return RoundFailedError(
        f"nobody uploaded anything within {parameters.deadline_s} s, {MAX_ATTEMPTS} times in a row",
        hint="raise [protocol] deadline_s",
    )


async def party(node: Node, plan: Plan) -> Float32s:
    """Download, train, select and upload, until the server says that training is over.

    Returns:
      The server's model after the last round, shape (D,).
    """
    # Shokri & Shmatikov, figure 3: what one participant does, turn after turn.
    state = await node.load(PartyState) or PartyState(Round(0), plan.initial_D, None, None)
    while True:
        message = await _ask(node, state, plan.parameters.deadline_s)
        if isinstance(message, Finished):
            return message.params_D
        if isinstance(message, Acknowledged):
            state = msgspec.structs.replace(state, pending=None)
        else:
            params_D = steps.take_over(state.params_D, message)
            result = await node.compute(
                LocalUpdate(node.id, message.round, params_D, plan.training, state.velocity_D)
            )
            state = PartyState(
                message.round,
                params_D + result.update_D,
                steps.select(result.update_D, message.round, plan.parameters, node.stream),
                result.velocity_D,
            )
        await node.save(state)


async def _ask(
    node: Node, state: PartyState, deadline_s: float | None
) -> Parameters | Acknowledged | Finished:
    """Ask the server for what comes next, parameters or an acknowledgement, until it answers.

    An answer may come twice, because the question was asked twice; its turn tells the copies apart.
    """
    while True:
        await node.send(SERVER, Download() if state.pending is None else state.pending)
        while received := await node.receive(
            Parameters, Acknowledged, Finished, sender=SERVER, deadline_s=deadline_s
        ):
            message = received.message
            match message:
                case Finished():
                    return message
                case Acknowledged():
                    if state.pending is not None and message.round == state.pending.round:
                        return message
                case Parameters():
                    if state.pending is None and message.round > state.turn:
                        return message

"""What the broker decides about an update: whether it counts, and what it changes.

Pure functions: they return the broker's next state. A question that cannot be answered raises
`PeerError`, and the state stays as it is.

Source: Fung & Beschastnikh, "Brokered agreements in multi-party machine learning", APSys 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from troth.crypto.puzzles import check_solution
from troth.crypto.spec import MAX_DIFFICULTY
from troth.errors import PeerError
from troth.ids import NodeId
from troth.learning.apply import apply_update
from troth.protocols.tormentor.messages import (
    GradientUpdate,
)
from troth.protocols.tormentor.parameters import ShapleyValue
from troth.protocols.tormentor.state import BrokerState, Connection, Plan
from troth.records import Rejection
from troth.wire import Float32s

MAX_REJECTIONS_PER_ROUND = 1_000
"""Rejections listed in one round's report; more are left out."""


@dataclass(frozen=True)
class Candidate:
    """An update by somebody who has paid for it; whether it is any good is not known yet."""

    connection: Connection
    update_D: Float32s


def check_update(
    state: BrokerState, plan: Plan, update: GradientUpdate, *, sender: NodeId
) -> Candidate | Connection:
    """Check what needs no data: connection, puzzle, solution, age.

    Returns:
      The candidate; or, asked again, the connection whose answer is to be repeated.

    Raises:
      PeerError: no such connection, another puzzle than its own, or a wrong solution.
    """
    connection = state.connections.get(update.token)
    if connection is None:
        raise PeerError("sent an update on a connection that does not exist", culprits=(sender,))
    if update.nonce == connection.used and connection.updates > 0:
        return connection
    puzzle = connection.puzzle
    if puzzle is None or puzzle.nonce != update.nonce:
        raise PeerError("solved a puzzle that is not the one it was given", culprits=(sender,))
    check_solution(
        plan.parameters.puzzle,
        puzzle,
        update.solution,
        ground_up_to=plan.ground_up_to,
        sender=sender,
    )
    connection = msgspec.structs.replace(connection, node=sender)
    return Candidate(connection, update.update_D)


def check_usable(
    state: BrokerState, plan: Plan, candidate: Candidate, update: GradientUpdate
) -> str | None:
    """Why an update cannot be used whatever its effect; None if it can.

    "Our prototype only checks that the size of the model update matches" (section 5.2).
    """
    connection, dimension = candidate.connection, len(state.params_D)
    assert connection.puzzle is not None
    if state.round - connection.puzzle.round > plan.parameters.puzzle_rounds:
        return (
            f"its puzzle of round {connection.puzzle.round} has expired: "
            f"puzzle_rounds = {plan.parameters.puzzle_rounds}"
        )
    if not connection.version <= update.version <= state.version:
        return f"claims model {update.version}, which it cannot have"
    if update.update_D.shape != (dimension,):
        return f"sent an update of {update.update_D.size} values instead of {dimension}"
    if not np.isfinite(update.update_D).all():
        return "sent an update that is not finite"
    minimum = plan.parameters.minimum_epsilon
    if minimum is not None and update.epsilon is None:
        return f"does not say its epsilon, and the curator asks for at least {minimum:g}"
    if minimum is not None and update.epsilon is not None and update.epsilon < minimum:
        return (
            f"trains with epsilon={update.epsilon:g}, and the curator asks for at least {minimum:g}"
        )
    if not np.isfinite(with_update(state, plan, update.update_D)[0]).all():
        return "sent an update with which the model is not finite"
    return None


def with_update(state: BrokerState, plan: Plan, update_D: Float32s) -> tuple[Float32s, Float32s]:
    """The model and the velocity with one more update."""
    # An absurd update overflows; the caller looks at the result.
    with np.errstate(over="ignore", invalid="ignore"):
        params_D, velocity_D = apply_update(
            state.params_D,
            update_D,
            state.velocity_D,
            training=plan.training,
            round=state.round + 1,
        )
    return params_D, velocity_D if plan.has_momentum else state.velocity_D


def accept(state: BrokerState, plan: Plan, candidate: Candidate) -> BrokerState:
    """The update counts: applied now, or with the others of its round."""
    connection = _answered(candidate.connection, refusal=None)
    if plan.parameters.synchrony == "bulk_synchronous":
        connection = msgspec.structs.replace(connection, pending_D=candidate.update_D)
    else:
        state = apply(state, plan, candidate.update_D)
    return msgspec.structs.replace(
        state,
        connections=state.connections | {connection.token: connection},
        accepted=(*state.accepted, connection.name),
    )


def reject(state: BrokerState, candidate: Candidate, reason: str, *, harder: bool) -> BrokerState:
    """The update does not count; its solution is used up.

    Args:
      harder: a verifier rejected it: "their difficulty goes up by 1" (section 5). An update that
        nobody could use costs its sender the puzzle and nothing more.
    """
    connection = _answered(candidate.connection, refusal=reason)
    if harder:
        connection = msgspec.structs.replace(
            connection, difficulty=min(connection.difficulty + 1, MAX_DIFFICULTY)
        )
    state = msgspec.structs.replace(
        state,
        connections=state.connections | {connection.token: connection},
    )
    return note(state, Rejection(node=connection.name, reason=reason))


def is_hopeless(state: BrokerState) -> bool:
    """Whether nobody is left who could still pay for an update.

    It takes all providers to come to that, so no number of attackers can end the training so.
    """
    return bool(state.rejected and state.connections) and all(
        connection.difficulty == MAX_DIFFICULTY for connection in state.connections.values()
    )


def note(state: BrokerState, *rejections: Rejection) -> BrokerState:
    """List refusals with the round."""
    if not rejections:
        return state
    listed = (*state.rejected, *rejections)[:MAX_REJECTIONS_PER_ROUND]
    return msgspec.structs.replace(state, rejected=listed)


def _answered(connection: Connection, *, refusal: str | None) -> Connection:
    assert connection.puzzle is not None
    return msgspec.structs.replace(
        connection,
        used=connection.puzzle.nonce,
        puzzle=None,
        refusal=refusal,
        updates=connection.updates + 1,
        proven=connection.proven + 1 if refusal is None else 0,
        clock=connection.clock + 1,
    )


def apply(state: BrokerState, plan: Plan, update_D: Float32s) -> BrokerState:
    """The next version of the model."""
    params_D, velocity_D = with_update(state, plan, update_D)
    recent = state.recent
    for verifier in plan.parameters.verifiers:
        if isinstance(verifier, ShapleyValue):
            recent = (*recent, params_D - state.params_D)[-verifier.window :]
    return msgspec.structs.replace(
        state,
        params_D=params_D,
        velocity_D=velocity_D,
        version=state.version + 1,
        recent=recent,
    )

"""What the broker decides about an update: whether it counts, and what it changes.

Pure functions: they return the broker's next state. A question that cannot be answered raises
`PeerError`, and the state stays as it is. The paper's words stand above the lines that do them.

Source: Fung & Beschastnikh, "Brokered agreements in multi-party machine learning", APSys 2019.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from troth.crypto.puzzles import check_solution
from troth.crypto.spec import MAX_DIFFICULTY
from troth.errors import PeerError
from troth.ids import NodeId
from troth.learning.apply import apply_update
from troth.protocols.tormentor.messages import GradientUpdate
from troth.protocols.tormentor.parameters import ShapleyValue
from troth.protocols.tormentor.state import BrokerState, Connection, Plan
from troth.records import Rejection
from troth.wire import Float32s

MAX_REJECTIONS_PER_ROUND = 1_000
"""The most rejections that one round's report lists; more are left out."""


MAX_LOOKS = 1_000
"""The most updates of one connection that verifiers look at. Each answer is a yes or no about the
validation rows; whoever wants more of them has to pay for admission again."""


@dataclass(frozen=True)
class Candidate:
    """An update by a provider that has paid for it with a solved puzzle, and its connection. No
    verifier has looked at it yet."""

    connection: Connection
    update_D: Float32s
    solution: bytes = b""
    """S_{i,t}, with which it was paid for."""
    looked_at: bool = False
    """Whether a verifier looks at it."""
    after: tuple[Float32s, Float32s] | None = None
    """What `with_update` makes of the broker's model and this update, once it is known."""


def check_update(
    state: BrokerState, plan: Plan, update: GradientUpdate, *, sender: NodeId
) -> Candidate | Connection:
    """Check what needs no data: that the connection exists and that its own puzzle is solved.

    Returns:
      The candidate; or, asked again, the connection whose answer is to be repeated.

    Raises:
      PeerError: no such connection, another puzzle than its own, a wrong solution, or, asked
        again, another solution than the first time; the culprit is `sender`.
    """
    # TorMentor, table 2, gradientUpdate: "Provider pushes a local model update to the global model
    # state."
    # Differs from the paper: a secret token names the paper's `conn`, because a provider may ask
    # over another circuit of Tor, and after a restart of either side, and is then still itself.
    connection = state.connections.get(update.token)
    if connection is None:
        raise PeerError("sent an update on a connection that does not exist", culprits=(sender,))
    if update.nonce == connection.used and connection.updates > 0:
        if not hmac.compare_digest(update.solution, connection.solution):
            raise PeerError(
                "asked again with another solution than the first time", culprits=(sender,)
            )
        return connection
    puzzle = connection.puzzle
    if puzzle is None or puzzle.nonce != update.nonce:
        raise PeerError("solved a puzzle that is not the one it was given", culprits=(sender,))
    # TorMentor, section 5.2: "a cryptographic SHA-256 admission hash is inverted, the solution is
    # verified to contain a required number of trailing '0' digits, and a new puzzle is published".
    # Differs from the paper: a charter may ask for Argon2id instead of SHA-256, because special
    # hardware computes SHA-256 about a million times faster than a provider's machine.
    check_solution(
        plan.parameters.puzzle,
        puzzle,
        update.solution,
        ground_up_to=plan.ground_up_to,
        sender=sender,
    )
    connection = msgspec.structs.replace(connection, node=sender)
    return Candidate(connection, update.update_D, update.solution)


def check_usable(
    state: BrokerState, plan: Plan, candidate: Candidate, update: GradientUpdate
) -> str | Candidate:
    """Why an update cannot be used whatever its effect: for that it is rejected, without raising
    its sender's difficulty. If it can be used, the candidate with what it makes of the model.
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
    # TorMentor, section 5.2: "Our prototype only checks that the size of the model update matches
    # those of the provider".
    # Differs from the paper: it is checked of every update, not when a provider joins, because an
    # update is the first thing of a provider's that has a size.
    if update.update_D.shape != (dimension,):
        return f"sent an update of {update.update_D.size} values instead of {dimension}"
    if not np.isfinite(update.update_D).all():
        return "sent an update that is not finite"
    # TorMentor, section 5.4: "if this requirement is not met by either party, the curator-defined
    # provider validation step will fail, and the model update will be rejected".
    minimum = plan.parameters.minimum_epsilon
    if minimum is not None and update.epsilon is None:
        return f"does not say its epsilon, and the curator asks for at least {minimum:g}"
    if minimum is not None and update.epsilon is not None and update.epsilon < minimum:
        return (
            f"trains with epsilon={update.epsilon:g}, and the curator asks for at least {minimum:g}"
        )
    after = with_update(state, plan, update.update_D)
    if not np.isfinite(after[0]).all():
        return "sent an update with which the model is not finite"
    return replace(candidate, after=after)


def with_update(state: BrokerState, plan: Plan, update_D: Float32s) -> tuple[Float32s, Float32s]:
    """The model and the momentum's velocity, each of shape (D,), after one more update; they may
    hold numbers that are not finite. Without momentum the velocity stays as it is."""
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
    """The broker's state in which the update counts: applied now, or kept until the barrier of a
    bulk synchronous round."""
    connection = _answered(candidate, refusal=None)
    if plan.parameters.synchrony == "bulk_synchronous":
        connection = msgspec.structs.replace(connection, pending_D=candidate.update_D)
    else:
        # TorMentor, table 1, aggregator: "Total async SGD"; "Semi sync SGD" differs in
        # `rounds.release` only.
        after = candidate.after or with_update(state, plan, candidate.update_D)
        state = _changed(state, plan, *after)
    state = with_connection(state, connection)
    return msgspec.structs.replace(state, accepted=(*state.accepted, connection.name))


def reject(
    state: BrokerState,
    candidate: Candidate,
    reason: str,
    *,
    harder: bool,
    told: str | None = None,
) -> BrokerState:
    """The broker's state in which the update does not count, and its solution is used up.

    Args:
      reason: what the round's report is told.
      told: what the provider is told; None: the same.
      harder: whether a verifier rejected it, which makes the provider's next puzzles harder. An
        update that nobody could use costs its sender the puzzle and nothing more.
    """
    # TorMentor, table 1, provider verifier: "Rejects malicious provider behavior".
    connection = _answered(candidate, refusal=reason if told is None else told)
    if harder:
        # TorMentor, section 5: "When a provider fails a RONI validation, their difficulty goes up
        # by 1."; this "alleviates the risk of sybils by significantly increasing the cost required
        # to execute sybil-based poisoning attacks".
        # Differs from the paper: every verifier raises it, because the charter may name others
        # than RONI; and it stops at `MAX_DIFFICULTY`, which already takes longer than any training.
        connection = msgspec.structs.replace(
            connection, difficulty=min(connection.difficulty + 1, MAX_DIFFICULTY)
        )
    rejection = Rejection(node=connection.name, reason=reason)
    return note(with_connection(state, connection), rejection)


def with_connection(state: BrokerState, connection: Connection) -> BrokerState:
    """The broker's state with this connection in the place of the one of its token."""
    connections = state.connections | {connection.token: connection}
    return msgspec.structs.replace(state, connections=connections)


def is_hopeless(state: BrokerState) -> bool:
    """Whether every connected provider has come to the greatest difficulty, so that nobody is left
    who could still pay for an update.

    It takes all providers to come to that, so attackers cannot end the training in this way while
    one honest provider is connected.
    """
    return bool(state.rejected and state.connections) and all(
        connection.difficulty == MAX_DIFFICULTY for connection in state.connections.values()
    )


def note(state: BrokerState, *rejections: Rejection) -> BrokerState:
    """The broker's state with these refusals among those of the round, for its report."""
    if not rejections:
        return state
    listed = (*state.rejected, *rejections)[:MAX_REJECTIONS_PER_ROUND]
    return msgspec.structs.replace(state, rejected=listed)


def _answered(candidate: Candidate, *, refusal: str | None) -> Connection:
    connection = candidate.connection
    assert connection.puzzle is not None
    return msgspec.structs.replace(
        connection,
        used=connection.puzzle.nonce,
        solution=candidate.solution,
        puzzle=None,
        refusal=refusal,
        updates=connection.updates + 1,
        proven=connection.proven + 1 if refusal is None else 0,
        clock=connection.clock + 1,
        looks=connection.looks + candidate.looked_at,
    )


def apply(state: BrokerState, plan: Plan, update_D: Float32s) -> BrokerState:
    """The broker's state with the next version of the model, which this update makes."""
    # TorMentor, table 1, aggregator: "Applies updates to shared model, returns updated state".
    return _changed(state, plan, *with_update(state, plan, update_D))


def _changed(
    state: BrokerState, plan: Plan, params_D: Float32s, velocity_D: Float32s
) -> BrokerState:
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

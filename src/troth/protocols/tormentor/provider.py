"""What a provider decides: pure functions.

Its own privacy is a provider's alone. It is charged for every update that it computes: the broker
sees each of them, whether it counts or not, and nothing is charged for asking again.
"""

from __future__ import annotations

import math

import msgspec

from troth.compute import Compute
from troth.crypto.puzzles import Puzzle, Solved
from troth.crypto.signatures import SEED_BYTES, SigningKey
from troth.errors import UsageError
from troth.ids import NodeId
from troth.learning.requests import LocalResult, LocalUpdate
from troth.learning.workbench import Workbench
from troth.privacy.dp_sgd import PrivateResult
from troth.privacy.own import OwnPrivacy
from troth.protocols.tormentor.joining import JOIN
from troth.protocols.tormentor.messages import (
    Admission,
    GradientUpdate,
    Join,
    Joined,
    Leave,
    Left,
    Next,
    Refused,
    Solve,
)
from troth.protocols.tormentor.parameters import AllowList
from troth.protocols.tormentor.state import BROKER, Admitting, Plan, ProviderState
from troth.streams import Stream
from troth.wire import Float32s

Asked = Join | Solve | GradientUpdate | Leave
Reply = Admission | Joined | Next | Refused | Left


def pseudonym(
    secret: Stream, plan: Plan, life: int, *, listed: SigningKey | None = None
) -> SigningKey:
    """The key a provider is known by. A fresh one for every life, so that nobody can tell that two
    are the same; where the charter says who may join, `listed`, or the same for all lives."""
    if any(isinstance(verifier, AllowList) for verifier in plan.parameters.verifiers):
        return listed or SigningKey(secret.child("provider", 0).digest(SEED_BYTES))
    return SigningKey(secret.child("provider", life).digest(SEED_BYTES))


def resumed(state: ProviderState | None, privacy: OwnPrivacy | None) -> ProviderState:
    """A provider with what it has saved, if it has.

    Raises:
      UsageError: it has updates under another budget, or none: a ledger holds for one budget, from
        the first update on.
    """
    ledger = None if privacy is None else privacy.open()
    if state is None:
        return ProviderState(ledger=ledger)
    if (None if state.ledger is None else state.ledger.emptied()) != ledger:
        raise UsageError(
            "this provider was started with another privacy of its own before",
            hint="start it with that one again; another one needs another run",
        )
    return state


def is_outside(state: ProviderState) -> bool:
    """Whether the next thing it would do is join."""
    return state.admitting is None and state.pending is None and state.leaving is None


def why_not(state: ProviderState, plan: Plan, privacy: OwnPrivacy | None) -> str | None:
    """Why a provider should not join: it would pay for updates that are refused, or has none left
    to send; None if it may."""
    if privacy is None or state.ledger is None:
        return None
    minimum = plan.parameters.minimum_epsilon
    if minimum is not None and privacy.epsilon < minimum:
        return (
            f"its own epsilon={privacy.epsilon:g} is below minimum_epsilon={minimum:g} of the "
            "charter, so its updates would be refused"
        )
    return privacy.exhausted(state.ledger)


def question(state: ProviderState, plan: Plan, key: SigningKey) -> Asked:
    """What to ask the broker next. Asked again, it is the same question."""
    if state.leaving is not None:
        return Leave(plan.model_id, state.leaving)
    if state.pending is not None:
        return state.pending
    if state.admitting is not None:
        puzzle = state.admitting.puzzle
        signature = key.sign(JOIN, puzzle.challenge())
        return Solve(plan.model_id, puzzle, state.admitting.solution, signature)
    return Join(plan.model_id, key.public)


def is_answer(reply: Reply, asked: Asked) -> bool:
    """Whether `reply` is to this question, and not a late copy of another answer."""
    match reply, asked:
        case Admission(puzzle=puzzle), Join(provider=provider):
            return puzzle.provider == provider
        case Joined(to=to), Solve(puzzle=puzzle):
            return to == puzzle.nonce
        case Next(to=to), GradientUpdate(nonce=nonce):
            return to == nonce
        case ((Left(to=to) | Refused(to=to)), Leave(token=token)):
            return to == token
        case Refused(to=to), Join(provider=provider):
            return to == provider
        case Refused(to=to), Solve(puzzle=puzzle):
            return to == puzzle.nonce
        case Refused(to=to), GradientUpdate(nonce=nonce):
            return to == nonce
    return False


def told(state: ProviderState, reason: str) -> ProviderState:
    """With what the broker has said."""
    return msgspec.structs.replace(state, told=reason)


def stopped(state: ProviderState, reason: str, *, leaving: bytes | None = None) -> ProviderState:
    """Without anything left to send, for good.

    Args:
      leaving: token of the connection to give up, if there is one.
    """
    return msgspec.structs.replace(
        state, admitting=None, pending=None, leaving=leaving, stopped=reason
    )


def gone(state: ProviderState) -> ProviderState:
    """With the goodbye answered."""
    return msgspec.structs.replace(state, leaving=None)


def at_the_door(state: ProviderState, puzzle: Puzzle, solved: Solved) -> ProviderState:
    """With the admission puzzle solved."""
    return msgspec.structs.replace(state, admitting=Admitting(puzzle, solved.solution))


def outside(state: ProviderState) -> ProviderState:
    """Without a connection; the next one is somebody else's."""
    return msgspec.structs.replace(state, life=state.life + 1, admitting=None, pending=None)


def charged(state: ProviderState, privacy: OwnPrivacy | None) -> ProviderState:
    """With the next update paid for, which must be computed now and saved with this.

    Raises:
      BudgetExhaustedError: the budget does not bear it.
    """
    if privacy is None or state.ledger is None:
        return state
    ledger = privacy.charged(state.ledger, state.updates + 1, BROKER)
    return msgspec.structs.replace(state, ledger=ledger)


def request(
    state: ProviderState,
    plan: Plan,
    privacy: OwnPrivacy | None,
    node: NodeId,
    params_D: Float32s,
    secret: Stream,
) -> Compute[Workbench, LocalResult | PrivateResult]:
    """What has to be computed for the next update."""
    release = state.updates + 1
    if privacy is None:
        return LocalUpdate(node, release, params_D, plan.training, state.velocity_D)
    return privacy.request(node, release, params_D, state.velocity_D, secret)


def released(
    state: ProviderState,
    privacy: OwnPrivacy | None,
    result: LocalResult | PrivateResult,
    secret: Stream,
) -> Float32s:
    """The next update as it may leave."""
    if privacy is None:
        return result.update_D
    return privacy.released(result, state.updates + 1, secret)


def ready(
    state: ProviderState,
    plan: Plan,
    privacy: OwnPrivacy | None,
    reply: Joined | Next | Refused,
    token: bytes,
    solved: Solved,
    result: LocalResult | PrivateResult,
    secret: Stream,
) -> ProviderState:
    """With the next update computed and paid for, in both currencies."""
    assert reply.puzzle is not None
    epsilon = None
    if plan.parameters.minimum_epsilon is not None:
        epsilon = math.inf if privacy is None else privacy.epsilon
    return msgspec.structs.replace(
        state,
        admitting=None,
        pending=GradientUpdate(
            plan.model_id,
            token,
            reply.puzzle.nonce,
            solved.solution,
            reply.version,
            released(state, privacy, result, secret),
            epsilon,
        ),
        updates=state.updates + 1,
        velocity_D=result.velocity_D,
    )

"""What a provider decides: pure functions that return its next state or its next question.

A provider's own privacy is its own affair: no message but a stated epsilon tells of it. The
provider charges its budget for every update that it computes: the broker sees each of them, whether
it counts or not, and nothing is charged for asking again.

Source: Fung & Beschastnikh, "Brokered agreements in multi-party machine learning", APSys 2019.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from troth.compute import Compute
from troth.crypto.puzzles import Puzzle, Solved
from troth.crypto.signatures import SEED_BYTES, SigningKey
from troth.errors import PeerError, UsageError
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
    subject,
)
from troth.protocols.tormentor.parameters import AllowList
from troth.protocols.tormentor.protocol import BROKER
from troth.protocols.tormentor.state import Admitting, Plan, ProviderState
from troth.streams import Stream
from troth.wire import Float32s

Asked = Join | Solve | GradientUpdate | Leave
"""What a provider asks a broker."""
Reply = Admission | Joined | Next | Refused | Left
"""What a broker answers a provider."""


def pseudonym(
    secret: Stream, plan: Plan, life: int, *, listed: SigningKey | None = None
) -> SigningKey:
    """The key that a provider is known by.

    It is a fresh one for every life, so that nobody can tell that two lives are the same
    provider's. Where the charter lists who may join, it is `listed`, or the same for all lives.

    Args:
      secret: the provider's secret stream.
      life: how often it has joined before.
    """
    # TorMentor, section 3: "Since data providers join the system anonymously, they can generate
    # sybils, or multiple colluding virtual clients, to attack the system".
    if any(isinstance(verifier, AllowList) for verifier in plan.parameters.verifiers):
        return listed or SigningKey(secret.child("provider", 0).digest(SEED_BYTES))
    return SigningKey(secret.child("provider", life).digest(SEED_BYTES))


def resumed(state: ProviderState | None, privacy: OwnPrivacy | None) -> ProviderState:
    """The state that a provider goes on from: what it has saved, or a new one.

    Raises:
      UsageError: it was started with another privacy of its own before: a ledger holds for one
        budget, from the first update on.
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
    """Whether the provider has nothing to ask but to join."""
    return state.admitting is None and state.pending is None and state.leaving is None


def why_not(state: ProviderState, plan: Plan, privacy: OwnPrivacy | None) -> str | None:
    """Why a provider should not join: its updates would be refused for the epsilon it states, or
    its budget bears no further update; None if it may join."""
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
    """The question that the provider asks the broker next; the same for the same state, so that
    asking again costs nothing."""
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
    to = reply.puzzle.provider if isinstance(reply, Admission) else reply.to
    return type(reply) in asked.answered_by.values() and to == subject(asked)


def checked_model(plan: Plan, params_D: Float32s) -> Float32s:
    """A model that the broker has sent, shape (D,), once it is one of the charter's.

    Raises:
      PeerError: its size is another, or a number in it is not finite; the culprit is the broker.
    """
    size = len(plan.initial_D)
    if params_D.shape != (size,):
        raise PeerError(
            f"sent a model of {params_D.size} values instead of {size}", culprits=(BROKER,)
        )
    if not np.isfinite(params_D).all():
        raise PeerError("sent a model that is not finite", culprits=(BROKER,))
    return params_D


def stopped(state: ProviderState, reason: str, *, leaving: bytes | None = None) -> ProviderState:
    """The provider's state in which it sends no more updates, for good.

    Args:
      reason: why, for the provider's report.
      leaving: token of the connection to give up, if there is one.
    """
    return msgspec.structs.replace(
        state, admitting=None, pending=None, leaving=leaving, stopped=reason
    )


def at_the_door(state: ProviderState, puzzle: Puzzle, solved: Solved) -> ProviderState:
    """The provider's state with its admission puzzle solved, which it hands in next."""
    return msgspec.structs.replace(state, admitting=Admitting(puzzle, solved.solution))


def outside(state: ProviderState) -> ProviderState:
    """The provider's state without a connection. Its next life begins, under another pseudonym."""
    return msgspec.structs.replace(state, life=state.life + 1, admitting=None, pending=None)


def charged(state: ProviderState, privacy: OwnPrivacy | None) -> ProviderState:
    """The provider's state with the privacy of its next update charged. That update must now be
    computed, and saved together with this state.

    Raises:
      BudgetExhaustedError: the provider's budget does not bear another update.
    """
    # TorMentor, section 4: "each provider only needs to be concerned about its personal privacy
    # parameters and is not obligated to reveal more than they are comfortable with."
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
    """The computation of the next update: `LocalUpdate`, or the one with the provider's own noise.

    Args:
      params_D: the model that the broker has sent, shape (D,).
      secret: the provider's secret stream.
    """
    # TorMentor, section 5.4: "Since providers compute gradient updates locally, providers may also
    # maintain a personal privacy level".
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
    """The next update, shape (D,), as the broker may see it: with noise where the provider has a
    privacy of its own."""
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
    """The provider's state with its next update ready to be sent: computed, with its puzzle solved
    and its privacy charged.

    Args:
      reply: the answer that brought the puzzle and the model.
      token: names the connection.
      solved: the solution of that puzzle.
      result: the update that was computed from that model.
      secret: the provider's secret stream.
    """
    # TorMentor, table 2, gradientUpdate: "Provider i provides modelID, solution to previous SHA-256
    # puzzle".
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

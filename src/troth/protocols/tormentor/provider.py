"""What a provider decides: pure functions."""

from __future__ import annotations

import msgspec

from troth.crypto.puzzles import Puzzle, Solved
from troth.crypto.signatures import SEED_BYTES, SigningKey
from troth.learning.requests import LocalResult
from troth.protocols.tormentor.joining import JOIN
from troth.protocols.tormentor.messages import (
    Admission,
    GradientUpdate,
    Join,
    Joined,
    Next,
    Refused,
    Solve,
)
from troth.protocols.tormentor.parameters import AllowList
from troth.protocols.tormentor.state import Admitting, Plan, ProviderState
from troth.streams import Stream

Reply = Admission | Joined | Next | Refused


def pseudonym(secret: Stream, plan: Plan, life: int) -> SigningKey:
    """The key a provider is known by. A fresh one for every life, so that nobody can tell that two
    are the same; the listed one where the charter says who may join."""
    listed = any(isinstance(verifier, AllowList) for verifier in plan.parameters.verifiers)
    return SigningKey(secret.child("provider", 0 if listed else life).digest(SEED_BYTES))


def question(state: ProviderState, plan: Plan, key: SigningKey) -> Join | Solve | GradientUpdate:
    """What to ask the broker next. Asked again, it is the same question."""
    if state.pending is not None:
        return state.pending
    if state.admitting is not None:
        puzzle = state.admitting.puzzle
        signature = key.sign(JOIN, puzzle.challenge())
        return Solve(plan.model_id, puzzle, state.admitting.solution, signature)
    return Join(plan.model_id, key.public)


def is_answer(reply: Reply, asked: Join | Solve | GradientUpdate) -> bool:
    """Whether `reply` is to this question, and not a late copy of another answer."""
    match reply, asked:
        case Admission(puzzle=puzzle), Join(provider=provider):
            return puzzle.provider == provider
        case Joined(to=to), Solve(puzzle=puzzle):
            return to == puzzle.nonce
        case Next(to=to), GradientUpdate(nonce=nonce):
            return to == nonce
        case Refused(to=to), Join(provider=provider):
            return to == provider
        case Refused(to=to), Solve(puzzle=puzzle):
            return to == puzzle.nonce
        case Refused(to=to), GradientUpdate(nonce=nonce):
            return to == nonce
    return False


def at_the_door(state: ProviderState, puzzle: Puzzle, solved: Solved) -> ProviderState:
    """With the admission puzzle solved."""
    return msgspec.structs.replace(state, admitting=Admitting(puzzle, solved.solution))


def outside(state: ProviderState) -> ProviderState:
    """Without a connection; the next one is somebody else's."""
    return ProviderState(life=state.life + 1, updates=state.updates, velocity_D=state.velocity_D)


def ready(
    state: ProviderState,
    plan: Plan,
    reply: Joined | Next | Refused,
    token: bytes,
    solved: Solved,
    result: LocalResult,
) -> ProviderState:
    """With the next update computed and paid for."""
    assert reply.puzzle is not None
    return ProviderState(
        life=state.life,
        pending=GradientUpdate(
            plan.model_id,
            token,
            reply.puzzle.nonce,
            solved.solution,
            reply.version,
            result.update_D,
        ),
        updates=state.updates + 1,
        velocity_D=result.velocity_D,
    )

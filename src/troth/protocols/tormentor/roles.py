"""Curator, broker and provider of `tormentor`: when, not what (figure 4 of the paper)."""

from __future__ import annotations

import msgspec
import numpy as np

from troth.crypto.puzzles import SolvePuzzle
from troth.crypto.signatures import SEED_BYTES, SigningKey
from troth.errors import PeerError, RoundFailedError
from troth.ids import NodeId, Round
from troth.learning.requests import Evaluate, LocalUpdate
from troth.protocols.tormentor import joining, rounds, steps
from troth.protocols.tormentor import provider as provider_steps
from troth.protocols.tormentor.messages import (
    Admission,
    Answer,
    Curate,
    Curated,
    Delivered,
    Delivery,
    Finished,
    GradientUpdate,
    Join,
    Joined,
    Leave,
    Left,
    Next,
    Progress,
    Question,
    Refused,
    Solve,
    Status,
)
from troth.protocols.tormentor.provider import Reply
from troth.protocols.tormentor.state import (
    BROKER,
    CURATOR,
    BrokerState,
    Connection,
    CuratorState,
    Plan,
    ProviderState,
    Secret,
)
from troth.protocols.tormentor.verification import examinations, judge
from troth.records import Rejection
from troth.roles.effects import Received
from troth.roles.node import Node
from troth.wire import Float32s

REJOIN_AFTER_S = 1.0
"""How long a provider without a connection waits before it tries to join again."""

MAX_DELIVERIES = 20
"""How often a broker hands over the model before it stops waiting to hear that it has arrived."""

SECRET_BYTES = 32

QUESTIONS_BETWEEN_SAVES = 256
"""Questions that change nothing, after which the broker's state is saved all the same."""


# ------------------------------------------------------------------ curator


async def curator(node: Node, plan: Plan) -> Float32s:
    """Have a model trained: address <- curate(mID, validSet), then wait for the model.

    The validation set is not sent: the broker measures on the rows of `CURATOR`.
    """
    state = await node.load(CuratorState)
    if state is None:
        key = curator_key(node)
        signature = key.sign(joining.CURATE, plan.model_id.encode())
        asked = Curate(plan.model_id, key.public, signature)
        answer = None
        while answer is None:
            await node.send(BROKER, asked)
            answer = await node.receive(
                Curated, Refused, sender=BROKER, deadline_s=plan.parameters.deadline_s
            )
        if isinstance(answer.message, Refused):
            raise RoundFailedError(
                f"the broker refuses the charter: {answer.message.reason}",
                hint="put the curator's key into [protocol] curators, or leave that list out",
            )
        state = CuratorState(answer.message.address)
        await node.save(state)
    delivered = await node.receive(Delivered, sender=BROKER)
    assert delivered is not None
    await node.send(BROKER, Delivery(plan.model_id))
    return delivered.message.params_D


def curator_key(node: Node) -> SigningKey:
    """The key by which a curator signs its charter."""
    return SigningKey(node.secret.child("curator").digest(SEED_BYTES))


# ------------------------------------------------------------------ broker


async def broker(node: Node, plan: Plan) -> Float32s:
    """Serve one model until it is trained, hand it over, and be gone.

    What an answer depends on is saved before the answer leaves; after a restart the answers of the
    last save leave again, and providers know a copy when they see one.
    """
    state = await node.load(BrokerState)
    if state is None:
        curated_for = await _curated(node, plan)
        secret = Secret(node.secret.child("broker").digest(SECRET_BYTES))
        state = joining.begin(plan, secret, curated_for, await node.now())
        await node.save(state)
    while not state.finished:
        if state.curated_for is not None:
            await node.send(state.curated_for, Curated(plan.model_id, node.id))
        for departed, token in state.departures:
            await node.send(departed, Left(token))
        for token in state.outbox:
            connection = state.connections[token]
            await node.send(connection.node, rounds.answer(state, connection))
        state = await _serve(node, plan, joining.sent(state))
        state = await _settle(node, plan, state)
        await node.save(state)
    await _hand_over(node, plan, state)
    return state.params_D


async def _curated(node: Node, plan: Plan) -> NodeId:
    """Wait for a charter that may be deployed. Who wants to join meanwhile waits in the mailbox."""
    while True:
        received = await node.receive(Curate)
        assert received is not None
        curate, sender = received.message, received.sender
        try:
            joining.check_model(plan, curate.model_id, sender=sender)
            joining.check_deployment(plan, curate, sender=sender)
        except PeerError as error:
            await node.send(sender, _refusal(curate, error))
            continue
        return sender


async def _serve(node: Node, plan: Plan, state: BrokerState) -> BrokerState:
    """Answer questions until one of them changes what must not be forgotten, or time passes.

    A refusal that changes nothing is not worth a save: whoever floods the broker with nonsense
    would make it write to disk. It is listed with the round's rejections all the same.
    """
    refusals: list[Rejection] = []
    for _ in range(QUESTIONS_BETWEEN_SAVES):
        wait_s = rounds.patience_s(state, plan, await node.now())
        received = await node.receive(Question, deadline_s=wait_s)
        if received is None:
            break
        try:
            done = await _handle(node, plan, state, received)
        except PeerError as error:
            refusals.append(Rejection(node=received.sender, reason=error.message))
            await node.send(received.sender, _refusal(received.message, error))
            continue
        if isinstance(done, BrokerState):
            state = done
            break
        if done is not None:
            await node.send(received.sender, done)
    return steps.note(state, *refusals)


async def _handle(
    node: Node, plan: Plan, state: BrokerState, received: Received[Question]
) -> BrokerState | Answer | None:
    """The state with the question dealt with, or an answer for which nothing need be remembered.

    Raises:
      PeerError: the question is refused.
    """
    question, sender = received.message, received.sender
    joining.check_model(plan, question.model_id, sender=sender)
    match question:
        case Join():
            return joining.admission(state, plan, question, sender=sender)
        case Solve():
            admitted = joining.admit(state, plan, question, sender=sender, now_s=await node.now())
            if isinstance(admitted, Connection):
                return _repeat(state, admitted, sender)
            return admitted
        case GradientUpdate():
            checked = steps.check_update(state, plan, question, sender=sender)
            if isinstance(checked, Connection):
                return _repeat(state, checked, sender)
            return await _verify(node, plan, state, checked, question)
        case Leave(token=token):
            if token not in state.connections:
                return Left(token)
            left = joining.leave(state, token)
            return msgspec.structs.replace(left, departures=((sender, token),))
        case Status():
            return Progress(state.round, state.version, len(state.connections))
        case Curate():
            joining.check_deployment(plan, question, sender=sender)
            return Curated(plan.model_id, node.id)
        case _:
            return None


def _repeat(state: BrokerState, connection: Connection, sender: NodeId) -> BrokerState | None:
    """The answer once more, unless it is still held back."""
    return None if connection.waits else rounds.repeat(state, connection, sender=sender)


async def _verify(
    node: Node, plan: Plan, state: BrokerState, candidate: steps.Candidate, update: GradientUpdate
) -> BrokerState:
    """Ask every verifier; all must accept."""
    unusable = steps.check_usable(state, plan, candidate, update)
    if unusable is not None:
        return steps.reject(state, candidate, unusable, harder=False)
    for verifier, request in examinations(state, plan, candidate.connection, candidate.update_D):
        reason = judge(verifier, await node.compute(request))
        if reason is not None:
            return steps.reject(state, candidate, reason, harder=True)
    return steps.accept(state, plan, candidate)


async def _settle(node: Node, plan: Plan, state: BrokerState) -> BrokerState:
    """What follows from the new state: rounds that are over, and whose turn it is."""
    if steps.is_hopeless(state):
        raise RoundFailedError(
            f"every provider has come to the greatest difficulty; the last one: "
            f"{state.rejected[-1].reason}",
            hint="raise the verifiers' threshold, or lower [training] learning_rate",
        )
    now_s = await node.now()
    state = rounds.settle(state, plan, now_s)
    if rounds.round_is_over(state, plan):
        error = None
        if plan.parameters.plateau is not None:
            error = (await node.compute(Evaluate(state.params_D, CURATOR))).error
        await _report(node, state)
        state = rounds.close_round(state, plan, error)
    if not state.finished and rounds.time_is_up(state, plan, now_s):
        if state.accepted or state.rejected or state.missing:
            await _report(node, state)
        state = msgspec.structs.replace(state, finished=True)
    return rounds.release(state, plan, now_s)


async def _report(node: Node, state: BrokerState) -> None:
    await node.report(
        Round(state.round + 1),
        state.params_D,
        accepted=state.accepted,
        rejected=state.rejected,
        missing=state.missing,
    )


async def _hand_over(node: Node, plan: Plan, state: BrokerState) -> None:
    """The curator gets the model until it says that it has it; providers are told that it is over.

    Whoever asks after that is told too, as long as the broker is still there.
    """
    shared = plan.parameters.model_to_providers
    over = Finished(
        plan.model_id, state.version, state.params_D if shared else np.zeros(0, np.float32)
    )
    await node.broadcast([c.node for c in state.connections.values()], over)
    for _ in range(MAX_DELIVERIES):
        await node.send(CURATOR, Delivered(plan.model_id, state.version, state.params_D))
        while received := await node.receive(Question, deadline_s=plan.parameters.deadline_s):
            if isinstance(received.message, Delivery) and received.sender == CURATOR:
                return
            if received.sender != CURATOR:
                await node.send(received.sender, over)


def _refusal(question: Question, error: PeerError) -> Refused:
    """To somebody with whom there is no connection, or whose question does not change it."""
    to: bytes = question.model_id.encode()
    match question:
        case Join(provider=provider):
            to = provider
        case Solve(puzzle=puzzle):
            to = puzzle.nonce
        case GradientUpdate(nonce=nonce):
            to = nonce
        case Leave(token=token):
            to = token
    return Refused(to, error.message, isinstance(error, joining.FinalError))


# ------------------------------------------------------------------ provider


async def provider(node: Node, plan: Plan) -> Float32s | None:
    """Join, then send updates for as long as the broker takes them.

    Every question is saved before it is asked, so after a crash the same one is asked again, and
    nothing is paid for or released twice.

    Returns:
      The final model where the charter hands it out; None otherwise.
    """
    state = await node.load(ProviderState) or ProviderState()
    while True:
        if state.life > 0 and state.admitting is None and state.pending is None:
            await node.sleep(REJOIN_AFTER_S)
        key = provider_steps.pseudonym(node.secret, plan, state.life)
        asked = provider_steps.question(state, plan, key)
        reply = await _ask(node, plan, asked)
        if isinstance(reply, Finished):
            return reply.params_D if len(reply.params_D) else None
        if isinstance(reply, Refused) and reply.final:
            return None
        state = await _next(node, plan, state, reply)
        await node.save(state)


async def _next(node: Node, plan: Plan, state: ProviderState, reply: Reply) -> ProviderState:
    """Do the work that an answer asks for."""
    if reply.puzzle is None:
        return provider_steps.outside(state)
    solved = await node.compute(
        SolvePuzzle(plan.parameters.puzzle, reply.puzzle, plan.ground_up_to)
    )
    if isinstance(reply, Admission):
        return provider_steps.at_the_door(state, reply.puzzle, solved)
    token = reply.token if isinstance(reply, Joined) else _token(state)
    assert reply.params_D is not None
    result = await node.compute(
        LocalUpdate(node.id, state.updates + 1, reply.params_D, plan.training, state.velocity_D)
    )
    return provider_steps.ready(state, plan, reply, token, solved, result)


def _token(state: ProviderState) -> bytes:
    assert state.pending is not None
    return state.pending.token


async def _ask(node: Node, plan: Plan, asked: Join | Solve | GradientUpdate) -> Reply | Finished:
    """Ask until there is an answer to this question."""
    while True:
        await node.send(BROKER, asked)
        while received := await node.receive(
            Answer, Finished, sender=BROKER, deadline_s=plan.parameters.deadline_s
        ):
            message = received.message
            if isinstance(message, Finished):
                return message
            if isinstance(message, Admission | Joined | Next | Refused) and (
                provider_steps.is_answer(message, asked)
            ):
                return message

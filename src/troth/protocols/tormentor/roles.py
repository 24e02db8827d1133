"""Curator, broker and provider of `tormentor`: when each acts (figure 4 of the paper). What they
decide stands in `joining`, `steps`, `rounds`, `verification` and `provider`.

Source: Fung & Beschastnikh, "Brokered agreements in multi-party machine learning", APSys 2019.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import msgspec
import numpy as np

from troth.crypto.puzzles import Solved, SolvePuzzle
from troth.crypto.signatures import SEED_BYTES, SigningKey
from troth.errors import PeerError, RoundFailedError
from troth.ids import NodeId, Round
from troth.learning.requests import Evaluate
from troth.privacy.ledger import BudgetExhaustedError
from troth.privacy.own import OwnPrivacy
from troth.protocols.tormentor import joining, rounds, steps
from troth.protocols.tormentor import provider as provider_steps
from troth.protocols.tormentor.messages import (
    Admission,
    Curate,
    Curated,
    Delivered,
    Delivery,
    Fetch,
    Finished,
    GradientUpdate,
    Join,
    Joined,
    Leave,
    Left,
    Next,
    Progress,
    Refused,
    Solve,
    Status,
    subject,
)
from troth.protocols.tormentor.protocol import BROKER, CURATOR
from troth.protocols.tormentor.provider import Asked, Reply
from troth.protocols.tormentor.state import (
    BrokerState,
    Connection,
    CuratorState,
    Deposit,
    Plan,
    ProviderState,
    Secret,
)
from troth.protocols.tormentor.verification import examinations, judge, told
from troth.records import Rejection
from troth.roles.effects import Received
from troth.roles.messages import Answer, Question
from troth.roles.node import Node
from troth.wire import Float32s

A = TypeVar("A", bound=Answer)

REJOIN_AFTER_S = 1.0
"""Seconds that a provider which has lost its connection waits before it tries to join again."""

MAX_DELIVERIES = 20
"""How often a broker hands over the model before it stops waiting to hear that it has arrived."""

SECRET_BYTES = 32
"""Length of the broker's secret, in bytes."""

QUESTIONS_BETWEEN_SAVES = 256
"""Questions that change nothing, after which the broker's state is saved all the same."""

SAVED_TOGETHER = 16
"""Questions that are answered after one save, if so many wait."""


# ------------------------------------------------------------------ curator


async def curator(
    node: Node, plan: Plan, *, key: SigningKey | None = None, deposit: Deposit | None = None
) -> Float32s:
    """Have a model trained: address <- curate(mID, validSet), then wait for the model.

    Args:
      key: by which the curator signs; absent: a key of this run's own.
      deposit: charter and validation set, to be sent along. Absent: the broker has them, and
        measures on the rows of `CURATOR`.

    Returns:
      The trained model, shape (D,).

    Raises:
      RoundFailedError: the broker refuses the charter, or refuses to hand over the model.
      PeerError: as `provider.checked_model`.
    """
    # TorMentor, section 5.1: "The curator uses the curate call (Table 2) to bootstrap a new model".
    key = key or curator_key(node)
    state = await node.load(CuratorState)
    if state is None:
        asked = joining.curation(plan.model_id, key, deposit or Deposit())
        answer = await _answered(node, plan, asked, Curated)
        if isinstance(answer, Refused):
            raise RoundFailedError(
                f"the broker refuses the charter: {answer.reason}",
                hint="put the curator's key into [protocol] curators, or leave that list out",
            )
        state = CuratorState(answer.address)
        await node.save(state)
    if state.params_D is None:
        fetched_D = provider_steps.checked_model(plan, await _fetched(node, plan, key))
        state = msgspec.structs.replace(state, params_D=fetched_D)
        # Before the broker hears that it is here, and is gone.
        await node.save(state)
    signature = key.sign(joining.DELIVERY, joining.addressed_text(plan))
    await node.send(BROKER, Delivery(plan.model_id, signature))
    assert state.params_D is not None
    return state.params_D


async def _fetched(node: Node, plan: Plan, key: SigningKey) -> Float32s:
    """Ask the broker for the model until it is trained and has come."""
    # Differs from the paper: the curator fetches the model with a signed question, because table 2
    # has no call by which it would get what it deploys (section 1, stage 3).
    fetch = Fetch(plan.model_id, key.sign(joining.FETCH, joining.addressed_text(plan)))
    delivered = await _answered(node, plan, fetch, Delivered)
    if isinstance(delivered, Refused):
        raise RoundFailedError(f"the broker refuses the model: {delivered.reason}")
    return delivered.params_D


async def _answered(node: Node, plan: Plan, asked: Question, kind: type[A]) -> A | Refused:
    """Ask the broker until it answers or refuses."""
    while True:
        await node.send(BROKER, asked)
        if received := await node.receive(
            kind, Refused, sender=BROKER, deadline_s=plan.parameters.deadline_s
        ):
            return received.message


def curator_key(node: Node) -> SigningKey:
    """The key by which a curator without one of its own signs, from this run's secret stream."""
    return SigningKey(node.secret.child("curator").digest(SEED_BYTES))


# ------------------------------------------------------------------ broker


async def broker(node: Node, plan: Plan) -> Float32s:
    """Serve one model until it is trained, hand it over, and be gone.

    What an answer depends on is saved before the answer leaves; after a restart the answers of the
    last save leave again, and providers know a copy when they see one.

    Returns:
      The trained model, shape (D,).

    Raises:
      RoundFailedError: every connected provider has come to the greatest difficulty.
    """
    # TorMentor, section 4: "A broker is a short-lived process that coordinates the training of a
    # multi-party ML model."
    state = await node.load(BrokerState)
    if state is None:
        curated = await _curated(node, plan)
        secret = Secret(node.secret.child("broker").digest(SECRET_BYTES))
        state = joining.begin(
            plan, secret, curated.message.curator, curated.sender, await node.now()
        )
        await node.save(state)
    was_finished = state.finished
    while not state.finished:
        if state.curated_for is not None:
            await node.send(state.curated_for, Curated(plan.model_id, plan.address))
        for departed, token in state.departures:
            await node.send(departed, Left(token))
        for token in state.outbox:
            connection = state.connections[token]
            await node.send(connection.node, rounds.answer(state, connection))
        state = await _serve(node, plan, joining.sent(state), QUESTIONS_BETWEEN_SAVES)
        state = await _settle(node, plan, state)
        for _ in range(SAVED_TOGETHER - 1):
            # To save takes longer than to answer: who has asked meanwhile is answered with it.
            if state.finished:
                break
            more = await _serve(node, plan, state, 1, wait=False)
            if more is state:
                break
            state = await _settle(node, plan, more)
        state = rounds.due(state)
        await node.save(state)
    await _hand_over(node, plan, state, again=was_finished)
    return state.params_D


async def _curated(node: Node, plan: Plan) -> Received[Curate]:
    """Wait for a charter that may be deployed. Who wants to join meanwhile waits in the mailbox."""
    # TorMentor, table 1, deployment verifier: "Receives deployment requests from model curators",
    # "Accepts and enforces curator requirements".
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
        return received


def _curated_already(plan: Plan, state: BrokerState, asked: Curate, *, sender: NodeId) -> Curated:
    """The answer to a curator that asks again, because it has not heard that its broker runs.

    Raises:
      PeerError: the charter may not be deployed. FinalError: somebody else has curated the model.
    """
    joining.check_deployment(plan, asked, sender=sender)
    if asked.curator != state.curator:
        raise joining.FinalError("is curated by somebody else", culprits=(sender,))
    return Curated(plan.model_id, plan.address)


async def _serve(
    node: Node, plan: Plan, state: BrokerState, most: int, *, wait: bool = True
) -> BrokerState:
    """Answer at most `most` questions, until one changes what must not be forgotten, or the time is
    over that the broker may wait. Without `wait`, answer only those that have come already.

    A refusal that changes nothing is not worth a save: whoever floods the broker with nonsense
    would make it write to disk. It is listed with the round's rejections all the same.
    """
    refusals: list[Rejection] = []
    for _ in range(most):
        wait_s = rounds.patience_s(state, plan, await node.now()) if wait else 0.0
        received = await node.receive(Question, deadline_s=wait_s)
        if received is None:
            break
        try:
            done = await _handle(node, plan, state, received)
        except PeerError as error:
            refusals.append(Rejection(node=plan.name_of(received.sender), reason=error.message))
            await node.send(received.sender, _refusal(received.message, error))
            continue
        if isinstance(done, BrokerState):
            state = done
            break
        if isinstance(done, Connection):
            state = rounds.asked_again(state, done, sender=received.sender)
            # What is not saved yet is answered when it is.
            if not done.waits and done.token not in state.outbox:
                await node.send(received.sender, rounds.answer(state, done))
        else:
            await node.send(received.sender, done)
    return steps.note(state, *refusals)


async def _handle(
    node: Node, plan: Plan, state: BrokerState, received: Received[Question]
) -> BrokerState | Connection | Answer:
    """The state with the question dealt with; or an answer for which nothing need be remembered; or
    the connection whose answer it asks for again.

    Raises:
      PeerError: the question is refused.
    """
    question, sender = received.message, received.sender
    joining.check_model(plan, question.model_id, sender=sender)
    match question:
        # TorMentor, section 5.2: "A provider uses the join call (Table 2) to join a curated model."
        case Join():
            return joining.admission(state, plan, question, sender=sender)
        # TorMentor, table 2, solve: "TorMentor returns a connection and global model state."
        case Solve():
            return joining.admit(state, plan, question, sender=sender, now_s=await node.now())
        # TorMentor, section 5.2: "each provider computes their SGD update on the global model and
        # pushes it to the parameter server through the gradientUpdate function."
        case GradientUpdate():
            checked = steps.check_update(state, plan, question, sender=sender)
            if isinstance(checked, Connection):
                return checked
            return await _verify(node, plan, state, checked, question)
        case Leave(token=token):
            if token not in state.connections:
                return Left(token)
            left = joining.leave(state, token)
            return msgspec.structs.replace(left, departures=((sender, token),))
        case Status():
            return Progress(state.round, state.version, len(state.connections))
        # TorMentor, table 2, curate: "TorMentor returns a hidden service address for a newly
        # specified broker."
        case Curate():
            return _curated_already(plan, state, question, sender=sender)
        case Fetch():
            joining.check_curator(state, plan, question, sender=sender)
            return msgspec.structs.replace(state, fetched_by=sender)
        case _:
            raise PeerError("cannot have the model yet", culprits=(sender,))


async def _verify(
    node: Node, plan: Plan, state: BrokerState, candidate: steps.Candidate, update: GradientUpdate
) -> BrokerState:
    """Ask every verifier about the update, which counts only if all accept it."""
    # TorMentor, table 1, provider verifier: "Validates providers on join and model update"; on
    # join see `joining.admit`.
    usable = steps.check_usable(state, plan, candidate, update)
    if isinstance(usable, str):
        return steps.reject(state, candidate, usable, harder=False)
    candidate = usable
    looks = list(examinations(state, plan, candidate.connection, candidate.update_D))
    if looks and candidate.connection.looks >= steps.MAX_LOOKS:
        over = f"{steps.MAX_LOOKS} updates of this connection were looked at: join again"
        await node.send(candidate.connection.node, Refused(subject(update), over))
        return joining.leave(state, candidate.connection.token)
    candidate = replace(candidate, looked_at=bool(looks))
    for verifier, request in looks:
        reason = judge(verifier, await node.compute(request))
        if reason is not None:
            return steps.reject(state, candidate, reason, harder=True, told=told(verifier))
    return steps.accept(state, plan, candidate)


async def _settle(node: Node, plan: Plan, state: BrokerState) -> BrokerState:
    """Do what follows from the new state: report and close a round that is over, end the training
    if that is due, and give the next puzzle to those whose turn it is.

    Raises:
      RoundFailedError: every connected provider has come to the greatest difficulty.
    """
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
    # TorMentor, section 3: the broker "terminates the learning process as instructed by the model
    # curator".
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


async def _hand_over(node: Node, plan: Plan, state: BrokerState, *, again: bool) -> None:
    """The curator gets the model until it says that it has it; providers are told that it is over.

    Whoever asks after that is told too, as long as the broker is still there: until all who had
    joined have asked, at most `plan.linger_s`.

    Args:
      again: the broker was started again; who waited for an answer before that has not had it.
    """
    shared = plan.parameters.model_to_providers
    nothing = Finished(plan.model_id, state.version, np.zeros(0, np.float32))
    over = msgspec.structs.replace(nothing, params_D=state.params_D) if shared else nothing
    await node.broadcast([c.node for c in state.connections.values()], over)
    model = Delivered(plan.model_id, state.version, state.params_D)
    wait_s = plan.parameters.deadline_s or plan.linger_s or None
    # Who was about to be answered waits as well as who has to wait.
    untold = {
        token
        for token, connection in state.connections.items()
        if again or not (connection.waits or token in state.outbox)
    }
    fetched_by, delivered = state.fetched_by, state.delivered
    for _ in range(MAX_DELIVERIES):
        if delivered:
            break
        if fetched_by is not None:
            await node.send(fetched_by, model)
        while not delivered and (received := await node.receive(Question, deadline_s=wait_s)):
            question, sender = received.message, received.sender
            if not isinstance(question, Curate | Fetch | Delivery):
                token = _proven(state, plan, question, sender=sender)
                await node.send(sender, nothing if token is None else over)
                untold.discard(token or b"")
                continue
            try:
                if isinstance(question, Curate):
                    # The training was over before the curator heard that it had begun.
                    await node.send(sender, _curated_already(plan, state, question, sender=sender))
                    continue
                joining.check_curator(state, plan, question, sender=sender)
            except PeerError as error:
                await node.send(sender, _refusal(question, error))
                continue
            if isinstance(question, Fetch):
                fetched_by = sender
                break
            # Started again, the broker need not wait for a curator that has gone.
            state = msgspec.structs.replace(state, delivered=True)
            await node.save(state)
            await node.send(sender, Progress(state.round, state.version, len(untold)))
            delivered = True
    ends_s = await node.now() + plan.linger_s
    while plan.linger_s and untold and (left_s := ends_s - await node.now()) > 0:
        if received := await node.receive(Question, deadline_s=left_s):
            token = _proven(state, plan, received.message, sender=received.sender)
            await node.send(received.sender, nothing if token is None else over)
            untold.discard(token or b"")


def _proven(state: BrokerState, plan: Plan, question: Question, *, sender: NodeId) -> bytes | None:
    """The token of the connection to which a question of a finished training proves to belong, by
    the same proof as while it went on; None if it proves nothing. The final model is given to no
    stranger."""
    try:
        joining.check_model(plan, question.model_id, sender=sender)
        match question:
            case GradientUpdate(token=token):
                steps.check_update(state, plan, question, sender=sender)
                return token
            case Solve():
                known = joining.admit(state, plan, question, sender=sender, now_s=0.0)
                return known.token if isinstance(known, Connection) else None
            case Leave(token=token):
                return token if token in state.connections else None
    except PeerError:
        pass
    return None


def _refusal(question: Question, error: PeerError) -> Refused:
    """The answer to a question that is refused and leaves the broker's state as it was."""
    return Refused(subject(question), error.message, isinstance(error, joining.FinalError))


# ------------------------------------------------------------------ provider


async def provider(
    node: Node, plan: Plan, privacy: OwnPrivacy | None = None, *, key: SigningKey | None = None
) -> Float32s | None:
    """Join, then send updates for as long as the broker takes them and its own privacy bears it.

    Every question is saved before it is asked, together with what it costs, so after a crash the
    same one is asked again, and nothing is paid for or released twice.

    Args:
      privacy: the provider's own; None: its updates carry no noise.
      key: the one on the charter's allow list; absent: one of this run's own.

    Returns:
      The final model, shape (D,), where the charter hands it out; None otherwise.

    Raises:
      UsageError: it was started with another privacy before.
      PeerError: as `_next`.
    """
    state = provider_steps.resumed(await node.load(ProviderState), privacy)
    while state.stopped is None or state.leaving is not None:
        if provider_steps.is_outside(state):
            reason = provider_steps.why_not(state, plan, privacy)
            if reason is not None:
                await node.save(provider_steps.stopped(state, reason))
                return None
            if state.life > 0:
                await node.sleep(REJOIN_AFTER_S)
        pseudonym = provider_steps.pseudonym(node.secret, plan, state.life, listed=key)
        asked = provider_steps.question(state, plan, pseudonym)
        reply = await _ask(node, plan, asked)
        if isinstance(reply, Finished):
            return (
                provider_steps.checked_model(plan, reply.params_D) if len(reply.params_D) else None
            )
        state = await _next(node, plan, privacy, state, reply)
        await node.save(state)
    return None


async def _next(
    node: Node, plan: Plan, privacy: OwnPrivacy | None, state: ProviderState, reply: Reply
) -> ProviderState:
    """Do the work that an answer asks for: solve its puzzle, and compute the next update.

    Returns:
      The provider's state with its next question, to be saved before that is asked.

    Raises:
      PeerError: the broker has sent no model of the charter, or lets a provider go on that has sent
        no update; the culprit is the broker.
    """
    if not isinstance(reply, Admission | Left) and reply.params_D is not None:
        # Before anything is paid for, or computed from it.
        provider_steps.checked_model(plan, reply.params_D)
    if isinstance(reply, Refused):
        state = msgspec.structs.replace(state, told=reply.reason)
        if reply.final:
            return provider_steps.stopped(state, reply.reason)
    if isinstance(reply, Left):
        return msgspec.structs.replace(state, leaving=None)
    if reply.puzzle is None:
        return provider_steps.outside(state)
    if isinstance(reply, Admission):
        return provider_steps.at_the_door(state, reply.puzzle, await _solved(node, plan, reply))
    if isinstance(reply, Joined):
        token = reply.token
    elif state.pending is not None:
        token = state.pending.token
    else:
        raise PeerError("lets a provider go on that has sent no update", culprits=(BROKER,))
    try:
        state = provider_steps.charged(state, privacy)
    except BudgetExhaustedError as error:
        return provider_steps.stopped(state, error.message, leaving=token)
    # TorMentor, section 5.3: "each provider pulls the global model from the broker, locally
    # computes a model update, and returns the update to the broker after proof of work".
    solved = await _solved(node, plan, reply)
    assert reply.params_D is not None
    result = await node.compute(
        provider_steps.request(state, plan, privacy, node.id, reply.params_D, node.secret)
    )
    return provider_steps.ready(state, plan, privacy, reply, token, solved, result, node.secret)


async def _solved(node: Node, plan: Plan, reply: Admission | Joined | Next | Refused) -> Solved:
    assert reply.puzzle is not None
    request = SolvePuzzle(plan.parameters.puzzle, reply.puzzle, plan.ground_up_to)
    solved: Solved = await node.compute(request)
    return solved


async def _ask(node: Node, plan: Plan, asked: Asked) -> Reply | Finished:
    """Ask the broker the same question until it answers that one, or says that training is over."""
    while True:
        await node.send(BROKER, asked)
        while received := await node.receive(
            Answer, sender=BROKER, deadline_s=plan.parameters.deadline_s
        ):
            message = received.message
            if isinstance(message, Finished):
                return message
            if isinstance(message, Admission | Joined | Next | Refused | Left) and (
                provider_steps.is_answer(message, asked)
            ):
                return message

"""What the broker decides about rounds: when they begin and end, and whose turn it is.

Pure functions: they return the broker's next state. A question that cannot be answered raises
`PeerError`, and the state stays as it is.

Source: Fung & Beschastnikh, "Brokered agreements in multi-party machine learning", APSys 2019.
"""

from __future__ import annotations

import msgspec
import numpy as np

from troth.crypto.puzzles import issue, model_digest
from troth.ids import NodeId, Round
from troth.protocols.tormentor import joining, steps
from troth.protocols.tormentor.messages import Joined, Next, Refused
from troth.protocols.tormentor.state import BrokerState, Connection, Plan

UPDATE = "update"
"""What the puzzles that come with answers are for: the provider's next update."""


def patience_s(state: BrokerState, plan: Plan, now_s: float) -> float | None:
    """How many seconds the broker may wait for the next question; None: as long as it takes.

    Args:
      now_s: when this is, on the broker's clock.
    """
    parameters, due = plan.parameters, []
    if parameters.time_s is not None:
        due.append(state.began_s + parameters.time_s)
    if parameters.deadline_s is not None:
        if not state.started:
            # Nobody has joined: there is nobody to start with, however late it is.
            due += [state.began_s + parameters.deadline_s] if state.connections else []
        elif state.deserted_s is not None:
            due.append(state.deserted_s + parameters.deadline_s)
        elif parameters.synchrony != "asynchronous":
            due += [
                connection.turn_s + parameters.deadline_s
                for connection in state.connections.values()
                if not connection.waits
            ]
    return max(0.0, min(due) - now_s) if due else None


def settle(state: BrokerState, plan: Plan, now_s: float) -> BrokerState:
    """Start training if enough providers have joined, close the connections of those who let others
    wait too long, and close the barrier of a bulk synchronous round if all have had their turn.

    Args:
      now_s: when this is, on the broker's clock.
    """
    parameters = plan.parameters
    # TorMentor, section 5.2: "Once the desired number of providers have been validated,
    # collaborative model training is performed through the brokered learning protocol".
    # Differs from the paper: after `deadline_s` training starts with whoever has joined, because
    # those who have would otherwise wait for ever for one that never comes.
    late = parameters.deadline_s is not None and now_s >= state.began_s + parameters.deadline_s
    enough = len(state.connections) >= (1 if late else plan.providers)
    if not state.started and enough:
        state = msgspec.structs.replace(state, started=True)
    if not state.started:
        return state
    if state.connections:
        state = msgspec.structs.replace(state, deserted_s=None)
    elif state.departures:
        state = msgspec.structs.replace(state, deserted_s=now_s)
    if parameters.deadline_s is not None and parameters.synchrony != "asynchronous":
        overdue = [
            connection
            for connection in state.connections.values()
            if not connection.waits and now_s >= connection.turn_s + parameters.deadline_s
        ]
        for connection in overdue:
            state = joining.leave(state, connection.token)
        state = msgspec.structs.replace(
            state, missing=(*state.missing, *(connection.name for connection in overdue))
        )
    if parameters.synchrony == "bulk_synchronous":
        everybody = all(connection.waits for connection in state.connections.values())
        took_part = any(c.waits and c.updates > 0 for c in state.connections.values())
        if took_part and everybody:
            state = _close_barrier(state, plan)
    return state


def _close_barrier(state: BrokerState, plan: Plan) -> BrokerState:
    """Bulk synchronous: apply the mean of the round's updates, summed in ascending order of the
    providers' public keys, so that the order of arrival does not matter."""
    # TorMentor, table 1, aggregator: "Aggregates model updates from providers", "Bulk sync SGD".
    pending = sorted(
        (c for c in state.connections.values() if c.pending_D is not None),
        key=lambda connection: connection.provider,
    )
    if pending:
        updates_PD = np.stack([c.pending_D for c in pending if c.pending_D is not None])
        mean_D = updates_PD.mean(axis=0, dtype=np.float64).astype(np.float32)
        state = steps.apply(state, plan, mean_D)
    cleared = {
        token: msgspec.structs.replace(connection, pending_D=None)
        for token, connection in state.connections.items()
    }
    return msgspec.structs.replace(state, connections=cleared, barrier=True)


def round_is_over(state: BrokerState, plan: Plan) -> bool:
    """Whether the round is over: one barrier, or as many accepted updates as `Plan.providers`."""
    if plan.parameters.synchrony == "bulk_synchronous":
        return state.barrier
    return len(state.accepted) >= plan.providers


def close_round(state: BrokerState, plan: Plan, error: float | None) -> BrokerState:
    """The broker's state after a round was reported: the next round begins, or training is over.

    Args:
      error: of the model on the validation rows, where the charter watches for a plateau; None
        where it does not.
    """
    # TorMentor, table 1, aggregator: "Evaluates termination cond."; section 1, stage 3: "After a
    # fixed number of iterations, or once convergence heuristics are met, the training loop
    # terminates."
    plateau = plan.parameters.plateau
    best, since = state.best_error, state.rounds_since_best
    if plateau is not None:
        assert error is not None
        better = best is None or error < best - plateau.improvement
        best, since = (error, 0) if better else (best, since + 1)
    round = Round(state.round + 1)
    over = round >= plan.training.rounds or (plateau is not None and since >= plateau.rounds)
    return msgspec.structs.replace(
        state,
        round=round,
        accepted=(),
        rejected=(),
        missing=(),
        barrier=False,
        best_error=best,
        rounds_since_best=since,
        finished=over,
    )


def time_is_up(state: BrokerState, plan: Plan, now_s: float) -> bool:
    """Whether the charter's time has passed, or everybody has left and nobody else has come.

    Args:
      now_s: when this is, on the broker's clock.
    """
    time_s, deadline_s = plan.parameters.time_s, plan.parameters.deadline_s
    if state.deserted_s is not None and deadline_s is not None:
        return now_s >= state.deserted_s + deadline_s
    return time_s is not None and now_s >= state.began_s + time_s


def release(state: BrokerState, plan: Plan, now_s: float) -> BrokerState:
    """Give their next puzzle to all connections that nothing holds back any more.

    Args:
      now_s: when this is, on the broker's clock.
    """
    if not state.started or state.finished:
        return state
    parameters = plan.parameters
    # TorMentor, section 4: "Brokered learning supports a variety of synchrony models, including
    # total asynchronous [30], bulk synchronous [22], and hybrid SGD models [18]."
    # `ahead` is by how many updates a provider may be ahead of the slowest; None: by any number.
    # Differs from the paper: the hybrid is bounded staleness (Ho et al. 2013), because its
    # reference [18] is about data centres, which leave out updates too small to matter to others.
    ahead = {"asynchronous": None, "bulk_synchronous": 0}.get(
        parameters.synchrony, parameters.staleness
    )
    slowest = 0 if ahead is None else joining.slowest(state.connections)
    connections, outbox = dict(state.connections), []
    digest: bytes | None = None
    for token, connection in state.connections.items():
        if connection.puzzle is not None:
            continue
        if connection.pending_D is not None or (
            ahead is not None and connection.clock - slowest > ahead
        ):
            continue
        # TorMentor, table 2, gradientUpdate: "TorMentor returns new global model state" and "the
        # next SHA-256 puzzle".
        digest = digest or model_digest(state.params_D)
        outbox.append(token)
        connections[token] = msgspec.structs.replace(
            connection,
            puzzle=issue(
                state.secret.key,
                f"{UPDATE}-{connection.updates}-{token.hex()}",
                model_id=plan.model_id,
                provider=connection.provider,
                round=state.round,
                model_digest=digest,
                difficulty=connection.difficulty,
            ),
            version=state.version,
            turn_s=now_s,
        )
    return msgspec.structs.replace(state, connections=connections, outbox=(*state.outbox, *outbox))


def due(state: BrokerState) -> BrokerState:
    """The broker's state with each connection once in `outbox`, and only those that can be
    answered: who has left since, or has asked something else that has to wait, is not."""
    outbox = [
        token
        for token in dict.fromkeys(state.outbox)
        if token in state.connections and not state.connections[token].waits
    ]
    return msgspec.structs.replace(state, outbox=tuple(outbox))


def answer(state: BrokerState, connection: Connection) -> Joined | Next | Refused:
    """What a connection is told about its last update, with the model as it is now: `Joined` before
    its first one, `Next` if it was accepted, and `Refused` if it was not."""
    # TorMentor, table 1, aggregator: "Applies updates to shared model, returns updated state".
    puzzle = connection.puzzle
    assert puzzle is not None
    if connection.updates == 0:
        return Joined(
            connection.admitted_by, connection.token, state.version, state.params_D, puzzle
        )
    if connection.refusal is None:
        return Next(connection.used, state.version, state.params_D, puzzle)
    return Refused(
        connection.used, connection.refusal, False, state.version, state.params_D, puzzle
    )


def asked_again(state: BrokerState, connection: Connection, *, sender: NodeId) -> BrokerState:
    """The broker's state with `sender` as the place where the connection is answered from now on.

    A provider may have moved to another node since it asked. That is not worth a save: whoever is
    not answered asks again.
    """
    if connection.node == sender:
        return state
    return steps.with_connection(state, msgspec.structs.replace(connection, node=sender))

"""What `tormentor` comes to when nothing goes wrong, without messages and puzzles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from troth.compute import Compute
from troth.crypto.puzzles import Puzzle
from troth.ids import NodeId
from troth.learning.requests import LocalResult, LocalUpdate
from troth.protocols.tormentor import joining, rounds, steps
from troth.protocols.tormentor.provider import pseudonym
from troth.protocols.tormentor.roles import SECRET_BYTES
from troth.protocols.tormentor.state import BROKER, BrokerState, Connection, Plan, Secret
from troth.protocols.tormentor.verification import examinations, judge
from troth.streams import Stream
from troth.wire import Float32s

Run = Callable[[Sequence[Compute[Any, Any]]], list[Any]]
"""An engine's `run`."""


class _Ideal:
    """A broker's state, and every provider's, without a world between them."""

    def __init__(self, plan: Plan, compute: Run, secret: Stream) -> None:
        self.plan, self.compute = plan, compute
        key = secret.child("node", BROKER, "broker").digest(SECRET_BYTES)
        self.state = joining.begin(plan, Secret(key), BROKER, 0.0)
        connections = {}
        for party in plan.parties:
            provider = pseudonym(secret.child("node", party), plan, 0).public
            token = party.encode()
            # Neither puzzles nor tokens decide what becomes of an update.
            puzzle = Puzzle(plan.model_id, provider, 0, bytes(32), 0, token.ljust(32, b"\0"))
            connections[token] = Connection(
                token, provider, party, puzzle.nonce, 0, bytes(32), puzzle=puzzle
            )
        self._puzzles = {token: c.puzzle for token, c in connections.items()}
        self.state = self._with(connections)
        self.done: dict[NodeId, int] = dict.fromkeys(plan.parties, 0)
        self.velocity: dict[NodeId, Float32s | None] = {}

    def _with(self, connections: dict[bytes, Connection]) -> BrokerState:
        return replace(self.state, started=True, connections=connections)

    def request(self, party: NodeId, params_D: Float32s) -> LocalUpdate:
        # A copy, as every provider decodes its own: engines may treat one array given twice in
        # another way than two equal ones, which shows in the last digits.
        params_D = params_D.copy()
        return LocalUpdate(
            party, self.done[party] + 1, params_D, self.plan.training, self.velocity.get(party)
        )

    def take(self, party: NodeId, result: LocalResult) -> None:
        """The broker's verdict on one update."""
        self.done[party] += 1
        self.velocity[party] = result.velocity_D
        state, token = self.state, party.encode()
        candidate = steps.Candidate(state.connections[token], result.update_D)
        for verifier, request in examinations(
            state, self.plan, candidate.connection, result.update_D
        ):
            (finding,) = self.compute([request])
            reason = judge(verifier, finding)
            if reason is not None:
                self.state = steps.reject(state, candidate, reason, harder=True)
                break
        else:
            self.state = steps.accept(state, self.plan, candidate)

    def next_turn(self) -> None:
        """Everybody may send again."""
        self.state = self._with(
            {t: replace(c, puzzle=self._puzzles[t]) for t, c in self.state.connections.items()}
        )


def bulk_synchronous(plan: Plan, compute: Run, secret: Stream) -> list[Float32s]:
    """The model after every round, if everybody takes part in all of them.

    Args:
      secret: the run's `secret` stream: it draws which updates are verified, and the pseudonyms in
        whose order updates are summed.
    """
    ideal = _Ideal(plan, compute, secret)
    models = []
    for _ in range(plan.training.rounds):
        before_D = ideal.state.params_D
        results = compute([ideal.request(party, before_D) for party in plan.parties])
        for party, result in zip(plan.parties, results, strict=True):
            ideal.take(party, result)
        ideal.state = rounds.close_round(rounds.settle(ideal.state, plan, 0.0), plan, None)
        ideal.next_turn()
        models.append(ideal.state.params_D)
    return models


def asynchronous(
    plan: Plan, compute: Run, secret: Stream, order: Sequence[NodeId]
) -> list[Float32s]:
    """The model after every update.

    Args:
      order: whose updates the broker dealt with, one after another; every provider computes from
        the model it was sent after its last one.
    """
    ideal = _Ideal(plan, compute, secret)
    seen: dict[NodeId, Float32s] = dict.fromkeys(plan.parties, plan.initial_D)
    models = []
    for party in order:
        (result,) = compute([ideal.request(party, seen[party])])
        ideal.take(party, result)
        if rounds.round_is_over(ideal.state, plan):
            ideal.state = rounds.close_round(ideal.state, plan, None)
        ideal.next_turn()
        seen[party] = ideal.state.params_D
        models.append(ideal.state.params_D)
    return models

"""What `tormentor` comes to when nothing goes wrong, without messages and puzzles: fault-free runs
must give the same models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from troth.compute import Compute
from troth.crypto.puzzles import Puzzle
from troth.ids import PartyId
from troth.learning.requests import LocalResult
from troth.learning.workbench import Workbench
from troth.privacy.dp_sgd import PrivateResult
from troth.privacy.own import OwnPrivacy
from troth.protocols.protocol import Run
from troth.protocols.tormentor import joining, provider, rounds, steps
from troth.protocols.tormentor.protocol import BROKER
from troth.protocols.tormentor.roles import SECRET_BYTES
from troth.protocols.tormentor.state import BrokerState, Connection, Plan, Secret
from troth.protocols.tormentor.verification import examinations, judge
from troth.streams import Stream
from troth.wire import Float32s

Privacy = Mapping[PartyId, OwnPrivacy]
"""The privacy of the providers that have one of their own."""

NO_PRIVACY: Privacy = MappingProxyType({})


class _Ideal:
    """A broker's state, and every provider's, without a world between them."""

    def __init__(self, plan: Plan, compute: Run, secret: Stream, privacy: Privacy) -> None:
        self.plan, self.compute, self.privacy = plan, compute, privacy
        key = secret.child("node", BROKER, "broker").digest(SECRET_BYTES)
        self.state = joining.begin(plan, Secret(key), b"", BROKER, 0.0)
        connections = {}
        self.tokens: dict[PartyId, bytes] = {}
        for party in plan.parties:
            key = provider.pseudonym(secret.child("node", party), plan, 0).public
            # The token that it has in a run; neither it nor puzzles decide on an update.
            token = joining.token_of(
                self.state.secret, joining.admission_puzzle(self.state, plan, key).nonce
            )
            self.tokens[party] = token
            puzzle = Puzzle(plan.model_id, key, 0, bytes(32), 0, party.encode().ljust(32, b"\0"))
            connections[token] = Connection(
                token, key, party, party, puzzle.nonce, 0, bytes(32), puzzle=puzzle
            )
        self._puzzles = {token: c.puzzle for token, c in connections.items()}
        self.state = self._with(connections)
        self.providers = {
            party: provider.resumed(None, privacy.get(party)) for party in plan.parties
        }
        self.secrets = {party: secret.child("node", party) for party in plan.parties}

    def _with(self, connections: dict[bytes, Connection]) -> BrokerState:
        return replace(self.state, started=True, connections=connections)

    def request(
        self, party: PartyId, params_D: Float32s
    ) -> Compute[Workbench, LocalResult | PrivateResult]:
        """The computation of the next update of `party`, from the model `params_D`, shape (D,)."""
        # A copy, as every provider decodes its own: engines may treat one array given twice in
        # another way than two equal ones, which shows in the last digits.
        return provider.request(
            self.providers[party],
            self.plan,
            self.privacy.get(party),
            party,
            params_D.copy(),
            self.secrets[party],
        )

    def take(self, party: PartyId, result: LocalResult | PrivateResult) -> None:
        """Have the broker accept or reject the update that `party` has computed."""
        own, privacy = self.providers[party], self.privacy.get(party)
        update_D = provider.released(own, privacy, result, self.secrets[party])
        self.providers[party] = replace(
            provider.charged(own, privacy), updates=own.updates + 1, velocity_D=result.velocity_D
        )
        state, token = self.state, self.tokens[party]
        candidate = steps.Candidate(state.connections[token], update_D)
        for verifier, request in examinations(state, self.plan, candidate.connection, update_D):
            (finding,) = self.compute([request])
            reason = judge(verifier, finding)
            if reason is not None:
                self.state = steps.reject(state, candidate, reason, harder=True)
                break
        else:
            self.state = steps.accept(state, self.plan, candidate)

    def next_turn(self) -> None:
        """Give every connection its puzzle back, so that each provider may send an update again."""
        self.state = self._with(
            {t: replace(c, puzzle=self._puzzles[t]) for t, c in self.state.connections.items()}
        )


def bulk_synchronous(
    plan: Plan, compute: Run, secret: Stream, privacy: Privacy = NO_PRIVACY
) -> list[Float32s]:
    """The model after every round, shape (D,), if every provider takes part in all rounds.

    Args:
      compute: the `run` of an engine.
      secret: the run's `secret` stream: it draws which updates are verified, and the pseudonyms in
        whose order updates are summed, and providers' simulated noise.
      privacy: of providers that have one of their own; none of them may run out of it.
    """
    ideal = _Ideal(plan, compute, secret, privacy)
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
    plan: Plan,
    compute: Run,
    secret: Stream,
    order: Sequence[PartyId],
    privacy: Privacy = NO_PRIVACY,
) -> list[Float32s]:
    """The model after every update, shape (D,).

    Args:
      compute: the `run` of an engine.
      secret: see `bulk_synchronous`.
      order: whose updates the broker dealt with, one after another; every provider computes from
        the model it was sent after its last one.
      privacy: see `bulk_synchronous`.
    """
    ideal = _Ideal(plan, compute, secret, privacy)
    seen: dict[PartyId, Float32s] = dict.fromkeys(plan.parties, plan.initial_D)
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

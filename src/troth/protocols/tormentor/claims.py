"""What `tormentor` promises under faults, checked by a witness of everything that its broker takes
in and saves.

The witness stands between the broker's role and its world, and outlives the broker: what it saw
before a crash has to agree with what comes after.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
import numpy as np

from troth.crypto.puzzles import check_solution
from troth.ids import Round
from troth.protocols.tormentor.messages import GradientUpdate, Next
from troth.protocols.tormentor.protocol import BROKER
from troth.protocols.tormentor.state import BrokerState, Connection, Plan
from troth.protocols.tormentor.steps import with_update
from troth.roles.effects import Effect, Load, Received, Save, Send
from troth.roles.interception import intercept
from troth.roles.node import Node, Role
from troth.wire import Float32s


class Witness:
    """Checks every state that the broker saves against the one before.

    Raises `AssertionError`, out of the broker's role, as soon as a promise is broken:

    - every update that counts was paid for with the puzzle of its connection, and counts once;
    - the model is the one before with exactly the updates that count applied to it;
    - an update whose acceptance was told is never lost again, whatever crashes;
    - the difficulty of a connection never falls, and rises by one digit at most;
    - with bounded staleness, nobody whose update counts is ahead of the slowest by more than it.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.saved: BrokerState | None = None
        self.counted: dict[bytes, GradientUpdate] = {}
        """Updates that count, by the nonce of the puzzle that paid for them."""
        self.told: set[bytes] = set()
        """Nonces of the puzzles of updates whose acceptance a provider was told."""
        self.restarts = -1
        """How often the broker was started after the first time."""
        self._asked: dict[bytes, GradientUpdate] = {}
        """Updates that came since the last save, by the nonce of their puzzle, in order of
        arrival."""

    def watch(self, broker: Role) -> Role:
        """The broker's role, wrapped so that this witness sees all its effects."""
        return partial(self._watched, broker=broker)

    async def _watched(self, node: Node, *, broker: Role) -> Float32s | None:
        self.restarts += 1
        return await intercept(broker, node, before=self._before, after=self._after)

    def _before(self, effect: Effect[Any]) -> None:
        if isinstance(effect, Send) and isinstance(effect.message, Next):
            assert effect.message.to in self.counted, "told of an update that was not saved"
            self.told.add(effect.message.to)
        if isinstance(effect, Save):
            assert isinstance(effect.state, BrokerState)
            self._check(effect.state)

    async def _after(self, effect: Effect[Any], value: Any) -> Any:
        if isinstance(effect, Load) and isinstance(value, BrokerState):
            self._same(value)
            self._asked.clear()
        if isinstance(value, Received) and isinstance(value.message, GradientUpdate):
            self._asked.setdefault(value.message.nonce, value.message)
        return value

    def _same(self, loaded: BrokerState) -> None:
        assert self.saved is not None
        assert loaded.version == self.saved.version
        np.testing.assert_array_equal(loaded.params_D, self.saved.params_D)

    def _check(self, now: BrokerState) -> None:
        before, self.saved = self.saved, now
        if before is None:
            return
        assert (now.version, now.round) >= (before.version, before.round), "the model went back"
        new: list[GradientUpdate] = []
        for token, connection in now.connections.items():
            was = before.connections.get(token)
            if was is None:
                assert connection.updates == 0, "an update before joining"
                continue
            assert was.difficulty <= connection.difficulty <= was.difficulty + 1
            if connection.updates != was.updates:
                new += self._answered(was, connection, before.connections)
        order = list(self._asked)
        new.sort(key=lambda update: order.index(update.nonce))
        self._model_is_right(before, now, new)
        self._asked.clear()

    def _answered(
        self, was: Connection, now: Connection, others: Mapping[bytes, Connection]
    ) -> list[GradientUpdate]:
        """Check that the one update of a connection that was answered was paid for, and that its
        provider was not too far ahead. Gives the update if it counts."""
        assert now.updates == was.updates + 1
        assert was.puzzle is not None
        assert now.used == was.puzzle.nonce, "a puzzle that was not this connection's"
        update = self._asked[now.used]
        assert update.token == now.token
        check_solution(
            self.plan.parameters.puzzle,
            was.puzzle,
            update.solution,
            ground_up_to=self.plan.ground_up_to,
            sender=BROKER,
        )
        if now.refusal is not None:
            return []
        minimum = self.plan.parameters.minimum_epsilon
        if minimum is not None:
            assert update.epsilon is not None, "counted without a word about its privacy"
            assert update.epsilon >= minimum, "counted with less epsilon than the charter asks for"
        assert now.used not in self.counted, "one solution paid for two updates"
        self.counted[now.used] = update
        if self.plan.parameters.staleness is not None:
            slowest = min(other.clock for other in others.values())
            assert was.clock - slowest <= self.plan.parameters.staleness, "too far ahead"
        return [update]

    def _model_is_right(
        self, before: BrokerState, now: BrokerState, new: list[GradientUpdate]
    ) -> None:
        bulk = self.plan.parameters.synchrony == "bulk_synchronous"
        if not bulk:
            self._one_after_another(before, now, new)
            return
        if now.version == before.version:
            np.testing.assert_array_equal(now.params_D, before.params_D)
            return
        arrived = {update.token: update.update_D for update in new}
        arrived |= {
            token: connection.pending_D
            for token, connection in before.connections.items()
            if connection.pending_D is not None and token in now.connections
        }
        updates_PD = np.stack([arrived[token] for token in sorted(arrived)])
        mean_D: Float32s = updates_PD.mean(axis=0, dtype=np.float64).astype(np.float32)
        expected_D = with_update(before, self.plan, mean_D)[0]
        np.testing.assert_allclose(now.params_D, expected_D, atol=1e-6)

    def _one_after_another(
        self, state: BrokerState, now: BrokerState, new: list[GradientUpdate]
    ) -> None:
        in_round = len(state.accepted)
        for update in new:
            params_D, velocity_D = with_update(state, self.plan, update.update_D)
            in_round += 1
            over = in_round >= self.plan.providers
            state = msgspec.structs.replace(
                state,
                params_D=params_D,
                velocity_D=velocity_D,
                version=state.version + 1,
                round=Round(state.round + over),
            )
            in_round = 0 if over else in_round
        assert now.version == state.version, "an update that counts was not applied"
        np.testing.assert_array_equal(now.params_D, state.params_D)

    def check_end(self) -> None:
        """Check, after the run, that every update whose acceptance was told counts, and that the
        broker has saved that training is over."""
        assert self.told <= self.counted.keys()
        assert self.saved is not None
        assert self.saved.finished

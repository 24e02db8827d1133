"""The server's arithmetic, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from troth.ids import NodeId, Round
from troth.learning.training import Training
from troth.protocols.federated import steps
from troth.protocols.federated.parameters import Federated
from troth.streams import learning

PARTIES = tuple(NodeId(f"party-{i}") for i in range(10))


@pytest.mark.parametrize(
    ("participation", "count"), [(1.0, 10), (0.25, 3), (0.24, 2), (0.01, 1), (0.5, 5)]
)
def test_as_many_parties_are_asked_as_participation_says(participation, count):
    for round in range(1, 30):
        chosen = steps.choose_parties(PARTIES, participation, Round(round), learning(3))
        assert len(set(chosen)) == count
        assert list(chosen) == sorted(chosen)


def test_every_party_is_asked_about_as_often():
    asked = [
        party
        for round in range(1, 2001)
        for party in steps.choose_parties(PARTIES, 0.3, Round(round), learning(3))
    ]
    counts = [asked.count(party) for party in PARTIES]
    # Binomial(2000, 0.3): six standard deviations.
    assert max(abs(count - 600) for count in counts) < 6 * (2000 * 0.3 * 0.7) ** 0.5


def test_gradients_are_applied_with_momentum_and_decay():
    training = Training(rounds=2, update="gradient", learning_rate=0.5, momentum=0.9, decay=1.0)
    state = steps.begin(np.array([1.0, 2.0], np.float32))
    gradient = np.array([1.0, -2.0], np.float32)
    state = steps.apply(state, gradient, training, Federated())
    np.testing.assert_allclose(state.params_D, [0.5, 3.0])
    state = steps.apply(state, gradient, training, Federated())
    # v = 0.9 * g + g = 1.9 g; eta_2 = 0.5 / (1 + 1)
    np.testing.assert_allclose(state.params_D, [0.5 - 0.25 * 1.9, 3.0 + 0.25 * 3.8], rtol=1e-5)
    assert state.round == 2


def test_deltas_are_added_scaled_by_the_server_learning_rate():
    training = Training(rounds=1, learning_rate=0.5)
    state = steps.begin(np.array([1.0, 2.0], np.float32))
    delta = np.array([0.5, -0.5], np.float32)
    state = steps.apply(state, delta, training, Federated(server_learning_rate=0.1))
    np.testing.assert_allclose(state.params_D, [1.05, 1.95])

"""A party's own privacy over a whole training, without a protocol."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from privacy_cases import MODELS, make_bench

from troth.errors import CharterError
from troth.ids import NodeId, PartyId
from troth.learning.requests import LocalResult, LocalUpdate
from troth.learning.training import Training
from troth.privacy.accounting import spent
from troth.privacy.dp_sgd import PrivateUpdate
from troth.privacy.events import SampledEvent
from troth.privacy.ledger import BudgetExhaustedError
from troth.privacy.noise import SimulatedSecret, SystemSecret
from troth.privacy.own import own_privacy, party_privacy
from troth.privacy.planning import mechanism
from troth.privacy.spec import (
    DPSGD,
    Budgeted,
    DiscreteGaussianNoise,
    GaussianNoise,
    LaplaceNoise,
    NoPrivacy,
    UpdateNoise,
)
from troth.streams import Stream

PARTY = PartyId(NodeId("p0"))
TRAINING = Training(rounds=3, update="gradient", batch_size=8, learning_rate=0.5)
SECRET = Stream(5, ("secret",))
MODEL = MODELS["softmax"]
KEYS = {"epsilon": 8.0, "delta": 1e-3, "clip": 0.5}
TABLES: list[Budgeted] = [
    GaussianNoise(**KEYS),
    DiscreteGaussianNoise(**KEYS),
    LaplaceNoise(**KEYS),
    GaussianNoise(**KEYS, unit="party", adjacency="replace_one"),
    DPSGD(**KEYS),
]


def own(table, *, examples=40, simulated=True, party=PARTY, training=TRAINING):
    found = own_privacy(table, party, training=training, examples=examples, simulated=simulated)
    assert found is not None
    return found


def one_release(privacy, number, start_D=None):
    bench = make_bench(MODEL, [40])
    start_D = np.zeros(MODEL.dimension, np.float32) if start_D is None else start_D
    request = privacy.request(NodeId("p0"), number, start_D, None, SECRET)
    return privacy.released(request.run(bench), number, SECRET)


@pytest.mark.parametrize("table", TABLES, ids=lambda t: f"{t.__struct_config__.tag}")
def test_as_many_updates_fit_as_there_are_rounds(table):
    privacy = own(table)
    ledger = privacy.open()
    for number in range(1, TRAINING.rounds + 1):
        assert privacy.exhausted(ledger) is None
        ledger = privacy.charged(ledger, number, "broker")
    assert "above epsilon=8" in (privacy.exhausted(ledger) or "")
    with pytest.raises(BudgetExhaustedError):
        privacy.charged(ledger, TRAINING.rounds + 1, "broker")
    record = party_privacy(PARTY, privacy, ledger)
    events = {entry.event: entry.times for entry in ledger.entries}
    found = spent(events, 1e-3, table.adjacency)
    assert (record.epsilon, record.pld, record.rdp) == (found.epsilon, found.pld, found.rdp)
    assert record.epsilon is not None
    assert 7.8 < record.epsilon <= 8.0
    assert (record.releases, record.views) == (3, ["broker"])
    assert (record.unit, record.adjacency) == (ledger.unit, table.adjacency)
    assert [entry["times"] for entry in record.entries] == [3 * privacy.planned.times]


@pytest.mark.parametrize("table", TABLES, ids=lambda t: f"{t.__struct_config__.tag}")
def test_every_release_has_noise_of_its_own_and_a_simulated_one_repeats(table):
    privacy = own(table)
    first = one_release(privacy, 1)
    np.testing.assert_array_equal(first, one_release(privacy, 1))
    assert np.abs(first - one_release(privacy, 2)).max() > 0
    real = own(table, simulated=False)
    assert np.abs(one_release(real, 1) - one_release(real, 1)).max() > 0


@pytest.mark.parametrize("table", TABLES[:-1], ids=lambda t: f"{t.__struct_config__.tag}")
def test_updates_are_clipped_before_they_get_noise(table):
    """Two updates of one direction, both far outside the bound, leave as one."""
    privacy = own(table)
    near_D = np.full(MODEL.dimension, 10.0, np.float32)
    released = [
        privacy.released(LocalResult(scale * near_D, 40, 0.1), 1, SECRET) for scale in (1, 100)
    ]
    # The bound is kept by rescaling, which leaves the last digits.
    np.testing.assert_allclose(*released, atol=1e-6)


@pytest.mark.parametrize("table", TABLES[:-1], ids=lambda t: f"{t.__struct_config__.tag}")
def test_noise_is_as_large_as_planned_and_never_used_twice(table):
    privacy = own(table)
    result = LocalResult(np.zeros(4000, np.float32), 40, 0.1)
    first_D, second_D = (privacy.released(result, number, SECRET) for number in (1, 2))
    assert isinstance(table, UpdateNoise)
    scale = mechanism(table, privacy.planned.noise_multiplier).scale
    deviation = scale * (np.sqrt(2) if isinstance(table, LaplaceNoise) else 1.0)
    for noise_D in (first_D, second_D, (first_D - second_D) / np.sqrt(2)):
        assert noise_D.std() == pytest.approx(deviation, rel=0.1)


def test_a_request_is_the_mechanisms():
    start_D = np.zeros(MODEL.dimension, np.float32)
    noise = own(TABLES[0]).request(NodeId("p0"), 2, start_D, None, SECRET)
    assert isinstance(noise, LocalUpdate)
    private = own(TABLES[-1]).request(NodeId("p0"), 2, start_D, None, SECRET)
    assert isinstance(private, PrivateUpdate)
    assert private.event == SampledEvent(8 / 40, own(TABLES[-1]).planned.noise_multiplier)
    assert isinstance(private.secret, SimulatedSecret)
    real = own(TABLES[-1], simulated=False).request(NodeId("p0"), 2, start_D, None, SECRET)
    assert isinstance(real, PrivateUpdate)
    assert isinstance(real.secret, SystemSecret)


def test_steps_of_a_local_update_are_all_charged():
    training = Training(rounds=2, batch_size=10, local_epochs=2, learning_rate=0.1)
    privacy = own(DPSGD(**KEYS), training=training)
    assert privacy.planned.times == 8
    ledger = privacy.charged(privacy.open(), 1, "broker")
    assert [entry.times for entry in ledger.entries] == [8]


def test_what_a_party_says_of_its_rows_goes_before_what_it_has():
    assert own(DPSGD(**KEYS, examples=80)).planned.event.sampling_probability == 8 / 80
    assert own(DPSGD(**KEYS)).planned.event.sampling_probability == 8 / 40


def test_a_stricter_party_adds_more_noise():
    table = msgspec.structs.replace(TABLES[0], own_epsilon={"p1": 1.0})
    strict = own(table, party=PartyId(NodeId("p1")))
    assert (own(table).epsilon, strict.epsilon) == (8.0, 1.0)
    assert strict.planned.noise_multiplier > 4 * own(table).planned.noise_multiplier
    assert strict.open().budget.epsilon == 1.0


def test_none_is_none():
    assert own_privacy(NoPrivacy(), PARTY, training=TRAINING, examples=3) is None
    record = party_privacy(PARTY, None, None)
    assert (record.mechanism, record.epsilon, record.releases) == ("none", None, 0)


def test_a_delta_at_which_rows_may_leak_is_refused():
    with pytest.raises(
        CharterError, match=r"parties\.privacy\.delta = 0\.001 is not below 1 / 1000"
    ):
        own(TABLES[0], examples=1000)

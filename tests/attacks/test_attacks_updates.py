"""Attacks on what is sent.

`alie` and `inner_product` are also compared with ByzFL, beside the vectors of the rules.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from troth.attacks.spec import (
    ALIE,
    CallableAttack,
    InnerProduct,
    RandomWeights,
    Scaled,
    SignFlip,
    UpdateAttack,
)
from troth.attacks.updates import AttackContext, malicious_update, z_max
from troth.errors import CharterError, LocalError
from troth.wire import Float32s

PEERS = np.array([[1, 2, 3], [3, 2, 1], [5, 5, 5]], np.float32)
CONTEXT = AttackContext(round=2, parties=10, attackers=3, dimension=3)


def send(
    spec: UpdateAttack, seed: int = 0, peers_PD: Float32s = PEERS, base: Path | None = None
) -> Float32s:
    generator = np.random.default_rng(seed)
    before_PD = peers_PD.copy()
    sent_D = malicious_update(spec, peers_PD[0], peers_PD, CONTEXT, generator, base)
    np.testing.assert_array_equal(peers_PD, before_PD)
    assert sent_D.dtype == np.float32
    return sent_D


def test_formulas() -> None:
    np.testing.assert_allclose(send(SignFlip(fraction=0.3)), [-1, -2, -3])
    np.testing.assert_allclose(send(SignFlip(fraction=0.3, scale=2.5)), [-2.5, -5, -7.5])
    np.testing.assert_allclose(send(Scaled(fraction=0.3)), [10, 20, 30])
    np.testing.assert_allclose(send(InnerProduct(fraction=0.3, epsilon=0.5)), [-1.5, -1.5, -1.5])
    deviations_D = np.array([(8 / 3) ** 0.5, 2**0.5, (8 / 3) ** 0.5])
    np.testing.assert_allclose(send(ALIE(fraction=0.3, z=1.0)), 3 - deviations_D, rtol=1e-6)
    hidden = send(ALIE(fraction=0.3))
    np.testing.assert_allclose(hidden, 3 - z_max(10, 3) * deviations_D, rtol=1e-6)


def test_random_weights_have_their_scale_and_are_drawn() -> None:
    peers_PD = np.zeros((1, 20_000), np.float32)
    spec = RandomWeights(fraction=0.3, scale=3.0)
    sent_D = send(spec, peers_PD=peers_PD)
    assert abs(float(sent_D.std()) - 3) < 0.1
    assert abs(float(sent_D.mean())) < 0.1
    np.testing.assert_array_equal(send(spec, peers_PD=peers_PD), sent_D)
    assert not np.array_equal(send(spec, seed=1, peers_PD=peers_PD), sent_D)


def test_colluders_all_send_the_same() -> None:
    for spec in (ALIE(fraction=0.3), InnerProduct(fraction=0.3)):
        sent = [
            malicious_update(spec, update_D, PEERS, CONTEXT, np.random.default_rng(seed))
            for seed, update_D in enumerate(PEERS)
        ]
        np.testing.assert_array_equal(sent, np.repeat(sent[:1], 3, axis=0))


def test_alie_alone_sends_its_honest_update() -> None:
    np.testing.assert_array_equal(send(ALIE(fraction=0.1), peers_PD=PEERS[:1]), PEERS[0])


def test_an_overflow_is_sent_as_it_is() -> None:
    peers_PD = np.full((2, 3), 1e38, np.float32)
    assert np.isposinf(send(Scaled(fraction=0.3), peers_PD=peers_PD)).all()
    np.testing.assert_allclose(send(ALIE(fraction=0.3), peers_PD=peers_PD), 1e38)


@pytest.mark.parametrize(
    ("parties", "attackers", "z"),
    [
        # Baruch et al., section 3.2: n = 50, m = 24, s = 2, so Phi(z) = 24 / 26.
        (50, 24, 1.4260768722728479),
        # s = 21, Phi(z) = 49 / 70.
        (100, 30, 0.5244005127080407),
        # s = 5, Phi(z) = 9 / 14.
        (20, 6, 0.3661063568005697),
        # A majority: s would be 0 or less.
        (10, 6, 0.6744897501960817),
        (10, 9, 0.0),
        (10, 10, 0.0),
        (4, 1, 0.0),
        (2, 1, 0.0),
    ],
)
def test_z_max(parties: int, attackers: int, z: float) -> None:
    assert z_max(parties, attackers) == pytest.approx(z)


def test_z_max_grows_with_the_attackers_while_they_are_a_minority() -> None:
    found = [z_max(100, attackers) for attackers in range(1, 51)]
    assert found == sorted(found)
    assert found[0] < found[-1]


def test_peers_must_look_like_the_update() -> None:
    for peers_PD in (PEERS[0], PEERS[:0], PEERS[:, :2]):
        with pytest.raises(LocalError, match="peers have shape"):
            malicious_update(
                SignFlip(fraction=0.3), PEERS[0], peers_PD, CONTEXT, np.random.default_rng(0)
            )


OWN = """
import numpy as np


def shift(update_D, peers_PD, context, generator, by=1.0):
    update_D += by * context.round
    peers_PD[:] = 0
    return update_D


def draw(update_D, peers_PD, context, generator):
    return generator.random(context.dimension, dtype=np.float32)


def fails(update_D, peers_PD, context, generator):
    return update_D / "2"


def wide(update_D, peers_PD, context, generator):
    return update_D.astype(np.float64)


def listed(update_D, peers_PD, context, generator):
    return list(update_D)
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "own_attacks.py").write_text(OWN)
    return tmp_path


def test_an_attack_of_ones_own(base: Path) -> None:
    shift = CallableAttack(fraction=0.3, callable="own_attacks:shift", arguments={"by": 2.0})
    np.testing.assert_array_equal(send(shift, base=base), [5, 6, 7])
    draw = CallableAttack(fraction=0.3, callable="own_attacks:draw")
    expected_D = np.random.default_rng(4).random(3, dtype=np.float32)
    np.testing.assert_array_equal(send(draw, seed=4, base=base), expected_D)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("fails", "attack own_attacks:fails raised TypeError: ufunc"),
        (
            "wide",
            "attack own_attacks:wide returned float64 of shape (3,) instead of float32 of shape (3",
        ),
        ("listed", "attack own_attacks:listed returned a list instead of float32 of shape (3,)"),
    ],
)
def test_what_an_attack_of_ones_own_returns_is_checked(name: str, message: str, base: Path) -> None:
    with pytest.raises(LocalError) as caught:
        send(CallableAttack(fraction=0.3, callable=f"own_attacks:{name}"), base=base)
    assert caught.value.message.startswith(message)


def test_an_attack_that_does_not_exist(base: Path) -> None:
    with pytest.raises(CharterError, match="own_attacks has no missing"):
        send(CallableAttack(fraction=0.3, callable="own_attacks:missing"), base=base)

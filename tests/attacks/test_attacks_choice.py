"""Who attacks, and which attacks make no sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.attacks.choice import attackers_wanted, check_attack, choose_attackers, target_of
from troth.attacks.spec import ALIE, Attack, LabelFlip, RandomData, SignFlip
from troth.errors import CharterError
from troth.ids import party_id
from troth.streams import world

PARTIES = [party_id(index, 20) for index in range(20)]


@pytest.mark.parametrize(
    ("spec", "classes", "message"),
    [
        (LabelFlip(), 10, "fraction = null must be given, or parties, but not both"),
        (
            LabelFlip(fraction=0.3, parties=["party-01"]),
            10,
            "fraction = 0.3 must be given, or parties, but not both",
        ),
        (SignFlip(parties=[]), 10, "parties = [] names no party"),
        (
            SignFlip(parties=["party-01", "party-01"]),
            10,
            'parties = ["party-01", "party-01"] names party-01 more than once',
        ),
        (
            SignFlip(parties=["party-20"]),
            10,
            'parties = ["party-20"] names party-20, which is not a party',
        ),
        (
            LabelFlip(fraction=0.3, source=10, target=1),
            10,
            "source = 10 is above 9, the last of 10 classes",
        ),
        (
            LabelFlip(fraction=0.3, source=1, target=11),
            10,
            "target = 11 is above 9, the last of 10 classes",
        ),
        (LabelFlip(fraction=0.3, source=1), 10, "source = 1 needs target beside it"),
        (LabelFlip(fraction=0.3, target=1), 10, "target = 1 needs source beside it"),
        (
            LabelFlip(fraction=0.3, source=2, target=2),
            10,
            "target = 2 is also the source, so nothing would be flipped",
        ),
        (
            LabelFlip(fraction=0.3),
            None,
            'kind = "label_flip" does not go with a regression task, which has no labels to flip',
        ),
    ],
)
def test_attacks_that_make_no_sense(spec: Attack, classes: int | None, message: str) -> None:
    with pytest.raises(CharterError) as caught:
        check_attack(spec, classes=classes, parties=PARTIES)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("spec", "classes"),
    [
        (LabelFlip(fraction=0.3, source=1, target=7), 10),
        (LabelFlip(parties=["party-00", "party-19"]), 2),
        (RandomData(fraction=1.0), None),
        (ALIE(fraction=0.01), None),
    ],
)
def test_attacks_that_make_sense(spec: Attack, classes: int | None) -> None:
    check_attack(spec, classes=classes, parties=PARTIES)


def test_named_parties_attack_and_shares_are_drawn_from_the_rest() -> None:
    flip = LabelFlip(fraction=0.5)
    alie = ALIE(parties=["party-03", "party-17"])
    sign = SignFlip(fraction=0.25)
    chosen = choose_attackers([flip, alie, sign], PARTIES, world(1))
    assert [party for party, spec in chosen.items() if spec is alie] == ["party-03", "party-17"]
    assert sum(spec is flip for spec in chosen.values()) == 10
    assert sum(spec is sign for spec in chosen.values()) == 5
    assert list(chosen) == sorted(chosen)
    assert choose_attackers([flip, alie, sign], PARTIES, world(1)) == chosen
    assert choose_attackers([flip, alie, sign], PARTIES, world(2)).keys() != chosen.keys()


@given(
    st.lists(st.floats(0.01, 1.0), max_size=4),
    st.integers(1, 40),
    st.integers(0, 1000),
)
def test_attackers_are_disjoint_or_refused(fractions: list[float], count: int, seed: int) -> None:
    parties = [party_id(index, count) for index in range(count)]
    # Different scales, because equal attacks could not be told apart.
    specs = [SignFlip(fraction=share, scale=1.0 + i) for i, share in enumerate(fractions)]
    wanted = [attackers_wanted(share, count) for share in fractions]
    if sum(wanted) > count:
        with pytest.raises(CharterError, match=r"asks for \d+ attackers, and only \d+ of"):
            choose_attackers(specs, parties, world(seed))
        return
    chosen = choose_attackers(specs, parties, world(seed))
    assert set(chosen) <= set(parties)
    assert [sum(spec is one for spec in chosen.values()) for one in specs] == wanted


@pytest.mark.parametrize(
    ("fraction", "parties", "wanted"),
    [(0.3, 10, 3), (0.29, 100, 29), (0.57, 100, 57), (0.39, 10, 3), (0.01, 10, 1), (1.0, 7, 7)],
)
def test_shares_are_rounded_down_but_at_least_one(
    fraction: float, parties: int, wanted: int
) -> None:
    assert attackers_wanted(fraction, parties) == wanted


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (
            [SignFlip(parties=["party-99"])],
            'attacks[0].parties = ["party-99"] names party-99, which is not a party',
        ),
        (
            [SignFlip(parties=["party-01"]), ALIE(parties=["party-02", "party-01"])],
            'attacks[1].parties = ["party-02", "party-01"] names party-01, '
            "which is already an attacker",
        ),
        (
            [SignFlip(parties=["party-01"]), ALIE(fraction=1.0)],
            "attacks[1].fraction = 1.0 asks for 20 attackers, and only 19 of 20 parties are left "
            "for it",
        ),
    ],
)
def test_more_attackers_than_parties_and_parties_that_are_none(
    specs: list[Attack], message: str
) -> None:
    with pytest.raises(CharterError) as caught:
        choose_attackers(specs, PARTIES, world(0))
    assert caught.value.message == message


def test_nobody_attacks_without_attacks() -> None:
    assert choose_attackers([], PARTIES, world(0)) == {}


def test_target() -> None:
    flip_all = LabelFlip(fraction=0.1)
    assert target_of([]) is None
    assert target_of([flip_all, SignFlip(fraction=0.1)]) is None
    first = LabelFlip(fraction=0.1, source=1, target=7)
    assert target_of([flip_all, first, LabelFlip(fraction=0.1, source=3, target=2)]) == (1, 7)

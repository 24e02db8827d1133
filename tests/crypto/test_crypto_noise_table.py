"""Noise is bound to its owner, round and slot; nobody gets a slot that somebody else has."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troth.crypto.noise_table import (
    NoiseSecret,
    NoiseTable,
    Seeds,
    TableShape,
    assign_slots,
    check_rows,
    check_seeds,
    leaf,
)
from troth.errors import PeerError
from troth.ids import NodeId, Round

OWNER, OTHER, CONTRIBUTOR = (NodeId(f"party-{i}") for i in range(3))
SHAPE = TableShape(rounds=5, slots=3)
SECRET = NoiseSecret(b"s" * 32)
PLACES = [(Round(round), slot) for round in range(1, 6) for slot in range(3)]


class HashedRows:
    """Stands in for real commitments: binding, and of their size."""

    def rows(self, seeds: Seeds) -> list[bytes]:
        return [
            sha256(b"%d" % row + seeds.noise + seeds.blinding).digest() + bytes(16)
            for row in range(4)
        ]


COMMITTER = HashedRows()
ROWS = [COMMITTER.rows(SECRET.seeds(*place)) for place in PLACES]
TABLE = NoiseTable(OWNER, SHAPE, ROWS)


def refuses_rows(match, **changed):
    place = PLACES[7]
    arguments = {
        "root": TABLE.root,
        "shape": SHAPE,
        "owner": OWNER,
        "round": place[0],
        "slot": place[1],
        "rows": TABLE.rows(*place),
        "path": TABLE.path(*place),
        "sender": CONTRIBUTOR,
    }
    check_rows(**arguments)
    with pytest.raises(PeerError, match=match) as caught:
        check_rows(**arguments | changed)
    assert caught.value.culprits == (CONTRIBUTOR,)


@pytest.mark.parametrize("place", PLACES)
def test_every_slot_shows_its_rows_and_seeds(place):
    round, slot = place
    rows, path = TABLE.rows(round, slot), TABLE.path(round, slot)
    assert list(rows) == COMMITTER.rows(SECRET.seeds(round, slot))
    found = check_seeds(
        COMMITTER,
        TABLE.root,
        SHAPE,
        owner=OWNER,
        round=round,
        slot=slot,
        seeds=SECRET.seeds(round, slot),
        path=path,
    )
    assert found == rows


def test_rows_are_of_one_owner_round_and_slot():
    rows = TABLE.rows(*PLACES[7])
    refuses_rows("wrong Merkle path", owner=OTHER)
    refuses_rows("wrong Merkle path", round=Round(4))
    refuses_rows("wrong Merkle path", slot=2)
    refuses_rows("wrong Merkle path", root=NoiseTable(OWNER, SHAPE, ROWS[::-1]).root)
    refuses_rows("wrong Merkle path", rows=rows[::-1])
    refuses_rows("wrong Merkle path", rows=rows[:-1])
    refuses_rows("wrong Merkle path", rows=[b"".join(rows)])
    refuses_rows("wrong Merkle path", rows=TABLE.rows(*PLACES[8]))
    refuses_rows("wrong Merkle path", rows=TABLE.rows(*PLACES[8]), path=TABLE.path(*PLACES[8]))


@pytest.mark.parametrize(("round", "slot"), [(0, 0), (6, 0), (1, 3), (1, -1), (-1, 2)])
def test_there_are_no_other_slots(round, slot):
    refuses_rows("does not exist", round=Round(round), slot=slot)
    with pytest.raises(IndexError):
        TABLE.rows(Round(round), slot)


def test_a_badly_formed_slot_is_found_by_whoever_has_its_seeds():
    """An owner that committed to no noise, say, for one slot, and to the rest as it should."""
    place = PLACES[7]
    rows = list(ROWS)
    rows[7] = [bytes(48)] * 4
    table = NoiseTable(OWNER, SHAPE, rows)
    assert table.root != TABLE.root
    for index, (round, slot) in enumerate(PLACES):
        arguments = {
            "owner": OWNER,
            "round": round,
            "slot": slot,
            "seeds": SECRET.seeds(round, slot),
            "path": table.path(round, slot),
        }
        if index == 7:
            with pytest.raises(PeerError, match="wrong Merkle path") as caught:
                check_seeds(COMMITTER, table.root, SHAPE, **arguments)
            assert caught.value.culprits == (OWNER,)
        else:
            check_seeds(COMMITTER, table.root, SHAPE, **arguments)
    # A verifier, who sees no seeds, cannot tell.
    check_rows(
        table.root,
        SHAPE,
        owner=OWNER,
        round=place[0],
        slot=place[1],
        rows=rows[7],
        path=table.path(*place),
        sender=CONTRIBUTOR,
    )


def test_a_leaf_binds_all_that_it_is_of():
    leaves = {
        leaf(owner, Round(round), slot, [b"row"])
        for owner in (OWNER, OTHER)
        for round in (1, 2)
        for slot in (1, 2)
    }
    assert len(leaves) == 8
    assert leaf(OWNER, Round(1), 0, [b"ab", b"c"]) != leaf(OWNER, Round(1), 0, [b"a", b"bc"])
    assert leaf(OWNER, Round(1), 0, [b"ab"]) != leaf(OWNER, Round(1), 0, [b"ab", b""])


def test_seeds_differ_everywhere_and_follow_from_the_secret():
    seeds = [SECRET.seeds(*place) for place in PLACES]
    halves = {half for pair in seeds for half in (pair.noise, pair.blinding)}
    assert len(halves) == 2 * len(PLACES)
    assert NoiseSecret(b"s" * 32).seeds(*PLACES[3]) == seeds[3]
    assert NoiseSecret(b"t" * 32).seeds(*PLACES[3]) != seeds[3]


def test_secrets_print_as_redacted():
    assert f"{SECRET}" == repr(SECRET.seeds(Round(1), 0)) == "<redacted>"
    with pytest.raises(ValueError, match="32 bytes"):
        NoiseSecret(b"short")


def test_a_table_is_complete():
    with pytest.raises(ValueError, match="not the 15"):
        NoiseTable(OWNER, SHAPE, ROWS[:-1])


@given(
    st.dictionaries(
        st.sampled_from([NodeId(f"party-{i}") for i in range(12)]), st.binary(max_size=4)
    ),
    st.integers(1, 10),
)
def test_slots_are_given_once_whatever_the_order(outputs, slots):
    shape = TableShape(1, slots)
    given_slots = assign_slots(outputs, noiser=OWNER, shape=shape)
    backwards = dict(reversed(outputs.items()))
    assert assign_slots(backwards, noiser=OWNER, shape=shape) == given_slots
    assert len(given_slots) == min(len(outputs), slots)
    assert len(set(given_slots.values())) == len(given_slots)
    assert set(given_slots) <= set(outputs)
    assert set(given_slots.values()) <= set(range(slots))
    kept = assign_slots(outputs, noiser=OWNER, shape=shape, reserved={0})
    assert 0 not in kept.values()
    assert len(kept) == min(len(outputs), slots - 1)


def test_a_contributor_that_is_alone_gets_the_slot_of_its_hash():
    """So nobody, the noiser included, can choose it. Written out for others to agree."""
    text = b"troth-noise-slot\0" + (64).to_bytes(4) + b"o" * 64 + OWNER.encode()
    first = int.from_bytes(sha256(text).digest()) % 7
    shape = TableShape(1, 7)
    assert assign_slots({CONTRIBUTOR: b"o" * 64}, noiser=OWNER, shape=shape) == {CONTRIBUTOR: first}
    # Whoever else has the same output comes after it, by name, and takes the next slot.
    both = {CONTRIBUTOR: b"o" * 64, OTHER: b"o" * 64}
    assert assign_slots(both, noiser=OWNER, shape=shape) == {
        OTHER: first,
        CONTRIBUTOR: (first + 1) % 7,
    }

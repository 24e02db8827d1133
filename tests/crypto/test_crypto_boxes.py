"""Boxes open for one purpose, chain, round, sender and receiver, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.public import Box, PrivateKey

from troth.crypto.boxes import OVERHEAD_BYTES, BoxKey, Context
from troth.errors import PeerError
from troth.ids import NodeId, Round

ALICE, BOB, CAROL = (NodeId(name) for name in ("alice", "bob", "carol"))
KEYS = {name: BoxKey(name.encode().ljust(32)) for name in (ALICE, BOB, CAROL)}
CONTEXT = Context("share", b"c" * 32, Round(3), ALICE, BOB)


def pair(own, peer):
    return KEYS[own].pair_with(KEYS[peer].public, peer=peer)


TO_BOB, FROM_ALICE = pair(ALICE, BOB), pair(BOB, ALICE)


def refuses(opener, culprit, context, boxed):
    with pytest.raises(PeerError, match="does not open") as caught:
        opener.open(context, boxed)
    assert caught.value.culprits == (culprit,)


@given(st.binary(max_size=200))
def test_what_goes_in_comes_out(message):
    boxed = TO_BOB.seal(CONTEXT, message)
    assert len(boxed) == len(message) + OVERHEAD_BYTES
    assert FROM_ALICE.open(CONTEXT, boxed) == message
    assert TO_BOB.seal(CONTEXT, message) == boxed
    assert message not in boxed or len(message) < 4


def test_a_box_is_one_of_nacl():
    alice, bob = (PrivateKey.from_seed(name.encode().ljust(32)) for name in (ALICE, BOB))
    boxed = TO_BOB.seal(CONTEXT, b"secret")
    assert Box(bob, alice.public_key).decrypt(boxed) == CONTEXT.digest() + b"secret"


@pytest.mark.parametrize(
    "other",
    [
        {"purpose": "noise"},
        {"chain": b"d" * 32},
        {"round": Round(4)},
        {"sender": BOB, "receiver": ALICE},
        {"sender": CAROL},
        {"receiver": CAROL},
        {"purpose": "shar", "chain": b"e" + b"c" * 32},
    ],
)
def test_a_box_opens_as_nothing_else(other):
    boxed = TO_BOB.seal(CONTEXT, b"secret")
    refuses(FROM_ALICE, ALICE, replace(CONTEXT, **other), boxed)


def test_no_bit_of_a_box_can_be_changed():
    boxed = TO_BOB.seal(CONTEXT, b"secret")
    for place in range(len(boxed)):
        changed = bytearray(boxed)
        changed[place] ^= 1 << place % 8
        refuses(FROM_ALICE, ALICE, CONTEXT, bytes(changed))
    for cut in range(len(boxed)):
        refuses(FROM_ALICE, ALICE, CONTEXT, boxed[:cut])
    refuses(FROM_ALICE, ALICE, CONTEXT, boxed + b"\0")


def test_a_box_is_between_two():
    boxed = TO_BOB.seal(CONTEXT, b"secret")
    refuses(pair(CAROL, ALICE), ALICE, CONTEXT, boxed)
    refuses(pair(BOB, CAROL), CAROL, CONTEXT, boxed)
    # Returned to its maker, who could decrypt it, it is for somebody else.
    refuses(TO_BOB, BOB, replace(CONTEXT, sender=BOB, receiver=ALICE), boxed)


def test_nonces_differ_where_anything_else_does():
    boxes = [
        TO_BOB.seal(CONTEXT, b"secret"),
        TO_BOB.seal(CONTEXT, b"secreu"),
        TO_BOB.seal(replace(CONTEXT, round=Round(4)), b"secret"),
        FROM_ALICE.seal(CONTEXT, b"secret"),
    ]
    assert len({boxed[:24] for boxed in boxes}) == len(boxes)


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), b"", b"k" * 31, b"k" * 33])
def test_keys_that_are_none(key):
    with pytest.raises(PeerError, match="box key") as caught:
        KEYS[ALICE].pair_with(key, peer=BOB)
    assert caught.value.culprits == (BOB,)


def test_secrets_print_as_redacted():
    assert f"{KEYS[ALICE]}" == repr(TO_BOB) == "<redacted>"

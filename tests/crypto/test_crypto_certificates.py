"""BLS signatures against Ethereum's and Chia's vectors, and what proofs of possession are for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, G2Point, Scalar

from troth.crypto.certificates import (
    CertificateKey,
    PossessedKey,
    check_possession,
    combine,
    verify,
    verify_aggregate,
)
from troth.errors import PeerError
from troth.ids import NodeId

LEADER = NodeId("leader")
VECTORS = json.loads(
    Path(__file__).with_name("vectors").joinpath("bls.json").read_text(encoding="utf-8")
)
FIELD = int(
    "1a0111ea397fe69a4b1ba7b6434bacd764774b84f38512bf6730d2a0f6b0f6241eabfffeb153ffffb9feffffffffaaab",
    16,
)
SECRETS = {NodeId(f"party-{i}"): CertificateKey.from_seed(bytes([i]) * 32) for i in range(5)}
KEYS = [
    check_possession(secret.public, secret.prove_possession(), owner=owner)
    for owner, secret in SECRETS.items()
]
MESSAGE = b"block"
GOOD = SECRETS[NodeId("party-0")].public
SIGNATURES = {owner: secret.sign(MESSAGE) for owner, secret in SECRETS.items()}


def key_of(scalar_hex):
    return CertificateKey(Scalar.from_be_bytes(bytes.fromhex(scalar_hex)))


def unchecked(encoded, owner="party"):
    """A key as `check_possession` would make it of a good proof."""
    return PossessedKey(NodeId(owner), G1Point.from_compressed_bytes(encoded))


@pytest.mark.parametrize("case", VECTORS["key_generation"], ids=lambda case: case["seed"][:8])
def test_keys_follow_from_seeds_as_in_the_draft(case):
    made = CertificateKey.from_seed(bytes.fromhex(case["seed"]))
    assert made.public == key_of(case["sk"]).public


@pytest.mark.parametrize("case", VECTORS["sign"], ids=lambda case: case["signature"][:8])
def test_signatures(case):
    key, message = key_of(case["sk"]), bytes.fromhex(case["message"])
    assert key.public.hex() == case["pk"]
    assert key.sign(message).hex() == case["signature"]
    verify(unchecked(key.public), message, bytes.fromhex(case["signature"]))


@pytest.mark.parametrize("case", VECTORS["possession"], ids=lambda case: case["proof"][:8])
def test_proofs_of_possession(case):
    key = key_of(case["sk"])
    assert key.public.hex() == case["pk"]
    assert key.prove_possession().hex() == case["proof"]
    owner = NodeId("party-1")
    held = check_possession(key.public, bytes.fromhex(case["proof"]), owner=owner)
    assert held == PossessedKey(owner, G1Point.from_compressed_bytes(key.public))


@pytest.mark.parametrize("case", VECTORS["aggregate"], ids=lambda case: case["name"])
def test_aggregates(case):
    message, signature = bytes.fromhex(case["message"]), bytes.fromhex(case["signature"])
    keys = [unchecked(bytes.fromhex(key), f"party-{i}") for i, key in enumerate(case["pks"])]
    if case["valid"]:
        verify_aggregate(keys, message, signature, sender=LEADER)
    else:
        refuses_aggregate(keys, message, signature)


def refuses_aggregate(keys, message, signature):
    with pytest.raises(PeerError, match="wrong aggregate signature") as caught:
        verify_aggregate(keys, message, signature, sender=LEADER)
    assert caught.value.culprits == (LEADER,)


def test_an_identity_key_is_not_admitted():
    """The library takes all of these for the identity, which signs everything without a secret."""
    for encoded in (
        bytes([0xC0]) + bytes(47),
        bytes([0xE0]) + bytes(47),
        bytes([0xC0]) + bytes(46) + b"\1",
    ):
        assert G1Point.from_compressed_bytes(encoded) == G1Point.identity()
        refuses_key(encoded, bytes([0xC0]) + bytes(95), "malformed")


def refuses_key(public_key, proof, match):
    owner = NodeId("party-7")
    with pytest.raises(PeerError, match=match) as caught:
        check_possession(public_key, proof, owner=owner)
    assert caught.value.culprits == (owner,)


def off_the_subgroup():
    """A point of the curve that is not one of the group, as nearly all are."""
    for x in range(1, 100):
        encoded = (x | 1 << 383).to_bytes(48)
        try:
            point = G1Point.from_compressed_bytes_unchecked(encoded)
        except ValueError:
            continue
        if not point.is_in_subgroup():
            return encoded
    raise AssertionError("no such point")


@pytest.mark.parametrize(
    "encoded",
    [
        off_the_subgroup(),
        (1 | 1 << 383).to_bytes(48),  # not on the curve
        (FIELD + 4 | 1 << 383).to_bytes(48),  # not below p
        bytes([GOOD[0] & 0x7F]) + GOOD[1:],  # says it is not compressed
        GOOD[:-1],
        GOOD + b"\0",
        b"",
    ],
)
def test_malformed_keys(encoded):
    refuses_key(encoded, SECRETS[NodeId("party-0")].prove_possession(), "malformed")


def test_malformed_signatures_are_wrong_signatures():
    good = SIGNATURES[NodeId("party-0")]
    for encoded in (
        b"",
        good[:-1],
        good + b"\0",
        bytes(96),
        b"\xff" * 96,
        bytes([0xC0]) + bytes(95),
    ):
        with pytest.raises(PeerError, match="wrong BLS signature") as caught:
            verify(KEYS[0], MESSAGE, encoded)
        assert caught.value.culprits == ("party-0",)


def test_a_proof_of_possession_is_for_one_key_and_no_message():
    one, other = SECRETS[NodeId("party-0")], SECRETS[NodeId("party-1")]
    refuses_key(one.public, other.prove_possession(), "does not prove")
    # A signature of the key's bytes as a message is no proof, and the other way round.
    refuses_key(one.public, one.sign(one.public), "does not prove")
    with pytest.raises(PeerError, match="wrong BLS signature"):
        verify(KEYS[0], one.public, one.prove_possession())


def test_a_rogue_key_signs_for_all_unless_it_must_be_possessed():
    """Public key x G - (the sum of the others'): x alone makes the aggregate of all of them."""
    x = CertificateKey.from_seed(b"x" * 32)
    rogue = G1Point.from_compressed_bytes(x.public)
    for key in KEYS:
        rogue -= key.point
    forged = x.sign(b"never signed by anybody")
    # Taken without proof of possession, it works:
    everybody = [*KEYS, PossessedKey(NodeId("rogue"), rogue)]
    verify_aggregate(everybody, b"never signed by anybody", forged, sender=LEADER)
    # With it, it does not: nobody knows the rogue key's secret.
    encoded = rogue.to_compressed_bytes()
    for proof in (
        x.prove_possession(),
        x.sign(encoded),
        (
            G2Point.hash_to_curve(encoded, b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_")
            * Scalar(7)
        ).to_compressed_bytes(),
    ):
        refuses_key(encoded, proof, "does not prove")


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(0, 4), min_size=1), st.binary(max_size=40))
def test_an_aggregate_is_of_exactly_its_signers(chosen, message):
    keys = [KEYS[i] for i in sorted(chosen)]
    parts = {key.owner: SECRETS[key.owner].sign(message) for key in keys}
    total = combine(keys, message, parts)
    verify_aggregate(keys, message, total, sender=LEADER)
    refuses_aggregate(keys, message + b"x", total)
    for i in range(5):
        others = [KEYS[j] for j in sorted(chosen ^ {i})]
        refuses_aggregate(others, message, total)


def test_those_who_sent_wrong_parts_are_blamed_and_nobody_else():
    wrong = {
        NodeId("party-1"): SECRETS[NodeId("party-1")].sign(b"another block"),
        NodeId("party-3"): b"garbage",
    }
    with pytest.raises(PeerError, match="wrong part") as caught:
        combine(KEYS, MESSAGE, SIGNATURES | wrong)
    assert set(caught.value.culprits) == set(wrong)
    rest = [key for key in KEYS if key.owner not in wrong]
    total = combine(rest, MESSAGE, SIGNATURES | wrong)
    verify_aggregate(rest, MESSAGE, total, sender=LEADER)


def test_wrong_parts_that_cancel_do_no_harm():
    """Two that agree on it can each send a wrong part; the sum is that of right ones."""
    shift = G2Point() * Scalar(12345)
    one, two = KEYS[0].owner, KEYS[1].owner
    shifted = dict(SIGNATURES)
    shifted[one] = (G2Point.from_compressed_bytes(SIGNATURES[one]) + shift).to_compressed_bytes()
    shifted[two] = (G2Point.from_compressed_bytes(SIGNATURES[two]) - shift).to_compressed_bytes()
    assert combine(KEYS, MESSAGE, shifted) == combine(KEYS, MESSAGE, SIGNATURES)
    with pytest.raises(PeerError, match="wrong part") as caught:
        combine(KEYS[1:], MESSAGE, shifted)
    assert caught.value.culprits == (two,)


def test_a_secret_key_prints_as_redacted():
    secret = CertificateKey.from_seed(b"\1" * 32)
    assert repr(secret) == f"{secret}" == "<redacted>"
    with pytest.raises(ValueError, match="at least 32 bytes"):
        CertificateKey.from_seed(b"short")

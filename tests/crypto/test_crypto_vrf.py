"""ECVRF against RFC 9381, against plain arithmetic, and against proofs made to look right."""

from __future__ import annotations

import json
from hashlib import sha512
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import CryptoError

from troth.crypto import vrf
from troth.crypto.vrf import VrfKey, check_key, output, verify
from troth.errors import PeerError
from troth.ids import NodeId

PROVER = NodeId("party-1")
KEY = VrfKey(bytes(range(32)))

EXAMPLES = [
    {name: text if name == "name" else bytes.fromhex(text) for name, text in example.items()}
    for example in json.loads(
        Path(__file__).with_name("vectors").joinpath("rfc9381.json").read_text(encoding="utf-8")
    )["examples"]
]

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
IDENTITY = (1).to_bytes(32, "little")
OF_ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
SMALL_ORDER = [
    bytes.fromhex(text)
    for text in (
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    )
] + [OF_ORDER_8]


def refuses(public_key, alpha, proof):
    with pytest.raises(PeerError, match="wrong VRF proof") as caught:
        verify(public_key, alpha, proof, prover=PROVER)
    assert caught.value.culprits == (PROVER,)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_rfc_9381(example):
    key = VrfKey(example["sk"])
    assert key.public == example["pk"]
    assert key.prove(example["alpha"]) == example["pi"]
    assert verify(key.public, example["alpha"], example["pi"], prover=PROVER) == example["beta"]
    assert output(example["pi"]) == example["beta"]
    challenge = vrf._challenge(
        example["pk"], example["h"], example["pi"][:32], example["u"], example["v"]
    )
    assert challenge == example["pi"][32:48]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["name"])
def test_no_byte_of_a_proof_can_be_changed(example):
    for place in range(80):
        changed = bytearray(example["pi"])
        changed[place] ^= 1 << place % 8
        refuses(example["pk"], example["alpha"], bytes(changed))
    refuses(example["pk"], example["alpha"] + b"x", example["pi"])
    refuses(KEY.public, example["alpha"], example["pi"])
    refuses(example["pk"], example["alpha"], example["pi"][:-1])
    refuses(example["pk"], example["alpha"], example["pi"] + b"\0")
    refuses(example["pk"], example["alpha"], b"")


def test_there_is_one_way_to_write_s():
    proof = KEY.prove(b"alpha")
    s = int.from_bytes(proof[48:], "little")
    for other in (s + Q, s + 8 * Q):
        refuses(KEY.public, b"alpha", proof[:48] + other.to_bytes(32, "little"))


def test_c_and_s_of_zero_are_refused():
    proof = KEY.prove(b"alpha")
    refuses(KEY.public, b"alpha", proof[:32] + bytes(16) + proof[48:])
    refuses(KEY.public, b"alpha", proof[:48] + bytes(32))


def test_a_second_proof_by_a_point_of_small_order_is_refused():
    """With c a multiple of 8 the RFC's equations cannot see such a point added to Gamma, and give
    the same output. Ours allow one Gamma only."""
    hashed = bytearray(sha512(bytes(range(32))).digest()[:32])
    hashed[0] &= 248
    hashed[31] = hashed[31] & 127 | 64
    h = vrf._encode_to_curve(KEY.public, b"alpha")
    gamma = bindings.crypto_core_ed25519_add(
        bindings.crypto_scalarmult_ed25519_noclamp(bytes(hashed), h), OF_ORDER_8
    )
    for nonce in range(2, 1000):
        k = nonce.to_bytes(32, "little")
        u = bindings.crypto_scalarmult_ed25519_base_noclamp(k)
        v = bindings.crypto_scalarmult_ed25519_noclamp(k, h)
        c = vrf._challenge(KEY.public, h, gamma, u, v)
        if c[0] % 8 == 0:
            break
    assert c[0] % 8 == 0
    c_x = bindings.crypto_core_ed25519_scalar_mul(c + bytes(16), bytes(hashed))
    second = gamma + c + bindings.crypto_core_ed25519_scalar_add(k, c_x)
    assert reference_verify(KEY.public, b"alpha", second) == output(KEY.prove(b"alpha"))
    refuses(KEY.public, b"alpha", second)


@pytest.mark.parametrize(
    "key",
    [
        *SMALL_ORDER,
        bindings.crypto_core_ed25519_add(KEY.public, OF_ORDER_8),  # of the curve, not of the group
        (2).to_bytes(32, "little"),  # not on the curve
        (P + 3).to_bytes(32, "little"),  # not below p
        KEY.public[:-1],
        KEY.public + b"\0",
        b"",
    ],
)
def test_keys_that_are_none(key):
    with pytest.raises(PeerError, match="not a point of the group") as caught:
        check_key(key, owner=PROVER)
    assert caught.value.culprits == (PROVER,)
    refuses(key, b"alpha", KEY.prove(b"alpha"))


def test_a_good_key_passes():
    check_key(KEY.public, owner=PROVER)


def test_what_libsodium_decodes_and_the_rfc_does_not():
    """y at or above p, and x = 0 with a sign: hashes that look so must be skipped."""
    sign = 1 << 255
    for number in (1 | sign, (P - 1) | sign, P, P + 1, P + 18, P | sign):
        encoded = number.to_bytes(32, "little")
        assert not vrf._is_canonical(encoded)
        assert reference_decode(encoded) is None
    # If this ever fails, libsodium has become stricter, and the check above is only twofold.
    lenient = (1 | sign).to_bytes(32, "little")
    assert bindings.crypto_core_ed25519_add(lenient, lenient) == (1).to_bytes(32, "little")
    with pytest.raises(CryptoError):
        vrf._times_cofactor((2).to_bytes(32, "little"))


@pytest.mark.parametrize(
    ("check", "skip"),
    [("_is_canonical", lambda encoded: False), ("_times_cofactor", lambda point: IDENTITY)],
)
def test_a_hash_that_gives_no_point_is_skipped(monkeypatch, check, skip):
    """None like that will ever be seen, so the first is called one, and the second is taken."""
    alpha = next(bytes([i]) for i in range(99) if tries(bytes([i])) == [True, True])
    first = vrf._encode_to_curve(KEY.public, alpha)
    answers = iter([skip, getattr(vrf, check)])
    monkeypatch.setattr(vrf, check, lambda encoded: next(answers)(encoded))
    second = sha512(b"\x03\x01" + KEY.public + alpha + b"\1\0").digest()[:32]
    expected = reference_encode(times(8, reference_decode(second)))
    assert vrf._encode_to_curve(KEY.public, alpha) == expected != first


def tries(alpha):
    """Whether the hashes for counters 0 and 1 are points."""
    return [
        reference_decode(sha512(b"\x03\x01" + KEY.public + alpha + end).digest()[:32]) is not None
        for end in (b"\0\0", b"\1\0")
    ]


@settings(max_examples=15, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_proofs_hold_by_plain_arithmetic(seed, alpha):
    key = VrfKey(seed)
    proof = key.prove(alpha)
    assert key.prove(alpha) == proof
    beta = verify(key.public, alpha, proof, prover=PROVER)
    assert beta == output(proof) == reference_verify(key.public, alpha, proof)
    assert output(key.prove(alpha + b"\0")) != beta


def test_a_secret_key_prints_as_redacted():
    assert repr(KEY) == f"{KEY}" == "<redacted>"
    with pytest.raises(ValueError, match="32 bytes"):
        VrfKey(b"short")


# RFC 9381, 5.3, as it is written, with numbers of Python and affine points.

D = -121665 * pow(121666, -1, P) % P
BASE_Y = 4 * pow(5, -1, P) % P


def reference_decode(encoded):
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if x * x % P != x2:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != x2 or (x == 0 and sign):
        return None
    return (P - x if x & 1 != sign else x), y


def reference_encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def add(a, b):
    product = D * a[0] * b[0] * a[1] * b[1] % P
    return (
        (a[0] * b[1] + b[0] * a[1]) * pow(1 + product, -1, P) % P,
        (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, P) % P,
    )


def times(number, point):
    total = (0, 1)
    for bit in bin(number)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def minus(point):
    return (P - point[0]) % P, point[1]


def reference_verify(public_key, alpha, proof):
    gamma, c, s = reference_decode(proof[:32]), proof[32:48], int.from_bytes(proof[48:], "little")
    y, number_c = reference_decode(public_key), int.from_bytes(c, "little")
    assert s < Q
    assert times(8, y) != (0, 1)
    counter = 0
    while True:
        hashed = sha512(b"\x03\x01" + public_key + alpha + bytes([counter, 0])).digest()
        candidate = reference_decode(hashed[:32])
        if candidate is not None and times(8, candidate) != (0, 1):
            break
        counter += 1
    h = times(8, candidate)
    base = reference_decode(BASE_Y.to_bytes(32, "little"))
    u = add(times(s, base), minus(times(number_c, y)))
    v = add(times(s, h), minus(times(number_c, gamma)))
    points = b"".join(map(reference_encode, (y, h, gamma, u, v)))
    assert sha512(b"\x03\x02" + points + b"\0").digest()[:16] == c
    return sha512(b"\x03\x03" + reference_encode(times(8, gamma)) + b"\0").digest()

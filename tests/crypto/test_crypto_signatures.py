"""Ed25519 against RFC 8032, and what the purpose in front of a message is for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey as Plain

from troth.crypto.signatures import SigningKey, verify
from troth.errors import PeerError
from troth.ids import NodeId

SIGNER = NodeId("party-1")

RFC_8032 = [
    # Section 7.1: secret key, public key, message, signature.
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_rfc_8032(secret, public, message, signature):
    key = SigningKey(bytes.fromhex(secret))
    assert key.public.hex() == public
    # The vectors have no purpose in front, so they are checked below our framing.
    assert Plain(bytes.fromhex(secret)).sign(bytes.fromhex(message)).signature.hex() == signature


@given(st.binary(max_size=100), st.text(max_size=10))
def test_a_signature_is_of_one_message_for_one_purpose_by_one_key(message, purpose):
    key, other = SigningKey(bytes(32)), SigningKey(b"\1" * 32)
    signature = key.sign(purpose, message)
    verify(key.public, purpose, message, signature, signer=SIGNER)
    for public, name, text, signed in (
        (other.public, purpose, message, signature),
        (key.public, purpose + "x", message, signature),
        (key.public, purpose, message + b"x", signature),
        (key.public, purpose, message, signature[:-1] + bytes([signature[-1] ^ 1])),
        (key.public, purpose, message, signature[:10]),
        (b"\xff" * 32, purpose, message, signature),
        (b"short", purpose, message, signature),
    ):
        with pytest.raises(PeerError, match="wrong signature") as caught:
            verify(public, name, text, signed, signer=SIGNER)
        assert caught.value.culprits == (SIGNER,)


def test_a_purpose_cannot_borrow_from_its_message():
    key = SigningKey(bytes(32))
    signature = key.sign("join", b"er")
    with pytest.raises(PeerError):
        verify(key.public, "joine", b"r", signature, signer=SIGNER)


def test_a_secret_key_prints_as_redacted():
    assert repr(SigningKey(b"\1" * 32)) == "<redacted>"
    assert "01" not in f"{SigningKey(bytes([1] * 32))}"

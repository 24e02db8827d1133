"""BLS signatures that add up, for block certificates: keys in G1 (48 bytes), signatures in G2 (96).

The proof-of-possession scheme of draft-irtf-cfrg-bls-signature-05, section 3.3, ciphersuite
BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_, which Ethereum uses too. Signatures of one message by
many keys become one of 96 bytes, anybody's can be added late, and one check of two pairings covers
them all.

Without proofs of possession that would be broken: whoever publishes the key `X - (the sum of all
others)` signs for everybody (the rogue-key attack). So only a `PossessedKey` can be checked
against, and only `check_possession` makes one.

A peer's points must be points of the prime-order subgroup and not the identity. The library
refuses the rest of what is malformed, but takes several encodings for the identity.

A key signs certificates and nothing else: messages carry no purpose of their own here. The library
multiplies in variable time, so somebody who can measure this process closely may learn something
of the key while it signs. What must outlive a run is signed with Ed25519
(`troth.crypto.signatures`), which is not affected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from troth.errors import PeerError
from troth.ids import NodeId

MIN_SEED_BYTES = 32
PUBLIC_KEY_BYTES = 48
SIGNATURE_BYTES = 96

_SIGN = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
_POSSESS = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
_KEYGEN_SALT = b"BLS-SIG-KEYGEN-SALT-"
_KEYGEN_BYTES = 48
_MINUS_GENERATOR = -G1Point()


class CertificateKey:
    """A secret key. It has no wire encoder and prints as `<redacted>`.

    Args:
      scalar: what the draft calls SK, not 0; `from_seed` makes one.
    """

    __slots__ = ("_scalar", "public")

    public: bytes
    """The public key, 48 bytes. Others take it only with `prove_possession`."""

    def __init__(self, scalar: Scalar) -> None:
        self._scalar = scalar
        self.public = (G1Point() * scalar).to_compressed_bytes()

    def __repr__(self) -> str:
        return "<redacted>"

    @classmethod
    def from_seed(cls, seed: bytes) -> CertificateKey:
        """The key that follows from at least 32 random bytes: KeyGen, section 2.3 of the draft,
        with its default salt and no key_info."""
        if len(seed) < MIN_SEED_BYTES:
            raise ValueError(f"a seed has at least {MIN_SEED_BYTES} bytes, not {len(seed)}")
        salt = sha256(_KEYGEN_SALT).digest()
        while True:
            hkdf = HKDF(SHA256(), _KEYGEN_BYTES, salt, _KEYGEN_BYTES.to_bytes(2))
            scalar = Scalar.from_be_bytes_mod_order(hkdf.derive(seed + b"\x00"))
            if not scalar.is_zero():
                return cls(scalar)
            salt = sha256(salt).digest()

    def sign(self, message: bytes) -> bytes:
        """The signature of `message`, 96 bytes. The same every time."""
        return self._sign(message, _SIGN)

    def prove_possession(self) -> bytes:
        """What `check_possession` asks for: a signature of the public key, 96 bytes (PopProve)."""
        return self._sign(self.public, _POSSESS)

    def _sign(self, message: bytes, domain: bytes) -> bytes:
        return (G2Point.hash_to_curve(message, domain) * self._scalar).to_compressed_bytes()


@dataclass(frozen=True)
class PossessedKey:
    """A public key whose owner has shown to know the secret key.

    Made by `check_possession` alone: an aggregate that holds for keys made in any other way proves
    nothing.
    """

    owner: NodeId
    point: G1Point


def check_possession(public_key: bytes, possession: bytes, *, owner: NodeId) -> PossessedKey:
    """Check a public key and its proof of possession (KeyValidate and PopVerify).

    Raises:
      PeerError: the key is malformed, or the proof is not one for it; the culprit is `owner`.
    """
    try:
        point = G1Point.from_compressed_bytes(public_key)
    except ValueError:
        point = G1Point.identity()
    if point == G1Point.identity():
        raise PeerError("has a malformed BLS public key", culprits=(owner,))
    if not _holds(point, public_key, _POSSESS, possession):
        raise PeerError("does not prove to know its BLS key", culprits=(owner,))
    return PossessedKey(owner, point)


def verify(key: PossessedKey, message: bytes, signature: bytes) -> None:
    """Check one signature.

    Raises:
      PeerError: it is not this key's signature of `message`; the culprit is the key's owner.
    """
    if not _holds(key.point, message, _SIGN, signature):
        raise PeerError("sent a wrong BLS signature", culprits=(key.owner,))


def verify_aggregate(
    keys: Sequence[PossessedKey], message: bytes, signature: bytes, *, sender: NodeId
) -> None:
    """Check that the owners of all `keys` signed `message` (FastAggregateVerify): two pairings,
    however many they are.

    Raises:
      PeerError: it does not hold, or there is no key; the culprit is `sender`, who put it together.
    """
    total = G1Point.identity()
    for key in keys:
        total += key.point
    # The sum of no keys is the identity, for which no signature but the identity could hold.
    if not _holds(total, message, _SIGN, signature):
        raise PeerError(f"sent a wrong aggregate signature of {len(keys)} keys", culprits=(sender,))


def combine(
    keys: Sequence[PossessedKey], message: bytes, signatures: Mapping[NodeId, bytes]
) -> bytes:
    """The aggregate of all `signatures`, as received, which `verify_aggregate` takes; 96 bytes.

    Costs one check if all is well. What went in is not checked one by one then: two owners may
    send wrong signatures whose errors cancel, which is no harm, since they had to agree on it and
    the sum is that of the right ones.

    Args:
      keys: one for each signature, in any order.

    Raises:
      PeerError: some are wrong; the culprits are exactly their senders, so leave them out and try
        again.
    """
    owners = {key.owner: key for key in keys}
    points = [_parse_signature(signatures[owner]) for owner in owners]
    total = G2Point.identity()
    for point in points:
        total += point
    aggregate = total.to_compressed_bytes()
    try:
        verify_aggregate(keys, message, aggregate, sender=keys[0].owner)
    except PeerError:
        wrong = [
            owner
            for owner, key in owners.items()
            if not _holds(key.point, message, _SIGN, signatures[owner])
        ]
        raise PeerError("sent a wrong part of a certificate", culprits=wrong) from None
    return aggregate


def _holds(key: G1Point, message: bytes, domain: bytes, signature: bytes) -> bool:
    """CoreVerify: e(key, H(message)) = e(generator, signature)."""
    point = _parse_signature(signature)
    if point == G2Point.identity():
        return False
    hashed = G2Point.hash_to_curve(message, domain)
    return GT.pairing_check([key, _MINUS_GENERATOR], [hashed, point])


def _parse_signature(encoded: bytes) -> G2Point:
    """The point; the identity, which is nobody's signature, for what is malformed."""
    try:
        return G2Point.from_compressed_bytes(encoded)
    except ValueError:
        return G2Point.identity()

"""A verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381, over libsodium.

Whoever holds the key computes, for an input `alpha`, 64 bytes that nobody else can predict, and a
proof that they are the only ones that belong to this key and input. So a peer draws a lottery for
itself, and can neither choose its outcome nor hide how it was drawn.

Names follow the RFC: `alpha` the input, `pi` the proof, `beta` the output, `Y` the public key, `H`
the input as a point, `Gamma = x H`. What secrets are multiplied with runs in constant time; the
time of trying counters until `H` is found depends on `alpha` and the public key only, which are
public here.

Differs from the RFC: verification is stricter, and everybody who must agree on which proofs hold
has to be equally strict. libsodium multiplies points of the prime-order subgroup only, and by no
zero. So a proof is refused here, and not there, if Y or Gamma has a component of small order, or
if the proof's c or s is 0. Honest proofs have such a zero with probability 2^-128, and never the
rest.
"""

from __future__ import annotations

from hashlib import sha512

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import CryptoError

from troth.errors import PeerError
from troth.ids import NodeId

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
PROOF_BYTES = 80

_SUITE = b"\x03"
_POINT_BYTES = 32
_CHALLENGE_BYTES = 16
_FIELD = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_IDENTITY = (1).to_bytes(_POINT_BYTES, "little")


class VrfKey:
    """A secret key, used for nothing but this. It has no wire encoder and prints as `<redacted>`.

    Args:
      seed: the 32 bytes that RFC 8032 calls the secret key.
    """

    __slots__ = ("_nonce_key", "_x", "public")

    public: bytes
    """The public key, 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        hashed = bytearray(sha512(seed).digest())
        # RFC 8032, 5.1.5, step 2.
        hashed[0] &= 248
        hashed[31] &= 127
        hashed[31] |= 64
        self._x, self._nonce_key = bytes(hashed[:32]), bytes(hashed[32:])
        self.public = crypto_scalarmult_ed25519_base_noclamp(self._x)

    def __repr__(self) -> str:
        return "<redacted>"

    def prove(self, alpha: bytes) -> bytes:
        """The proof pi for `alpha`, 80 bytes (RFC 9381, 5.1). The same every time."""
        h = _encode_to_curve(self.public, alpha)
        gamma = crypto_scalarmult_ed25519_noclamp(self._x, h)
        # RFC 9381, 5.4.2.2: the nonce is a hash of secret and input.
        k = crypto_core_ed25519_scalar_reduce(sha512(self._nonce_key + h).digest())
        c = _challenge(
            self.public,
            h,
            gamma,
            crypto_scalarmult_ed25519_base_noclamp(k),
            crypto_scalarmult_ed25519_noclamp(k, h),
        )
        c_x = crypto_core_ed25519_scalar_mul(_scalar(c), self._x)
        return gamma + c + crypto_core_ed25519_scalar_add(k, c_x)


def output(proof: bytes) -> bytes:
    """The output beta that belongs to a proof of one's own, 64 bytes (RFC 9381, 5.2).

    For a proof that somebody else sent take what `verify` returns.
    """
    return sha512(_SUITE + b"\x03" + _times_cofactor(proof[:_POINT_BYTES]) + b"\x00").digest()


def check_key(public_key: bytes, *, owner: NodeId) -> None:
    """Check that this is a key that proofs can hold for: a point of the prime-order subgroup.

    RFC 9381, 5.4.5, and stricter as the module says. No proof holds for any other key.

    Raises:
      PeerError: it is not; the culprit is `owner`.
    """
    valid = len(public_key) == PUBLIC_KEY_BYTES and crypto_core_ed25519_is_valid_point(public_key)
    if not valid:
        raise PeerError("has a VRF key that is not a point of the group", culprits=(owner,))


def verify(public_key: bytes, alpha: bytes, proof: bytes, *, prover: NodeId) -> bytes:
    """Check a proof made by `VrfKey.prove` and give the output beta, 64 bytes (RFC 9381, 5.3).

    One key and one `alpha` have one output, whoever made the key, as long as discrete logarithms
    are hard and SHA-512 is a random oracle.

    Raises:
      PeerError: it is not this key's proof for `alpha`, or the key is not valid; the culprit is
        `prover`.
    """
    s = int.from_bytes(proof[48:], "little")
    if len(proof) != PROOF_BYTES or s >= _ORDER or not _holds(public_key, alpha, proof):
        raise PeerError("sent a wrong VRF proof", culprits=(prover,))
    return output(proof)


def _holds(public_key: bytes, alpha: bytes, proof: bytes) -> bool:
    """ "U = s*B - c*Y, V = s*H - c*Gamma", and c is their challenge (RFC 9381, 5.3, steps 5-9)."""
    gamma, c, s = proof[:32], proof[32:48], proof[48:]
    h, scalar_c = _encode_to_curve(public_key, alpha), _scalar(c)
    try:
        u = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_base_noclamp(s),
            crypto_scalarmult_ed25519_noclamp(scalar_c, public_key),
        )
        v = crypto_core_ed25519_sub(
            crypto_scalarmult_ed25519_noclamp(s, h),
            crypto_scalarmult_ed25519_noclamp(scalar_c, gamma),
        )
    except CryptoError:  # Y or Gamma is no point of the subgroup, or c or s is 0
        return False
    return _challenge(public_key, h, gamma, u, v) == c


def _encode_to_curve(public_key: bytes, alpha: bytes) -> bytes:
    """`alpha` as a point of the prime-order subgroup: try and increment (RFC 9381, 5.4.1.1)."""
    prefix = sha512(_SUITE + b"\x01" + public_key + alpha)
    for counter in range(256):
        attempt = prefix.copy()
        attempt.update(bytes([counter, 0]))
        candidate = attempt.digest()[:_POINT_BYTES]
        if _is_canonical(candidate):
            try:
                h = _times_cofactor(candidate)
            except CryptoError:  # not on the curve
                continue
            if h != _IDENTITY:
                return h
    raise AssertionError("no point among 256 tries, which has probability 2^-256")


def _is_canonical(encoded: bytes) -> bool:
    """What libsodium lets pass and RFC 8032, 5.1.3, does not: y >= p, and -0 for x."""
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    negative = encoded[31] >= 0x80
    return y < _FIELD and not (negative and y in (1, _FIELD - 1))


def _times_cofactor(point: bytes) -> bytes:
    """8 times a point, by doubling, which libsodium does for any point of the curve.

    Raises:
      CryptoError: it is not on the curve.
    """
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return point


def _challenge(*points: bytes) -> bytes:
    """RFC 9381, 5.4.3: of Y, H, Gamma, U and V, in this order."""
    hashed = sha512(_SUITE + b"\x02" + b"".join(points) + b"\x00")
    return hashed.digest()[:_CHALLENGE_BYTES]


def _scalar(c: bytes) -> bytes:
    return c + bytes(32 - len(c))

"""Ed25519 signatures (RFC 8032) over libsodium, each for one purpose only."""

from __future__ import annotations

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey as LibsodiumSigningKey
from nacl.signing import VerifyKey

from troth.errors import PeerError
from troth.ids import NodeId

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


class SigningKey:
    """A secret key. It has no wire encoder and prints as `<redacted>`.

    Args:
      seed: the 32 bytes that RFC 8032 calls the secret key.
    """

    __slots__ = ("_key",)

    def __init__(self, seed: bytes) -> None:
        self._key = LibsodiumSigningKey(seed)

    def __repr__(self) -> str:
        return "<redacted>"

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return bytes(self._key.verify_key)

    def sign(self, purpose: str, message: bytes) -> bytes:
        """A signature of `message` that `verify` takes for `purpose` alone; 64 bytes."""
        return self._key.sign(_framed(purpose, message)).signature


def verify(
    public_key: bytes, purpose: str, message: bytes, signature: bytes, *, signer: NodeId
) -> None:
    """Check a signature made by `SigningKey.sign`.

    Raises:
      PeerError: it is not `public_key`'s signature of this message for this purpose, or the key is
        not a point of the curve that can sign; the culprit is `signer`.
    """
    try:
        VerifyKey(public_key).verify(_framed(purpose, message), signature)
    except (BadSignatureError, ValueError, TypeError):
        raise PeerError(f"sent a wrong signature for {purpose}", culprits=(signer,)) from None


def _framed(purpose: str, message: bytes) -> bytes:
    """The purpose goes first, so that a signature for one thing never passes for another."""
    name = purpose.encode()
    return b"troth-signature\0" + len(name).to_bytes(2) + name + message

"""Sealed boxes between two nodes: NaCl's Box (X25519, XSalsa20, Poly1305), over libsodium.

Only the two can read a box, and both know that the other one or they themselves made it. Each box
belongs to one purpose, chain, round, sender and receiver, and opens as nothing else: a box cannot
be played again in another round, sent on to a third node, or returned to its sender.

What a box does not give: proof for others (the receiver could have made it; what may become
evidence is signed as well), or safety of past boxes once one of the two secret keys is stolen.

The nonce is a keyed hash of what is in the box. So there is no counter to lose in a crash and no
randomness to get wrong: two boxes have one nonce only if they are the same box.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b, sha256

from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey

from troth.errors import PeerError
from troth.ids import NodeId, Round

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
_NONCE_BYTES = 24
_CONTEXT_BYTES = 32
OVERHEAD_BYTES = _NONCE_BYTES + 16 + _CONTEXT_BYTES
"""How much longer a box is than what is in it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a box is for. Both ends know it; it does not travel."""

    purpose: str
    chain: bytes
    """The chain's id."""
    round: Round
    sender: NodeId
    receiver: NodeId

    def digest(self) -> bytes:
        """32 bytes that no other context has."""
        hashed = sha256(b"troth-box\0")
        for part in (
            self.purpose.encode(),
            self.chain,
            self.sender.encode(),
            self.receiver.encode(),
        ):
            hashed.update(len(part).to_bytes(4) + part)
        hashed.update(self.round.to_bytes(8))
        return hashed.digest()


class BoxKey:
    """A secret key. It has no wire encoder and prints as `<redacted>`.

    Args:
      seed: 32 random bytes that are used for nothing else.
    """

    __slots__ = ("_nonce_key", "_secret", "public")

    public: bytes
    """The public key, 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        self._secret = PrivateKey.from_seed(seed)
        self._nonce_key = blake2b(seed, digest_size=32, person=b"troth-box-nonce").digest()
        self.public = bytes(self._secret.public_key)

    def __repr__(self) -> str:
        return "<redacted>"

    def pair_with(self, public_key: bytes, *, peer: NodeId) -> Pair:
        """The boxes between us and `peer`. Keep it: the key that the two share is computed here.

        Raises:
          PeerError: `public_key` is not a key; the culprit is `peer`.
        """
        try:
            box = Box(self._secret, PublicKey(public_key))
        except (CryptoError, ValueError, TypeError):
            raise PeerError("has a box key that is not one", culprits=(peer,)) from None
        return Pair(box, self._nonce_key, peer)


class Pair:
    """Makes and opens the boxes between us and one peer. Prints as `<redacted>`."""

    __slots__ = ("_box", "_nonce_key", "_peer")

    def __init__(self, box: Box, nonce_key: bytes, peer: NodeId) -> None:
        self._box, self._nonce_key, self._peer = box, nonce_key, peer

    def __repr__(self) -> str:
        return "<redacted>"

    def seal(self, context: Context, message: bytes) -> bytes:
        """A box that only the peer opens; `OVERHEAD_BYTES` longer than `message`."""
        content = context.digest() + message
        nonce = blake2b(content, digest_size=_NONCE_BYTES, key=self._nonce_key).digest()
        return bytes(self._box.encrypt(content, nonce))

    def open(self, context: Context, boxed: bytes) -> bytes:
        """What the peer sealed for `context`.

        Raises:
          PeerError: it is no box of the peer's for this context; the culprit is the peer.
        """
        try:
            content = self._box.decrypt(boxed)
        except (CryptoError, ValueError):
            content = b""
        if content[:_CONTEXT_BYTES] != context.digest():
            raise PeerError(
                f"sent a box that does not open for {context.purpose}", culprits=(self._peer,)
            )
        return content[_CONTEXT_BYTES:]

"""A node's identity: an Ed25519 key pair (RFC 8032). The public half names the node to its peers.

The secret half lies in a file that only its owner may read. It has no wire encoder, and an identity
prints as its public half.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NewType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from troth.crypto.secret_file import pem_of, read_private_key, write_secret
from troth.errors import UsageError

PublicId = NewType("PublicId", str)
"""An Ed25519 public key: 64 lower-case hexadecimal digits."""

_PUBLIC_ID = re.compile(r"[0-9a-f]{64}")


class Identity:
    """The key pair of one node."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self.key = key
        self.public = public_id(key.public_key())

    def __repr__(self) -> str:
        return f"Identity(public={self.public!r}, secret=<redacted>)"

    @classmethod
    def create(cls) -> Identity:
        """A new one, from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Identity:
        """The identity in a file that `save` wrote.

        Raises:
          UsageError: there is none, it is no Ed25519 key, or others may read the file.
        """
        hint = f"make an identity with: troth identity new {path}"
        key = read_private_key(path, hint=hint)
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError(f"{path}: is not an Ed25519 secret key in PEM", hint=hint)
        return cls(key)

    def save(self, path: Path) -> None:
        """Write a new file that only its owner may read.

        Raises:
          UsageError: there is a file already (an identity is never overwritten), or it cannot be
            written.
        """
        write_secret(path, pem_of(self.key))


def holds_identity(path: Path) -> bool:
    """Whether there is a whole identity in a file.

    Raises:
      UsageError: it cannot be read, or others may read it.
    """
    key = read_private_key(path, hint="restore it from a copy")
    return isinstance(key, Ed25519PrivateKey)


def public_id(key: Ed25519PublicKey) -> PublicId:
    """The name of a public key."""
    return PublicId(key.public_bytes_raw().hex())


def parse_public_id(text: str) -> Ed25519PublicKey | None:
    """The key that a public id names; None where `text` is none."""
    if not _PUBLIC_ID.fullmatch(text):
        return None
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))

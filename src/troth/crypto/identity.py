"""A node's identity: an Ed25519 key pair (RFC 8032). The public half names the node to its peers.

The secret half lies in a file that only its owner may read. It has no wire encoder, and an identity
prints as its public half.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NewType

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from troth.errors import UsageError

PublicId = NewType("PublicId", str)
"""An Ed25519 public key: 64 lower-case hexadecimal digits."""

MAX_IDENTITY_BYTES = 4096
"""A larger file is no identity, and is not read whole to find that out."""

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
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                pem = file.read(MAX_IDENTITY_BYTES + 1)
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be read: {(error.strerror or str(error)).lower()}",
                hint=f"make an identity with: troth identity new {path}",
            ) from None
        if mode & 0o077:
            raise UsageError(
                f"{path}: others may read this secret key, its mode is {mode:04o}",
                hint=f"chmod 600 {path}; if others have read it, make a new one",
            )
        try:
            if len(pem) > MAX_IDENTITY_BYTES:
                raise ValueError(f"more than {MAX_IDENTITY_BYTES} bytes")
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise UsageError(
                f"{path}: is not an Ed25519 secret key in PEM",
                hint=f"make an identity with: troth identity new {path}",
            )
        return cls(key)

    def save(self, path: Path) -> None:
        """Write a new file that only its owner may read.

        Raises:
          UsageError: there is a file already (an identity is never overwritten), or it cannot be
            written.
        """
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                file.write(pem)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise UsageError(
                f"{path}: exists already",
                hint="an identity is never overwritten: choose another name",
            ) from None
        except OSError as error:
            raise UsageError(
                f"{path}: cannot be written: {(error.strerror or str(error)).lower()}"
            ) from None


def public_id(key: Ed25519PublicKey) -> PublicId:
    """The name of a public key."""
    return PublicId(key.public_bytes_raw().hex())


def parse_public_id(text: str) -> Ed25519PublicKey | None:
    """The key that a public id names; None where `text` is none."""
    if not _PUBLIC_ID.fullmatch(text):
        return None
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
